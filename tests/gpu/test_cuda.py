"""What only a CUDA machine can show: bfloat16 arithmetic and gradient checkpointing, without a change of code."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mirage_lib.core.store import Store
from mirage_lib.models import train
from mirage_lib.models.vlm import load_vlm
from mirage_lib.study.profiles import NANO
from mirage_lib.study.study import Study
from mirage_lib.world.training_data import SafetySet

NO_CUDA = "there is no CUDA device"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    few = SafetySet(unsafes=16, safe_unsafes=8, safe_safes=16, named_safes=8)
    names = ("posthoc", "posthoc_lora", "npo", "rmu")
    methods = tuple(dataclasses.replace(m, safety=few) for m in NANO.methods if m.name in names)
    profile = dataclasses.replace(NANO, seeds=(0,), methods=methods)
    return Study(profile, Store(tmp_path_factory.mktemp("cuda")), lambda *told: None)


@pytest.mark.parametrize("name", ["base", "posthoc", "posthoc_lora", "npo", "rmu"])
def test_every_method_trains_and_replies(study: Study, name: str) -> None:
    study.make(name, 0)
    assert len(study.verdicts(name, 0)) > 0
    assert "unscored" not in set(study.verdicts(name, 0)["label"])


def test_weights_to_be_tuned_are_float32_and_the_rest_bfloat16(study: Study) -> None:
    base, render = study.base_model(0), study.profile.subject.render
    assert {p.dtype for p in load_vlm(base, render, tuned=True).model.parameters()} == {torch.float32}
    assert {p.dtype for p in load_vlm(base, render).model.parameters()} == {torch.bfloat16}
    with safe_open(study.tuned("npo", 0) / "model" / "model.safetensors", framework="pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118


def test_training_recomputes_and_uses_bfloat16_arithmetic(study: Study, tmp_path: Path) -> None:
    seen = []
    method = study.profile.method("posthoc")

    def objective(model, batch):
        seen.append((model.model.language_model.gradient_checkpointing, torch.is_autocast_enabled("cuda")))
        return method.objective(model, batch)

    vlm = load_vlm(study.base_model(0), study.profile.subject.render, tuned=True)
    vlm.model.train()
    settings = dataclasses.replace(method.settings, steps=2, batch=4)
    train.fit(vlm, objective, study.training_data(method, 0), settings, tmp_path, progress=lambda *told: None)
    assert seen == [(True, True)] * 2
    losses = [json.loads(line)["loss"] for line in (tmp_path / "loss.jsonl").read_text().splitlines()]
    assert all(0 < loss < 50 for loss in losses)
