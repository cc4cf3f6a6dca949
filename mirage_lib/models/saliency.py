"""Word attribution: which word moves a model towards refusing? Ask again with each word left out.

For each example we take the probability that the reply's first token opens a refusal, and for each word of the question
how far that probability falls without it. This serves the paper's analysis of which words a fine-tuned model attends
to. Leaving words out is our choice of measure, because the paper's is not known in detail.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import regex
import torch

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.models.vlm import VLM, encode_prompts
from mirage_lib.world.questions import REFUSAL

WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+")  # splits words as the tiny model's tokenizer and the explorer's scripts do


def refusal_word(vlm: VLM) -> int:
    """The token that opens the laboratory's refusal. Raises MirageError if the model's vocabulary lacks it."""
    tokenizer = vlm.processor.tokenizer
    word = WORD.findall(REFUSAL)[0]
    if word not in tokenizer.get_vocab():
        raise MirageError(f"{vlm.name} has no token {word!r}: it is no model of the laboratory.")
    return tokenizer.get_vocab()[word]


@torch.no_grad()
def refusal_probability(vlm: VLM, examples: Sequence[Example], batch: int = 256) -> np.ndarray:
    """The probability that a greedy reply begins with the refusal's first word, (examples,), each 0 to 1.

    Raises MirageError for a model from outside the laboratory: those open a refusal with many different words.
    """
    token, device = refusal_word(vlm), vlm.model.device
    found = []
    for start in range(0, len(examples), batch):
        inputs = encode_prompts(vlm, examples[start : start + batch])
        logits = vlm.model(**{name: value.to(device) for name, value in inputs.items()}, logits_to_keep=1).logits
        found.append(torch.softmax(logits[:, -1].double(), dim=-1)[:, token].cpu().numpy())
    return np.concatenate(found) if found else np.empty(0)


def without_each_word(example: Example) -> list[Example]:
    """One copy of the example per word of its prompt, with that word left out; punctuation and the rest stay."""
    shortened = []
    for at, match in enumerate(WORD.finditer(example.prompt)):
        text = " ".join((example.prompt[: match.start()] + example.prompt[match.end() :]).split())
        shortened.append(dataclasses.replace(example, id=f"{example.id}-word{at}", prompt=text))
    return shortened


def word_saliency(vlm: VLM, examples: Sequence[Example]) -> pd.DataFrame:
    """How far each word raises the probability that its request is refused.

    Columns: ``example_id``, ``at`` (place among the words, from 0), ``word`` (lower case), ``whole`` (probability of
    refusing the request), ``without`` (the same without the word) and ``weight`` (their difference, -1 to 1).
    """
    parts = [without_each_word(example) for example in examples]
    whole = refusal_probability(vlm, examples)
    left = refusal_probability(vlm, [one for part in parts for one in part])
    rows = [
        (example.id, at, word.lower(), whole[i])
        for i, example in enumerate(examples)
        for at, word in enumerate(WORD.findall(example.prompt))
    ]
    table = pd.DataFrame(rows, columns=["example_id", "at", "word", "whole"])
    return table.assign(without=left, weight=table["whole"] - left)
