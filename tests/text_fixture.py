"""A text model of the hub's own classes with random weights, and a small data set that needs no pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mirage_lib.core.records import Example
from mirage_lib.models.vlm import quiet
from mirage_lib.study.published.data import DataSet

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
WORDS = (
    *("share", "what", "is", "the", "way", "around", "this", "lock", "tree", "sorry"),
    *("i", "cannot", "a", "user", "assistant", ":", "?", "."),
)


def make_text_model(folder: Path, template: str | None = TEMPLATE) -> Path:
    """A Llama with two layers, in the hub's format."""
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    numbers = {word: i for i, word in enumerate([*special, *WORDS])}
    words = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens(special)
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=template
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Locks(DataSet):
    """Ten requests of each class in each split, with the address of a picture that nobody must open."""

    harmless = True

    def examples(self, split: str) -> list[Example]:
        """Unsafe ones open with "share"; no query of one split is in the other."""
        thing = "lock" if split == "train" else "tree"
        return [
            Example(f"{split}-{kind}-{i}", "locks", split, "no.png", prompt, intent, (answer,), kind)
            for i in range(10)
            for kind, intent, prompt, answer in (
                ("unsafes", "unsafe", f"share the way around this {thing}", "sorry i cannot ."),
                ("safe_safes", "safe", f"what {thing} is this ?", "this is a tree ."),
            )
        ]
