"""Load any model that chats from a folder in the hub's format, and encode batches of examples for it.

A ``VLM`` is a model with its processor. The laboratory's tiny LLaVA and large models are treated alike: transformers'
own classes load them, and prompts go through their own chat template. A model without pictures, such as a Llama, is
loaded with its tokenizer and takes examples without a picture.

A batch of questions with answers keeps the two apart: prompts are padded on the left and answers on the
right. So all answers are in the last ``labels.shape[1]`` columns, and only these need logits.
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
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils import logging as hub_logging

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example

IGNORED = -100  # in labels, where there is nothing to predict
Render = Callable[[str], Image.Image]  # an image address -> the picture


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own notices and progress bars out of a reader's page."""
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
        """Write model and processor in the hub's format; on CUDA in bfloat16, the precision we later ask it in."""
        with quiet():
            (self.model.bfloat16() if self.model.device.type == "cuda" else self.model).save_pretrained(folder)
        self.processor.save_pretrained(folder)
        return folder


@dataclass
class TextProcessor:
    """The tokenizer of a model without pictures, in the place of a processor."""

    tokenizer: Any

    def __post_init__(self) -> None:
        if self.tokenizer.chat_template is None:
            where = self.tokenizer.name_or_path
            raise MirageError(f"{where}: its tokenizer has no chat template; expected a model tuned to chat.")
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token

    def apply_chat_template(self, talks: Sequence[Sequence[dict[str, Any]]], **how: Any) -> Any:
        """The talks in the model's own template. Raises MirageError for a picture."""
        if any(part["type"] != "text" for talk in talks for turn in talk for part in turn["content"]):
            raise MirageError("This model takes no pictures: leave them out (Published(..., pictures=False)).")
        plain = [
            [{**turn, "content": " ".join(part["text"] for part in turn["content"])} for turn in talk] for talk in talks
        ]
        return self.tokenizer.apply_chat_template(plain, **how)

    def __call__(self, text: Sequence[str], images: None = None, **how: Any) -> Any:
        """The tokens of the texts. A template that begins with the token for the start gets no second one."""
        del images
        start = self.tokenizer.bos_token
        return self.tokenizer(list(text), add_special_tokens=not (start and text[0].startswith(start)), **how)

    def save_pretrained(self, folder: Path) -> None:
        """Write the tokenizer in the hub's format."""
        self.tokenizer.save_pretrained(folder)


def load_vlm(
    folder: Path, render: Render, adapter: Path | None = None, name: str = "model", tuned: bool = False
) -> VLM:
    """Load a model in the hub's format, with a LoRA adapter on top if one is named.

    Weights are bfloat16 on CUDA and float32 elsewhere. Weights to be ``tuned`` are float32 everywhere, because
    bfloat16 would round small steps away. Raises MirageError if a folder holds no model, or no adapter.
    """
    for where in filter(None, (folder, adapter)):
        wanted = "config.json" if where is folder else "adapter_config.json"
        if not (Path(where) / wanted).is_file():
            raise MirageError(f"{where}: no {wanted}; expected a model folder in the hub's format. Remake or fetch it.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" and not tuned else torch.float32
    with quiet():
        sees = AutoConfig.from_pretrained(folder).model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
        model: Any = (AutoModelForImageTextToText if sees else AutoModelForCausalLM).from_pretrained(
            folder, dtype=dtype
        )
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, adapter)
    processor = AutoProcessor.from_pretrained(folder) if sees else TextProcessor(AutoTokenizer.from_pretrained(folder))
    return VLM(model.to(device).eval(), processor, render, name)


def prompts(processor: Any, examples: Sequence[Example]) -> list[str]:
    """The questions as first turns of the model's own chat template, up to where the answer begins."""
    talks = [
        [{"role": "user", "content": [*[{"type": "image"}] * bool(one.image), {"type": "text", "text": one.prompt}]}]
        for one in examples
    ]
    return processor.apply_chat_template(talks, add_generation_prompt=True, tokenize=False)


def encode_prompts(vlm: VLM, examples: Sequence[Example]) -> dict[str, Tensor]:
    """All model inputs for these questions, padded on the left, ready for ``generate``."""
    images = [vlm.render(example.image) for example in examples if example.image]
    how = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
    return dict(vlm.processor(text=prompts(vlm.processor, examples), images=images or None, **how))


def encode(vlm: VLM, examples: Sequence[Example]) -> dict[str, Any]:
    """Questions with their first answers: {"inputs": model inputs, "labels": answer ids, (batch, answer)}.

    Pass all ``inputs`` to the model. ``labels`` are IGNORED where an answer is shorter than the longest; each
    answer ends with the end token. We append the answer's ids to the processed prompt: so the labels cover exactly
    the answer, and the prompt is processed only once.
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
    for name, value in inputs.items():  # e.g. token types, which some families add; 0 means text
        if value.dim() == 2 and value.shape[1] == length:
            inputs[name] = torch.cat([value, value.new_zeros(labels.shape)], dim=1)
    return {"inputs": inputs, "labels": labels}
