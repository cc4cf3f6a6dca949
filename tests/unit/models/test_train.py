"""The training loop: the same draws every time, an honest resume, an unscaled loss, frozen parts that stay."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import TrainerState
from transformers.utils import logging as hub_logging

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.models import train
from mirage_lib.models.objectives import NPO, RMU, SFT
from mirage_lib.models.reference import reference_rows
from mirage_lib.models.tiny import TinyShape, tiny_vlm
from mirage_lib.models.train import Draws, Settings, fit
from mirage_lib.models.vlm import VLM, encode
from mirage_lib.world.questions import KINDS, World, vocabulary
from mirage_lib.world.scenes import render
from mirage_lib.world.training_data import general_data

SMALL = TinyShape(vision_width=16, vision_layers=3, width=32, layers=2, heads=2)
SHORT = Settings(steps=6, batch=4, lr=1e-2, schedule="cosine", save_every=3)
LORA = dataclasses.replace(SHORT, lora_rank=4)
ROWS = general_data(World(0), 24, dict.fromkeys(KINDS, 1.0), seed=0)
RECIPES = general_data(World(0), 24, {"recipe": 1.0}, seed=0)  # answers of one length
PAIRS = {"forget": ROWS[:8], "retain": ROWS[8:]}
THREADS = torch.get_num_threads()

Weights = dict[str, torch.Tensor]


class Stop(Exception):
    """What ends a run from outside."""


@dataclasses.dataclass
class Watch:
    """An objective that notes the weights it is first called with, and how often it is called."""

    objective: Callable
    first: Weights = dataclasses.field(default_factory=dict)
    calls: int = 0

    def __call__(self, model: torch.nn.Module, batch: dict) -> dict:
        if not self.calls:
            self.first |= {name: value.clone() for name, value in model.state_dict().items()}
        self.calls += 1
        return self.objective(model, batch)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(THREADS)


def fresh() -> VLM:
    return tiny_vlm(vocabulary(), seed=0, render=render, shape=SMALL)


def weights(vlm: VLM) -> Weights:
    return {name: value.clone() for name, value in vlm.model.state_dict().items()}


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def moved(before: Weights, after: Weights) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def trained(settings: Settings, out: Path, objective: Callable | None = None, rows: Any = None, **more: Any) -> Weights:
    return weights(fit(fresh(), objective or SFT(), rows or {"train": ROWS}, settings, out, **more))


def stop_at(step: int) -> train.Progress:
    def tell(name: str, done: int, total: int) -> None:
        if done == step:
            raise Stop

    return tell


def log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "loss.jsonl").read_text().splitlines()]


# --- draws ------------------------------------------------------------------------------------


def order(draws: Draws, role: str) -> list[int]:
    return [row for i in range(len(draws)) for row in draws[i][role]]


@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 3), st.integers(0, 5))
def test_every_example_is_drawn_once_before_any_twice(size: int, count: int, each: int, seed: int) -> None:
    drawn = order(Draws({"train": range(size)}, count, {"train": each}, seed), "train")
    assert len(drawn) == count * each
    rounds = [drawn[i : i + size] for i in range(0, len(drawn), size)]
    assert all(sorted(one) == list(range(size)) for one in rounds[:-1])
    assert len(set(rounds[-1])) == len(rounds[-1])


def test_draws_follow_from_the_seed() -> None:
    def drawn(seed: int) -> list[int]:
        return order(Draws({"train": range(50)}, 100, {}, seed), "train")

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert drawn(3)[:50] != drawn(3)[50:], "the second round has an order of its own"
    assert drawn(3)[:50] != list(range(50))


def test_roles_are_drawn_apart_and_as_many_as_asked_for() -> None:
    draws = Draws({"forget": range(10), "retain": range(10)}, 5, {"retain": 2}, seed=0)
    assert len(draws) == 5
    assert [(len(draws[i]["forget"]), len(draws[i]["retain"])) for i in range(5)] == [(1, 2)] * 5
    assert order(draws, "retain")[:5] != order(draws, "forget")


# --- memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [SHORT, LORA], ids=["all weights", "LoRA"])
def test_activations_made_twice_change_no_gradient(tmp_path: Path, settings: Settings) -> None:
    vlm = fit(fresh(), SFT(), {"train": ROWS}, dataclasses.replace(settings, steps=1), tmp_path)
    model, part = vlm.model.train(), encode(vlm, ROWS[:8])
    (text,) = [module for name, module in model.named_modules() if name.endswith("language_model")]
    calls: list[int] = []
    text.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))

    def gradients() -> tuple[float, Weights]:
        model.zero_grad()
        loss = SFT()(model, {"train": part})["loss"]
        loss.backward()
        return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    plain = gradients()
    assert len(calls) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with train.recomputed(model):
            assert text.gradient_checkpointing
            again = gradients()
    assert not text.gradient_checkpointing
    assert len(calls) == 3, "activations were kept, not made again"
    assert again[0] == plain[0]
    assert again[1].keys() == plain[1].keys()
    assert all(torch.allclose(again[1][name], plain[1][name]) for name in plain[1])


# --- one loop ---------------------------------------------------------------------------------


def test_the_same_run_twice_gives_the_same_weights(tmp_path: Path) -> None:
    one, two = trained(SHORT, tmp_path / "1"), trained(SHORT, tmp_path / "2")
    assert same(one, two)
    other = trained(dataclasses.replace(SHORT, seed=1), tmp_path / "3")
    assert moved(one, other), "the seed of the draws has no effect"


def test_neither_global_seed_nor_caller_changes_a_run(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = trained(LORA, tmp_path / "1")
    torch.manual_seed(2)
    assert same(one, trained(LORA, tmp_path / "2"))


def test_a_run_leaves_a_line_a_step_and_no_checkpoints(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    trained(SHORT, tmp_path, progress=lambda *args: told.append(args))
    assert [line["step"] for line in log(tmp_path)] == list(range(6))
    assert all(line.keys() == {"step", "loss"} for line in log(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["loss.jsonl"]
    assert told == [("SFT", step, 6) for step in range(1, 7)]


def test_every_term_of_an_objective_is_logged(tmp_path: Path) -> None:
    reference = reference_rows(fresh(), ROWS, layer=1)
    trained(SHORT, tmp_path, RMU(layer=1), PAIRS, reference=reference)
    assert all(line.keys() == {"step", "loss", "forget", "hold", "retain"} for line in log(tmp_path))
    assert log(tmp_path)[0]["hold"] == pytest.approx(0, abs=1e-6), "the model is its reference before the first step"


def test_npo_starts_where_the_model_is_its_reference(tmp_path: Path) -> None:
    trained(SHORT, tmp_path, NPO(beta=0.1), PAIRS, reference=reference_rows(fresh(), ROWS, layer=None))
    assert log(tmp_path)[0]["forget"] == pytest.approx(2 / 0.1 * 0.693147, rel=1e-4)


def test_sft_learns_ten_examples(tmp_path: Path) -> None:
    settings = Settings(steps=40, batch=10, lr=1e-2)
    trained(settings, tmp_path, rows={"train": ROWS[:10]})
    losses = [line["loss"] for line in log(tmp_path)]
    assert losses[0] > 4
    assert losses[-1] < losses[0] / 4


def test_the_model_is_left_ready_to_be_asked(tmp_path: Path) -> None:
    assert not fit(fresh(), SFT(), {"train": ROWS}, SHORT, tmp_path).model.training


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step that is trained while the test runs."""
    seen: list[float] = []

    class Recorded(train.ObjectiveTrainer):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(self.optimizer.param_groups[0]["lr"])
            return super().compute_loss(*args, **kwargs)

    monkeypatch.setattr(train, "ObjectiveTrainer", Recorded)
    return seen


