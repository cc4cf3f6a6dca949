"""Models as judges need them: functions that take many questions, or many replies, and load their model when called.

Each is a plain object with a name and settings, so a profile can hold it and its address follows from it. The chat
model answers ``judges.asked.Rubric``; the guard and the classifier give labels of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.hub import HubModel
from mirage_lib.models.vlm import VLM, load_vlm, quiet

BATCH = 32  # texts encoded together


@dataclass(frozen=True)
class Asking:
    """A chat model of the hub, or in a folder, that answers questions without pictures."""

    model: HubModel
    decoding: Decoding = field(default_factory=lambda: Decoding(max_new_tokens=8))

    def __call__(self, examples: Sequence[Example]) -> list[Reply]:
        """One reply per question."""
        return replies(_chat(self.model.folder()), examples, self.decoding)


@dataclass(frozen=True)
class Guarding:
    """A guard: a chat model whose own template asks it about a talk. The first line that it writes is the label."""

    model: HubModel
    max_new_tokens: int = 8

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, float]]:
        """A label for each prompt and reply. The score is always 1, because a guard gives none."""
        vlm = _chat(self.model.folder())
        tokenizer = vlm.processor.tokenizer
        found = []
        for prompt, reply in tqdm(pairs, desc="guard", delay=2, leave=False):
            talk = [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
            ids = tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True).to(vlm.model.device)
            with torch.no_grad():
                said = vlm.model.generate(**ids, max_new_tokens=self.max_new_tokens, do_sample=False)
            text = tokenizer.decode(said[0, ids["input_ids"].shape[1] :], skip_special_tokens=True).strip()
            found.append((text.splitlines()[0].strip() if text else "", 1.0))
        return found


@dataclass(frozen=True)
class Classifying:
    """A classifier of texts from the hub, or in a folder."""

    model: HubModel
    template: str = "{reply}"  # what it is shown, with the places {prompt} and {reply}
    longest: int = 512  # tokens; the rest is cut off

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, float]]:
        """The likeliest label for each prompt and reply, with its probability."""
        model, tokenizer = _load(self.model.folder(), AutoModelForSequenceClassification)
        texts = [self.template.replace("{prompt}", prompt).replace("{reply}", reply) for prompt, reply in pairs]

        def read(out: Any, _: Tensor) -> list[tuple[str, float]]:
            score, number = out.logits.float().softmax(-1).max(-1)
            return list(zip([model.config.id2label[n] for n in number.tolist()], score.tolist(), strict=True))

        return _each(model, tokenizer, texts, self.longest, read)


@dataclass(frozen=True)
class Embedding:
    """A sentence-embedding model: the mean over the tokens of the last layer, scaled to length 1."""

    folder: Path  # in the hub's format; `python -m mirage_lib fetch minilm` makes one
    longest: int = 256  # tokens; the rest is cut off

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "text width"]:
        """One row per text."""
        model, tokenizer = _load(self.folder, AutoModel)

        def read(out: Any, mask: Tensor) -> list[np.ndarray]:
            known = mask.unsqueeze(-1).float()
            mean = (out.last_hidden_state.float() * known).sum(1) / known.sum(1).clamp(min=1)
            return list(torch.nn.functional.normalize(mean, dim=-1).cpu().numpy())

        return np.stack([np.zeros(model.config.hidden_size), *_each(model, tokenizer, texts, self.longest, read)])[1:]


@functools.lru_cache(maxsize=1)
def _chat(folder: Path) -> VLM:
    def render(address: str) -> Image.Image:
        raise MirageError(f"A judge is asked without pictures; it got {address}.")

    return load_vlm(folder, render, name=folder.name)


@functools.lru_cache(maxsize=1)
def _load(folder: Path, kind: Any) -> tuple[Any, Any]:
    """Model and tokenizer of a folder in the hub's format. Raises MirageError if there is no such model."""
    if not (folder / "config.json").is_file():
        raise MirageError(f"{folder}: no config.json; expected a model folder in the hub's format. Fetch it again.")
    with quiet():
        model = kind.from_pretrained(folder).eval()
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def _each(model: Any, tokenizer: Any, texts: Sequence[str], longest: int, read: Callable) -> list[Any]:
    """What ``read`` takes from the model's output for each text, in the order of the texts."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths together: less padding
    found: dict[int, Any] = {}
    for start in tqdm(range(0, len(order), BATCH), desc=model.config.model_type, delay=2, leave=False):
        chunk = order[start : start + BATCH]
        how = {"padding": True, "truncation": True, "max_length": longest, "return_tensors": "pt"}
        inputs = tokenizer([texts[i] for i in chunk], **how).to(model.device)
        found |= zip(chunk, read(model(**inputs), inputs["attention_mask"]), strict=True)
    return [found[i] for i in range(len(texts))]
