"""The base model's numbers for a method's examples, computed once instead of at every step of training."""

from __future__ import annotations

from pathlib import Path

from mirage_lib.core.progress import Tell
from mirage_lib.core.records import read_roles
from mirage_lib.models.reference import reference_rows, write_rows
from mirage_lib.models.vlm import Render, load_vlm


def write_reference(
    out: Path,
    tell: Tell | None,
    *,
    base: Path,
    data: Path,
    roles: tuple[str, ...],
    layer: int | None,
    render: Render,
    batch: int,
) -> None:
    """Write each answer's log-probability under the base and, if a ``layer`` is given, its hidden states there."""
    del tell
    examples = [example for rows in read_roles(data, roles).values() for example in rows]
    rows = reference_rows(load_vlm(base, render), examples, layer, batch)
    write_rows(rows, examples, out / "rows.safetensors")