def test_a_cosine_warms_up_and_ends_near_zero(tmp_path: Path, rates: list[float]) -> None:
    trained(Settings(steps=20, batch=2, lr=1e-2, schedule="cosine", warmup=0.2), tmp_path)
    assert rates[:5] == pytest.approx([0, 2.5e-3, 5e-3, 7.5e-3, 1e-2])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 2e-4


def test_a_constant_rate_is_constant(tmp_path: Path, rates: list[float]) -> None:
    trained(Settings(steps=5, batch=2, lr=1e-3), tmp_path)
    assert rates == [1e-3] * 5


# --- what moves and what stays ----------------------------------------------------------------


def test_the_vision_tower_stays_and_everything_else_moves(tmp_path: Path) -> None:
    before = weights(fresh())
    after = trained(SHORT, tmp_path)
    stayed = before.keys() - moved(before, after)
    assert stayed == {name for name in before if "vision_tower" in name}
    assert any("multi_modal_projector" in name for name in moved(before, after))
    assert any("language_model" in name for name in moved(before, after))


def test_without_frozen_parts_the_tower_moves_up_to_the_layer_that_is_read(tmp_path: Path) -> None:
    before = weights(fresh())
    after = trained(dataclasses.replace(SHORT, freeze=()), tmp_path)
    stayed = before.keys() - moved(before, after)
    assert any("vision_tower" in name for name in moved(before, after))
    assert stayed
    assert all("layers.2." in name or "post_layernorm" in name or "position_ids" in name for name in stayed)


