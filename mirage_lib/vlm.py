"""Models: build the laboratory's tiny LLaVA or load any image-text-to-text model, and encode batches.

Comes in: examples, a folder in the hub's format. Goes out: a ``VLM`` (model and processor) and batches of
model inputs. Nothing below this line knows whether a model is tiny: both kinds are loaded by
``AutoModelForImageTextToText`` and ``AutoProcessor`` and prompted through their own chat template.

A batch of questions with answers keeps the two apart: prompts are padded on the left and answers on the
right, so all answers stand in the last ``labels.shape[1]`` columns and only there are logits needed.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hub_logging

from mirage_lib.errors import MirageError
from mirage_lib.objectives import IGNORED, answer_logits, answer_states, sequence_logp
from mirage_lib.records import Example

Render = Callable[[str], Image.Image]  # an image address -> the picture

# LLaVA-1.5's own turn format, with one space of our world's tokenizer between the parts.
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}USER: "
    "{% for c in m['content'] if c['type'] == 'image' %}<image>{% endfor %} "
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}"
    "{% else %} ASSISTANT: {% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' own notices and bars out of a reader's page."""
    level, beside = hub_logging.get_verbosity(), logging.getLogger("accelerate")
    before, bars = beside.level, hub_logging.is_progress_bar_enabled()
    hub_logging.set_verbosity_error()
    hub_logging.disable_progress_bar()
    beside.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*")  # peft 0.21 uses its old names, too
            yield
    finally:
        hub_logging.set_verbosity(level)
        if bars:
            hub_logging.enable_progress_bar()
        beside.setLevel(before)


@dataclass
class VLM:
    """A model with its processor and the function that finds its pictures."""

    model: Any  # a PreTrainedModel, or a PeftModel around one
    processor: Any
    render: Render
    name: str = "model"

    def save(self, folder: Path) -> Path:
        """Write model and processor in the hub's format; on CUDA in bfloat16, in which it will be asked."""
        with quiet():
            (self.model.bfloat16() if self.model.device.type == "cuda" else self.model).save_pretrained(folder)
        self.processor.save_pretrained(folder)
        return folder


def tiny_tokenizer(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """A fast tokenizer with one token per word or sign, blind to case; unknown words become <unk>."""
    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<image>"]
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *vocabulary])}, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "removed", invert=True)
    words.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    words.decoder = decoders.Sequence(
        [decoders.Replace(Regex("^"), " "), decoders.Fuse(), decoders.Replace(Regex(r"^ | (?=[.,?:])"), "")]
    )
    names = dict(zip(["pad_token", "bos_token", "eos_token", "unk_token"], special, strict=False))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )


@dataclass(frozen=True)
class TinyShape:
    """Sizes of the tiny VLM. It reads vision layer -2, as LLaVA-1.5 does, so the last block is idle."""

    image: int = 24  # pixels a side
    patch: int = 12  # pixels a side: 4 image tokens
    vision_width: int = 64
    vision_layers: int = 3
    width: int = 128  # of the language model
    layers: int = 4
    heads: int = 4  # of both towers
    initializer_range: float = 0.05


def tiny_vlm(vocabulary: Sequence[str], seed: int, render: Render, shape: TinyShape | None = None) -> VLM:
    """A fresh LLaVA of at most a million parameters: CLIP tower, projector and Llama decoder from config."""
    shape = shape or TinyShape()
    tokenizer = tiny_tokenizer(vocabulary)
    number = tokenizer.get_vocab()
    vision = CLIPVisionConfig(
        hidden_size=shape.vision_width,
        intermediate_size=2 * shape.vision_width,
        num_hidden_layers=shape.vision_layers,
        num_attention_heads=shape.heads,
        image_size=shape.image,
        patch_size=shape.patch,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=2 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=128,
        initializer_range=shape.initializer_range,
        tie_word_embeddings=False,
        pad_token_id=number["<pad>"],
        bos_token_id=number["<bos>"],
        eos_token_id=number["<eos>"],
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=number["<image>"],
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    size = {"height": shape.image, "width": shape.image}
    pictures = CLIPImageProcessorPil(
        do_resize=False, do_center_crop=False, size=size, crop_size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=shape.patch,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    return VLM(model, processor, render, name="tiny")


def load_vlm(
    folder: Path, render: Render, adapter: Path | None = None, name: str = "model", tuned: bool = False
) -> VLM:
    """Load a model in the hub's format, and a LoRA adapter on top of it where one is named.

    On CUDA in bfloat16, elsewhere in float32. Weights that are to be ``tuned`` are float32 everywhere: small
    steps would be lost in bfloat16's rounding. Raises MirageError if the folder holds no model.
    """
    for where in filter(None, (folder, adapter)):
        wanted = "config.json" if where is folder else "adapter_config.json"
        if not (Path(where) / wanted).is_file():
            raise MirageError(f"{where}: no {wanted}; expected a model folder in the hub's format. Remake or fetch it.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" and not tuned else torch.float32
    with quiet():
        model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype)
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, adapter)
    processor = AutoProcessor.from_pretrained(folder)
    return VLM(model.to(device).eval(), processor, render, name)


def prompts(processor: Any, texts: Sequence[str]) -> list[str]:
    """The texts as first turns of the model's own chat template, up to where the answer begins."""
    talks = [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}] for text in texts]
    return processor.apply_chat_template(talks, add_generation_prompt=True, tokenize=False)


