"""Tune a base model: one objective, its examples by role, its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mirage_lib.core.progress import Tell, staged
from mirage_lib.core.records import read_roles
from mirage_lib.models.reference import read_rows
from mirage_lib.models.train import Settings, fit
from mirage_lib.models.vlm import Render, load_vlm


def tune(
    out: Path,
    tell: Tell | None,
    *,
    base: Path,
    data: Path,
    objective: Callable,
    settings: Settings,
    render: Render,
    reference: Path | None,
) -> None:
    """Write a tuned model: ``model`` in the hub's format, or ``adapter`` on top of the base for LoRA."""
    parts = read_roles(data, objective.roles)
    known = None
    if reference is not None:
        known = read_rows(reference / "rows.safetensors", [example for rows in parts.values() for example in rows])
    vlm = load_vlm(base, render, tuned=not settings.lora_rank)
    vlm.model.train()
    vlm = fit(vlm, objective, parts, settings, out, known, staged(tell, "tune"))
    if not settings.lora_rank:
        vlm.save(out / "model")
        return
    for config in vlm.model.peft_config.values():
        config.base_model_name_or_path = "base"  # a folder's path would only work on one machine
    vlm.model.save_pretrained(out / "adapter", save_embedding_layers=False)  # the embeddings are the base's