def test_only_the_parameters_named_move_and_the_frozen_stay(tmp_path: Path) -> None:
    before = weights(fresh())
    after = trained(dataclasses.replace(SHORT, only=("layers.0.mlp", "lm_head")), tmp_path)
    text = {f"model.language_model.layers.0.mlp.{name}_proj.weight" for name in ("gate", "up", "down")}
    assert any("vision_tower" in name and "layers.0.mlp" in name for name in before), "the tower has such a part, too"
    assert moved(before, after) == {*text, "lm_head.weight"}


@pytest.mark.parametrize("settings", [{"only": ("router",)}, {"only": ("vision_tower",)}, {"freeze": ("",)}])
def test_settings_that_leave_nothing_to_tune_are_explained(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(MirageError, match="No parameter is left to tune"):
        trained(dataclasses.replace(SHORT, **settings), tmp_path)


def test_lora_moves_its_adapters_alone(tmp_path: Path) -> None:
    before = weights(fresh())
    after = trained(LORA, tmp_path)
    plain = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for name, value in after.items()
        if "lora_" not in name
    }
    assert same(before, plain)
    adapters = {name: value for name, value in after.items() if "lora_" in name}
    assert adapters
    assert all(value.shape[0 if "lora_A" in name else 1] == 4 for name, value in adapters.items())
    assert all(value.abs().max() > 0 for name, value in adapters.items() if "lora_B" in name), "they begin at zero"
    assert not [name for name in adapters if "vision_tower" in name or "lm_head" in name]
    assert any("multi_modal_projector" in name for name in adapters)


def test_a_stopped_run_leaves_transformers_as_loud_as_it_was(tmp_path: Path) -> None:
    before = hub_logging.get_verbosity()
    try:
        with pytest.raises(Stop):
            trained(SHORT, tmp_path, progress=stop_at(1))
        assert hub_logging.get_verbosity() == before
    finally:
        hub_logging.set_verbosity(before)


# --- gradient accumulation --------------------------------------------------------------------


def gradients(settings: Settings, out: Path, rows: list[Example]) -> list[torch.Tensor]:
    """A weight's gradient at the end of every step, unclipped."""
    vlm, seen = fresh(), []
    weight = vlm.model.model.language_model.layers[0].mlp.down_proj.weight
    weight.register_post_accumulate_grad_hook(lambda one: seen.append(one.grad.clone()))
    fit(vlm, SFT(), {"train": rows}, dataclasses.replace(settings, clip=1e9), out)
    return seen[settings.accumulate - 1 :: settings.accumulate]


def test_accumulated_batches_are_one_big_batch(tmp_path: Path) -> None:
    big = dataclasses.replace(SHORT, batch=8)
    small = dataclasses.replace(SHORT, batch=2, accumulate=4)
    # Adam takes the same step for a loss four times as large: the gradients themselves have to agree.
    one, four = gradients(big, tmp_path / "1", RECIPES), gradients(small, tmp_path / "4", RECIPES)
    assert len(one) == len(four) == 6
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-3) for a, b in zip(one, four, strict=True))
    assert one[0].abs().max() > 1e-3
    once, often = log(tmp_path / "1"), log(tmp_path / "4")
    for step, line in enumerate(once):
        parts = [part["loss"] for part in often if part["step"] == step]
        assert sum(parts) / len(parts) == pytest.approx(line["loss"], abs=1e-4), "the loss is scaled"


def test_accumulated_batches_give_the_same_weights(tmp_path: Path) -> None:
    one = trained(dataclasses.replace(SHORT, batch=8), tmp_path / "1", rows={"train": RECIPES})
    four = trained(dataclasses.replace(SHORT, batch=2, accumulate=4), tmp_path / "4", rows={"train": RECIPES})
    assert all(torch.allclose(one[name], four[name], atol=1e-5) for name in one)


# --- stopped and resumed ----------------------------------------------------------------------

RESUMED = {
    "SFT": (SHORT, SFT(), {"train": ROWS}, None),
    "SFT, LoRA": (LORA, SFT(), {"train": ROWS}, None),
    "NPO": (dataclasses.replace(SHORT, per_item=(("retain", 2),)), NPO(), PAIRS, -1),
    "RMU, LoRA": (LORA, RMU(layer=1), PAIRS, 1),
}


def checkpoint(out: Path) -> Weights:
    """The weights of the one checkpoint there is, under the model's own names."""
    (folder,) = (out / "checkpoints").iterdir()
    (file,) = folder.glob("*model.safetensors")
    return load_file(file)