def encode_prompts(vlm: VLM, examples: Sequence[Example]) -> dict[str, Tensor]:
    """Every input the model takes for these questions, padded on the left, ready for ``generate``."""
    texts = prompts(vlm.processor, [example.prompt for example in examples])
    images = [vlm.render(example.image) for example in examples]
    return dict(vlm.processor(text=texts, images=images, padding=True, padding_side="left", return_tensors="pt"))


def encode(vlm: VLM, examples: Sequence[Example]) -> dict[str, Any]:
    """Questions with their first answers: {"inputs": model inputs, "labels": answer ids, (batch, answer)}.

    ``inputs`` go to the model whole. ``labels`` are IGNORED where an answer is shorter than the longest;
    each ends with the end token. Appending the answer's ids to the processed prompt masks exactly the
    answer, without processing the prompt twice.
    """
    inputs = encode_prompts(vlm, examples)
    tokenizer = vlm.processor.tokenizer
    ids = tokenizer([example.answers[0] for example in examples], add_special_tokens=False)["input_ids"]
    longest = max(map(len, ids)) + 1
    labels = torch.tensor([[*row, tokenizer.eos_token_id, *[IGNORED] * (longest - len(row) - 1)] for row in ids])
    known = labels != IGNORED
    length = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], labels.where(known, tokenizer.pad_token_id)], dim=1)
    inputs["attention_mask"] = torch.cat([inputs["attention_mask"], known.long()], dim=1)
    for name, value in inputs.items():  # token types and the like, which some families add: an answer is text
        if value.dim() == 2 and value.shape[1] == length:
            inputs[name] = torch.cat([value, value.new_zeros(labels.shape)], dim=1)
    return {"inputs": inputs, "labels": labels}


@torch.no_grad()
def reference_rows(
    vlm: VLM, examples: Sequence[Example], layer: int | None, batch: int = 64
) -> dict[str, dict[str, Tensor]]:
    """What a frozen model makes of each answer, by example id; computed once instead of at every step.

    "logp": the answer's summed log-probability, (); with a ``layer``, "states": its hidden states at the
    answer tokens, (answer, width).
    """
    rows: dict[str, dict[str, Tensor]] = {}
    for start in range(0, len(examples), batch):
        part = encode(vlm, examples[start : start + batch])
        part["inputs"] = {name: value.to(vlm.model.device) for name, value in part["inputs"].items()}
        logits, states = (
            answer_states(vlm.model, part, layer) if layer is not None else (answer_logits(vlm.model, part), None)
        )
        logp = sequence_logp(logits.cpu(), part["labels"])
        known = part["labels"] != IGNORED
        for i, example in enumerate(examples[start : start + batch]):
            rows[example.id] = {"logp": logp[i]}
            if states is not None:
                rows[example.id]["states"] = states[i].cpu()[known[i]].contiguous()
    return rows


def write_rows(rows: dict[str, dict[str, Tensor]], examples: Sequence[Example], path: Path) -> None:
    """Keep the reference rows of these examples in one file."""
    numbered = enumerate(examples)
    save_file({f"{i}/{key}": rows[e.id][key] for i, e in numbered for key in rows[e.id]}, path)


def read_rows(path: Path, examples: Sequence[Example]) -> dict[str, dict[str, Tensor]]:
    """The reference rows in a file that was written for the same examples, by example id."""
    rows: dict[str, dict[str, Tensor]] = {example.id: {} for example in examples}
    for name, value in load_file(path).items():
        number, key = name.split("/")
        rows[examples[int(number)].id][key] = value
    return rows
