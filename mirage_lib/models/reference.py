"""A frozen model's log-probabilities and hidden states for each answer, kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mirage_lib.core.records import Example
from mirage_lib.models.objectives import IGNORED, answer_logits, answer_states, sequence_logp
from mirage_lib.models.vlm import VLM, encode


@torch.no_grad()
def reference_rows(
    vlm: VLM, examples: Sequence[Example], layer: int | None, batch: int = 64
) -> dict[str, dict[str, Tensor]]:
    """A frozen model's values for each answer, by example id; computed once instead of at every step.

    "logp" is the answer's summed log-probability, (). With a ``layer``, "states" are the model's hidden states at
    the answer tokens, (answer, width).
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
    """Write the reference rows of these examples to one file."""
    numbered = enumerate(examples)
    save_file({f"{i}/{key}": rows[e.id][key] for i, e in numbered for key in rows[e.id]}, path)


def read_rows(path: Path, examples: Sequence[Example]) -> dict[str, dict[str, Tensor]]:
    """Read reference rows, by example id, from a file that was written for the same examples."""
    rows: dict[str, dict[str, Tensor]] = {example.id: {} for example in examples}
    for name, value in load_file(path).items():
        number, key = name.split("/")
        rows[examples[int(number)].id][key] = value
    return rows