@pytest.mark.parametrize("case", RESUMED)
def test_a_stopped_run_goes_on_from_its_checkpoint(tmp_path: Path, case: str) -> None:
    settings, objective, rows, layer = RESUMED[case]
    reference = None if layer is None else reference_rows(fresh(), ROWS, max(layer, 0) or None)
    whole = trained(settings, tmp_path / "whole", objective, rows, reference=reference)
    with pytest.raises(Stop):
        trained(settings, tmp_path / "cut", objective, rows, reference=reference, progress=stop_at(5))
    kept, watch = checkpoint(tmp_path / "cut"), Watch(objective)
    resumed = trained(settings, tmp_path / "cut", watch, rows, reference=reference)
    assert watch.calls == 3, "it began anew"
    loaded = {name.replace(".default.", "."): value for name, value in watch.first.items()}
    assert all(torch.equal(loaded[name], value) for name, value in kept.items()), (
        "fresh weights passed for resumed ones"
    )
    assert len(kept) == sum("lora_" in name for name in loaded) if settings.lora_rank else kept.keys() == loaded.keys()
    assert same(resumed, whole)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["loss.jsonl"]


def test_the_log_of_a_resumed_run_is_that_of_a_whole_one(tmp_path: Path) -> None:
    trained(SHORT, tmp_path / "whole")
    with pytest.raises(Stop):
        trained(SHORT, tmp_path / "cut", progress=stop_at(5))
    trained(SHORT, tmp_path / "cut")
    assert log(tmp_path / "cut") == log(tmp_path / "whole"), "steps after the checkpoint stand there twice"


def test_a_run_stopped_twice_and_one_stopped_before_any_checkpoint(tmp_path: Path) -> None:
    whole = trained(SHORT, tmp_path / "whole")
    for step in (2, 4, 5):
        with pytest.raises(Stop):
            trained(SHORT, tmp_path / "cut", progress=stop_at(step))
    assert same(trained(SHORT, tmp_path / "cut"), whole)


def test_a_run_stopped_at_its_very_end_trains_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = train.shutil.rmtree

    def killed(path: Path, *args: Any, **kwargs: Any) -> None:
        if Path(path).name == "checkpoints":
            raise Stop
        real(path, *args, **kwargs)

    whole = trained(SHORT, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(train.shutil, "rmtree", killed)
        with pytest.raises(Stop):
            trained(SHORT, tmp_path / "cut")
    watch = Watch(SFT())
    assert same(trained(SHORT, tmp_path / "cut", watch), whole)
    assert watch.calls == 0


def test_the_workaround_for_resuming_is_still_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when transformers reads a LLaVA's checkpoint back by itself: then drop ObjectiveTrainer._save."""
    monkeypatch.delattr(train.ObjectiveTrainer, "_save")
    whole = trained(SHORT, tmp_path / "whole")
    with pytest.raises(Stop):
        trained(SHORT, tmp_path / "cut", progress=stop_at(5))
    watch = Watch(SFT())
    resumed = trained(SHORT, tmp_path / "cut", watch)
    assert watch.calls == 3, "it did resume"
    assert same(watch.first, weights(fresh())), "the weights are no longer those of a fresh model"
    assert max(float((whole[name] - resumed[name]).abs().max()) for name in whole) > 1e-3


# A checkpoint is written file by file, in this order; each by the function beside it.
WRITERS = {
    "model.safetensors": (train.ObjectiveTrainer, "_save"),
    "optimizer.pt": (train.ObjectiveTrainer, "_save_optimizer_and_scheduler"),
    "scheduler.pt": (train.ObjectiveTrainer, "_save_optimizer_and_scheduler"),
    "rng_state.pth": (train.ObjectiveTrainer, "_save_rng_state"),
    "trainer_state.json": (TrainerState, "save_to_json"),
}


def cut_at(out: Path, step: int, file: str, patch: pytest.MonkeyPatch) -> None:
    """The run is killed in the middle of writing this file of the checkpoint of this step."""
    owner, name = WRITERS[file]
    real, half = getattr(owner, name), out / "checkpoints" / f"checkpoint-{step}" / file

    def write(self: Any, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        if half.exists():
            half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
            raise Stop

    patch.setattr(owner, name, write)


@pytest.mark.parametrize(("step", "file"), [(2, "optimizer.pt"), *((4, file) for file in WRITERS)])
def test_a_checkpoint_cut_short_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, file: str
) -> None:
    often = dataclasses.replace(SHORT, save_every=2)
    whole = trained(often, tmp_path / "whole")
    with monkeypatch.context() as patch:
        cut_at(tmp_path / "cut", step, file, patch)
        with pytest.raises(Stop):
            trained(often, tmp_path / "cut")
    watch = Watch(SFT())
    assert same(trained(often, tmp_path / "cut", watch), whole)
    assert watch.calls == {2: 6, 4: 4}[step], "it goes on from the checkpoint before"
    assert log(tmp_path / "cut") == log(tmp_path / "whole")
