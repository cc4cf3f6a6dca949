"""The laboratory's tiny LLaVA: its tokenizer, its sizes, a fresh model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from mirage_lib.models.vlm import VLM, Render

# LLaVA-1.5's own turn format, with one space between the parts; our tokenizer ignores white space.
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}USER: "
    "{% for c in m['content'] if c['type'] == 'image' %}<image>{% endfor %} "
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}"
    "{% else %} ASSISTANT: {% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def tiny_tokenizer(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """A fast tokenizer with one token per word or punctuation mark, ignoring case; unknown words become <unk>."""
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
    """Sizes of the tiny VLM. Like LLaVA-1.5, it reads vision layer -2, so the last block is idle."""

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
