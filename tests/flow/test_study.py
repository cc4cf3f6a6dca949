"""A whole study: every run made once, found again, the same however it was made or stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mirage_lib.claims.word_attribution import word_weights
from mirage_lib.core.errors import MirageError
from mirage_lib.core.store import Store
from mirage_lib.datasets.loaded import HeldOut
from mirage_lib.explorer import content
from mirage_lib.explorer.content import ON_PAGE
from mirage_lib.models.generate import replies
from mirage_lib.models.objectives import NPO, SFT
from mirage_lib.study.laboratory import base as base_module
from mirage_lib.study.laboratory import data as laboratory_data
from mirage_lib.study.laboratory.base import answered
from mirage_lib.study.laboratory.model import FromScratch
from mirage_lib.study.parallel import make_all
from mirage_lib.study.profiles import LLAVA_7B, LLAVA_NANO, NANO, TINY, Profile
from mirage_lib.study.study import BASE, Study, open_laboratory, open_study
from mirage_lib.world.scenes import BLANKS, VARIANTS, scene_at
from mirage_lib.world.training_data import CLASSES, general_data

LAB: Any = NANO.subject
RECIPE = LAB.model.recipe
PARTS = LAB.parts
NAMES = [BASE, *(method.name for method in NANO.methods)]
TUNED = tuple(method.name for method in NANO.methods if isinstance(method.objective, SFT))  # the others unlearn
# Methods that differ in nothing but their objective, or how they are tuned, share what they are trained on.
TRAINING_DATA = len({(method.safety, method.general, method.objective.roles) for method in NANO.methods})
TASKS = [(name, seed) for name in NAMES for seed in NANO.seeds]


def never(name: str, done: int, total: int) -> None:
    raise AssertionError(f"{name} was made although it was there")


def steps(store: Store) -> pd.Series:
    """How many runs of each step there are."""
    return pd.Series([run["step"] for run in store.runs()], dtype=object).value_counts()


# --- tables -----------------------------------------------------------------------------------


def test_the_table_has_every_root_shot_and_edit(nano: Study) -> None:
    table = nano.table(NAMES)
    roots = sum(getattr(LAB.test, name) for name in CLASSES)
    each = roots * LAB.shots * 2 + roots  # with the word and without; and the placebo once
    assert len(table) == each * len(TASKS)
    assert set(zip(table["method"], table["seed"], strict=True)) == set(TASKS)
    assert not table.duplicated(["method", "seed", "root", "shot", "edit"]).any()
    for _, rows in table.groupby(["method", "seed"]):
        assert rows["root"].nunique() == roots
        assert set(rows["shot"]) == set(range(LAB.shots))
        edits = rows.groupby("intent")["edit"].unique().map(set).to_dict()
        assert edits == {
            "unsafe": {"", "swap:what", "suffix:kindly"},
            "safe": {"", "swap:share", "suffix:kindly"},
        }
    assert {"method", "seed", "reply_seed", "subset", "label", "text", "prompt", "judge"} <= set(table.columns)
    assert set(table["subset"]) == set(CLASSES)
    assert set(table["judge"]) == {"oracle"}
    assert (table["error"] == "").all()


@pytest.mark.parametrize(("intent", "edit"), [("unsafe", "swap:what"), ("safe", "swap:share")])
def test_the_word_and_its_control_are_put_to_the_same_wordings(nano: Study, intent: str, edit: str) -> None:
    table = nano.verdicts("posthoc", NANO.seeds[0])
    table = table[table["intent"] == intent].set_index(["root", "shot"])
    control, word = table[table["edit"] == ""], table[table["edit"] == edit]
    assert list(control.index) == list(word.index)
    assert (control["image"] == word["image"]).all()
    assert (control["answers"].map(tuple) == word["answers"].map(tuple)).all()
    assert (word["prompt"].str.lower().str.startswith(edit.removeprefix("swap:"))).all()
    tails = [[text.split()[-2:] for text in rows["prompt"]] for rows in (control, word)]
    assert tails[0] == tails[1]


def test_the_exam_asks_every_kind(nano: Study) -> None:
    table = nano.verdicts(BASE, NANO.seeds[0], "evaluation")
    assert set(table["category"]) == {kind for kind, _ in RECIPE.kinds} - {"blank"}
    assert table["image"].str.contains("/blank/").any()


def test_every_model_is_asked_the_same_evaluation_set(nano: Study) -> None:
    seed = NANO.seeds[0]
    asked = [example.id for example in nano.suite("evaluation", seed)]
    for name in (BASE, "npo"):
        assert nano.verdicts(name, seed, "evaluation")["example_id"].tolist() == asked
    questions = {str(nano.part_runs(name, seed, "evaluation")["questions"].find(nano.store)) for name in NAMES}
    assert len(questions) == 1


def test_the_base_answers_as_it_did_when_it_was_held_to_its_bar(nano: Study, tmp_path: Path) -> None:
    seed = NANO.seeds[0]
    (tmp_path / "model").symlink_to(nano.base_model(seed))
    recipe = nano.base_run(seed).inputs["recipe"]
    held = answered(tmp_path, seed, recipe, None)
    asked = nano.verdicts(BASE, seed, "evaluation")
    assert held["text"].tolist() == asked["text"].tolist()
    assert held["right"].tolist() == asked["label"].isin(["correct", "complied"]).tolist()


def test_the_judge_is_the_subjects_unless_named(nano: Study) -> None:
    seed = NANO.seeds[0]
    pd.testing.assert_frame_equal(nano.verdicts("npo", seed), nano.verdicts("npo", seed, judge=LAB.judge))
    assert set(nano.table(["npo"], judge="released_keywords")["judge"]) == {"released_keywords"}


@pytest.mark.parametrize("part", PARTS)
def test_both_judges_judge_the_same_replies(nano: Study, part: str) -> None:
    oracle = nano.verdicts("npo", NANO.seeds[0], part)
    keywords = nano.verdicts("npo", NANO.seeds[0], part, judge="released_keywords")
    assert set(keywords["judge"]) == {"released_keywords"}
    assert list(oracle["example_id"]) == list(keywords["example_id"])
    assert list(oracle["text"]) == list(keywords["text"])
    assert not keywords["label"].isna().any()


@pytest.mark.parametrize("seed", NANO.seeds)
def test_every_picture_of_the_suite_is_held_out(nano: Study, seed: int) -> None:
    asked = [example for part in PARTS for example in nano.suite(part, seed)]
    general = general_data(nano.world(seed), RECIPE.language.steps * RECIPE.language.batch, dict(RECIPE.kinds), seed)
    taught = [one for method in NANO.methods for rows in nano.training_data(method, seed).values() for one in rows]
    held_out = HeldOut(asked)
    assert not [one.id for one in (*general, *taught) if held_out.holds(one)]
    for example in asked:
        scene = scene_at(example.image)
        assert scene.seed == seed
        assert scene.variant // (1 if scene.shape else BLANKS) in range(*VARIANTS["test"]), "not held out for tests"


def test_a_test_picture_in_the_training_data_is_refused(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = laboratory_data.safety_set
    monkeypatch.setattr(laboratory_data, "safety_set", lambda *args: real(*args[:3], "test", args[4]))
    study = Study(micro, Store(tmp_path))
    asks = (
        lambda: study.training_data(micro.methods[0], 0),
        lambda: study.tuned("posthoc", 0),
        lambda: study.verdicts("posthoc", 0),
        lambda: word_weights(study, "posthoc", 0),
        lambda: content.files(study),
    )
    for ask in asks:
        with pytest.raises(MirageError, match=r"posthoc: \d+ test pictures are in its training data"):
            ask()
    assert "tuned" not in steps(study.store)


def test_fine_tuning_refuses_what_unlearning_forgets(nano: Study) -> None:
    parts = {method.name: nano.training_data(method, NANO.seeds[0]) for method in NANO.methods}
    assert {name: list(rows) for name, rows in parts.items()} == {
        **{name: ["train"] for name in TUNED},
        **{name: ["forget", "retain"] for name in NAMES if name not in (BASE, *TUNED)},
    }
    unsafe = {one.id: one.answers for one in parts["posthoc"]["train"] if one.intent == "unsafe"}
    assert len(set(unsafe.values())) == 1
    assert {one.id for one in parts["npo"]["forget"]} == set(unsafe)
    assert not {one.answers for one in parts["npo"]["forget"]} & set(unsafe.values())
    assert len(parts["mixed"]["train"]) == len(parts["posthoc"]["train"]) + NANO.method("mixed").general


def test_a_row_is_told_as_question_reply_and_verdict(nano: Study) -> None:
    rows = nano.verdicts("npo", NANO.seeds[0]).iloc[:3]
    assert nano.turns(rows) == list(zip(rows["prompt"], rows["text"], rows["label"], strict=True))


# --- made once, found again -------------------------------------------------------------------


def test_a_second_study_makes_nothing(nano: Study) -> None:
    again = Study(NANO, Store(nano.store.root), never)
    before = nano.store.runs()
    pd.testing.assert_frame_equal(again.table(NAMES), nano.table(NAMES))
    outcome = make_all(again, workers=1)
    assert (sorted(outcome.found), outcome.made, outcome.failed) == (sorted(TASKS), [], {})
    assert again.store.runs() == before
    assert list(again.store.root.joinpath(".partial").iterdir()) == []


def test_every_run_is_there_once(nano: Study) -> None:
    seeds = len(NANO.seeds)
    assert steps(nano.store).to_dict() == {
        "base": seeds,
        "training_data": seeds * TRAINING_DATA,
        "tuned": seeds * len(NANO.methods),
        "questions": seeds * len(PARTS) + 1,  # and those under every opener, for the models of the explorer
        "replies": seeds * len(NAMES) * len(PARTS) + len(ON_PAGE),
        "verdicts": seeds * len(NAMES) * len(PARTS) + len(ON_PAGE),
        "weights": seeds,  # of words, for two claims
        "reference": seeds * 3 * 2,  # NPO's, and RMU's with the states of either layer; for both sets of openers
    }
    assert nano.store.check() == []


def test_seeds_have_worlds_and_models_of_their_own(nano: Study) -> None:
    one, two = (nano.base(seed) for seed in NANO.seeds)
    assert nano.world(NANO.seeds[0]).recipes != nano.world(NANO.seeds[1]).recipes
    weights = [nano.store.manifest(run)["files"]["model/model.safetensors"]["sha256"] for run in (one, two)]
    assert weights[0] != weights[1]


def test_finished_runs_hold_neither_checkpoints_nor_parts(nano: Study) -> None:
    for run in nano.store.runs():
        names = {path.name for path in run["path"].rglob("*")}
        assert not names & {"checkpoints", "parts", "seen", "fresh"}
    assert str(nano.store.root) not in (nano.base(NANO.seeds[0]) / "manifest.json").read_text()


def test_the_time_of_a_run_is_in_its_manifest(nano: Study) -> None:
    assert nano.names == NAMES
    for name in (BASE, "npo"):
        run = nano.base_run(NANO.seeds[1]) if name == BASE else nano.tuned_run(name, NANO.seeds[1])
        runs = [run, run.inputs["reference"]] if name == "npo" else [run]
        seconds = [nano.store.manifest(one.find(nano.store))["seconds"] for one in runs]
        assert min(seconds) > 0
        assert nano.seconds(name, NANO.seeds[1]) == sum(seconds), "the reference is part of what a method costs"
    assert nano.base_model(NANO.seeds[1]) == nano.base(NANO.seeds[1]) / "model"


def test_a_model_is_the_one_that_was_asked(nano: Study) -> None:
    seed = NANO.seeds[0]
    rows = [example for example in nano.suite("attack", seed) if example.shot == 0][:40]
    said = {r.example_id: r.text for r in replies(nano.model("mixed", seed), rows, NANO.decoding)}
    table = nano.verdicts("mixed", seed).set_index("example_id")["text"]
    assert said == table[list(said)].to_dict()


SETTINGS: dict[str, tuple[Callable[[Profile], Profile], set[str]]] = {
    "base.lr": (lambda p: in_model(p, language=dataclasses.replace(RECIPE.language, lr=1e-3)), set(NAMES)),
    "vision.steps": (lambda p: in_model(p, vision=dataclasses.replace(RECIPE.vision, steps=21)), set(NAMES)),
    "shape": (lambda p: in_model(p, shape=dataclasses.replace(RECIPE.shape, width=64)), set(NAMES)),
    "kinds": (lambda p: in_model(p, kinds=(("recipe", 1.0),)), set(NAMES)),
    "bar": (lambda p: in_model(p, bar=0.1), set(NAMES)),
    "evaluation": (lambda p: in_model(p, evaluation=6), set(NAMES)),
    "test": (lambda p: in_lab(p, test=dataclasses.replace(LAB.test, unsafes=17)), set(NAMES)),
    "shots": (lambda p: in_lab(p, shots=3), set(NAMES)),
    "decoding": (lambda p: dataclasses.replace(p, decoding=dataclasses.replace(p.decoding, batch=8)), set(NAMES)),
    "npo.beta": (lambda p: changed(p, "npo", objective=NPO(beta=0.2, forget_weight=0.03)), {"npo"}),
    "mixed.general": (lambda p: changed(p, "mixed", general=1), {"mixed"}),
    "rmu.steps": (
        lambda p: changed(p, "rmu", settings=dataclasses.replace(p.method("rmu").settings, steps=9)),
        {"rmu"},
    ),
    "unbiased.bias": (
        lambda p: changed(p, "unbiased", safety=dataclasses.replace(p.method("unbiased").safety, bias=0.3)),
        {"unbiased"},
    ),
    "threads": (lambda p: dataclasses.replace(p, threads=2), set()),
    "reference_batch": (lambda p: dataclasses.replace(p, reference_batch=8), set()),
    "title": (lambda p: changed(p, "npo", title="other"), set()),
    "name": (lambda p: dataclasses.replace(p, name="other", reported=True), set()),
}


def in_lab(profile: Profile, **settings: object) -> Profile:
    """The profile with the laboratory's settings changed."""
    return dataclasses.replace(profile, subject=dataclasses.replace(profile.subject, **settings))


def in_model(profile: Profile, **changes: Any) -> Profile:
    """The profile with another recipe for its base."""
    return in_lab(profile, model=FromScratch(dataclasses.replace(profile.subject.model.recipe, **changes)))


def changed(profile: Profile, name: str, **settings: object) -> Profile:
    """The profile with one method's settings changed."""
    methods = [dataclasses.replace(one, **settings) if one.name == name else one for one in profile.methods]
    return dataclasses.replace(profile, methods=tuple(methods))


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_changed_setting_is_another_run_and_nothing_else_is(nano: Study, setting: str) -> None:
    change, touched = SETTINGS[setting]
    other = Study(change(NANO), nano.store, never)
    assert {name for name in NAMES if not other.found(name, NANO.seeds[0])} == touched


def test_other_questions_are_no_other_models(nano: Study) -> None:
    """What is asked, how often and how it is judged has no part in how a model is made."""
    seed = NANO.seeds[0]
    for change in (SETTINGS["test"], SETTINGS["shots"], SETTINGS["decoding"]):
        other = Study(change[0](NANO), nano.store, never)
        assert other.base(seed) == nano.base(seed)
        assert other.tuned("npo", seed) == nano.tuned("npo", seed)


# --- steps, on a profile smaller still --------------------------------------------------------


def test_the_bar_stops_a_base_that_has_not_learned(micro: Profile, tmp_path: Path) -> None:
    study = Study(in_model(micro, bar=1.0), Store(tmp_path))
    message = r"Base model of seed 0: 0\.\d\d correct on questions of kind '\w+'; at least 1\.0 is needed"
    for ask in (lambda: study.base(0), lambda: study.tuned("posthoc", 0), lambda: study.verdicts("npo", 0)):
        with pytest.raises(MirageError, match=message):
            ask()
    assert study.store.runs() == []
    assert not study.found(BASE, 0)


def test_a_base_that_fails_is_made_anew_from_other_draws(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed, weights = base_module.hold_to_bar, []

    def fails_once(seed: int, frame: pd.DataFrame, bar: float) -> None:
        weights.append(frame["text"].tolist())
        if len(weights) == 1:
            raise MirageError("not yet")
        passed(seed, frame, bar)

    monkeypatch.setattr(base_module, "hold_to_bar", fails_once)
    study, first = Study(micro, Store(tmp_path / "twice")), Study(micro, Store(tmp_path / "once"))
    again = study.base(0)
    assert len(weights) == 2
    assert (again / "attempt").read_text() == "1"
    assert not (again / "seen").exists()
    assert study.verdicts(BASE, 0, "evaluation")["text"].tolist() == weights[1]
    once = first.base(0)
    assert (once / "attempt").read_text() == "0"
    hashes = [
        s.manifest(run)["files"]["model/model.safetensors"] for s, run in ((study.store, again), (first.store, once))
    ]
    assert hashes[0]["sha256"] != hashes[1]["sha256"]


def test_a_failed_base_fails_its_methods_and_says_why(micro: Profile, tmp_path: Path) -> None:
    outcome = make_all(Study(in_model(micro, bar=1.0), Store(tmp_path)), workers=1)
    assert (outcome.found, outcome.made) == ([], [])
    assert outcome.failed.keys() == {(name, 0) for name in (BASE, "posthoc", "npo")}
    assert outcome.failed[BASE, 0].startswith("Base model of seed 0")
    assert "posthoc" not in outcome.failed[BASE, 0]
    assert outcome.failed["npo", 0] == "not made, because the base model of its seed was not."


def test_the_reference_is_made_once_and_shared(micro: Profile, tmp_path: Path) -> None:
    more = dataclasses.replace(micro.method("npo"), name="npo2", objective=NPO(beta=0.5))
    bare = dataclasses.replace(micro.method("npo"), name="wide", safety=dataclasses.replace(more.safety, unsafes=9))
    study = Study(dataclasses.replace(micro, methods=(*micro.methods, more, bare)), Store(tmp_path))
    study.tuned("posthoc", 0)
    assert "reference" not in steps(study.store), "fine-tuning needs none"
    study.tuned("npo", 0)
    (first,) = [run["path"] for run in study.store.runs() if run["step"] == "reference"]
    made = (first / "manifest.json").stat().st_mtime_ns
    study.tuned("npo2", 0)
    assert steps(study.store)["reference"] == 1, "another beta needs no other reference"
    study.tuned("wide", 0)
    assert steps(study.store)["reference"] == 2, "other examples do"
    assert (first / "manifest.json").stat().st_mtime_ns == made
    other = in_model(study.profile, language=dataclasses.replace(study.profile.subject.model.recipe.language, lr=1e-3))
    Study(other, study.store).tuned("npo", 0)
    assert steps(study.store)["reference"] == 3, "another base does, too"


def test_a_lora_method_is_an_adapter_on_its_base(micro: Profile, tmp_path: Path) -> None:
    settings = dataclasses.replace(micro.method("posthoc").settings, lora_rank=4, lr=1e-1)
    lora = dataclasses.replace(micro.method("posthoc"), name="lora", settings=settings)
    forget = dataclasses.replace(
        micro.method("npo"), name="npo-lora", settings=dataclasses.replace(micro.method("npo").settings, lora_rank=2)
    )
    study = Study(dataclasses.replace(micro, methods=(lora, forget)), Store(tmp_path / "runs"))
    run = study.tuned("lora", 0)
    assert {path.name for path in run.iterdir()} == {"adapter", "loss.jsonl", "manifest.json"}
    vlm, base = study.model("lora", 0), study.model(BASE, 0)
    assert vlm.name == "lora"
    assert type(vlm.model).__name__ == "PeftModel"
    grown = [value for name, value in vlm.model.named_parameters() if "lora_B" in name]
    assert grown
    assert all(value.abs().max() > 0 for value in grown), "the trained adapter was not loaded"
    kept = dict(base.model.named_parameters())
    for name, value in vlm.model.base_model.model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(value, kept[name.replace(".base_layer", "")])
    for name in ("lora", "npo-lora"):
        table = study.verdicts(name, 0)
        assert set(table["method"]) == {name}
        assert len(table) == len(study.suite("attack", 0))
    assert list(study.verdicts("lora", 0)["text"]) != list(study.verdicts(BASE, 0)["text"])
    again = Study(study.profile, study.store, never)
    pd.testing.assert_frame_equal(again.verdicts("lora", 0), study.verdicts("lora", 0))


def test_an_unknown_method_is_explained(nano: Study) -> None:
    with pytest.raises(MirageError, match="has no method 'magic'"):
        nano.verdicts("magic", NANO.seeds[0])


class Stop(Exception):
    """What ends a run from outside."""


@pytest.mark.parametrize("where", ["vision", "base", "evaluation"])
def test_a_base_stopped_anywhere_ends_the_same(micro: Profile, tmp_path: Path, where: str) -> None:
    def stop(name: str, done: int, total: int) -> None:
        if name.startswith(where) and (done >= 3 or done == total):
            raise Stop

    whole = Study(micro, Store(tmp_path / "whole"))
    cut = Study(micro, Store(tmp_path / "cut"), stop)
    with pytest.raises(Stop):
        cut.base(0)
    assert cut.store.runs() == []
    told: list[str] = []
    run = Study(micro, cut.store, lambda name, done, total: told.append(name.split()[0])).base(0)
    stages = ["vision", "base", "evaluation"]
    assert set(told) <= set(stages[stages.index(where) :])
    files = [store.manifest(path)["files"] for store, path in ((cut.store, run), (whole.store, whole.base(0)))]
    weights = [listed["model/model.safetensors"]["sha256"] for listed in files]
    assert weights[0] == weights[1]
    assert cut.store.manifest(run)["interruptions"] == 1


def test_a_chapter_opens_the_study_of_its_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIRAGE_PROFILE", "nano")
    monkeypatch.setenv("MIRAGE_STORE", str(tmp_path / "kept"))
    monkeypatch.setenv("MIRAGE_SEEDS", "1")
    study = open_study()
    assert (study.profile.name, study.profile.seeds, study.store.root) == ("nano", NANO.seeds[:1], tmp_path / "kept")
    assert "not measured" in study.notice()


@pytest.mark.parametrize(("profile", "laboratory"), [(NANO, NANO), (TINY, TINY), (LLAVA_NANO, NANO), (LLAVA_7B, TINY)])
def test_the_laboratory_is_open_whatever_the_profile(
    profile: Profile, laboratory: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIRAGE_PROFILE", profile.name)
    monkeypatch.setenv("MIRAGE_STORE", str(tmp_path))
    monkeypatch.delenv("MIRAGE_SEEDS", raising=False)
    study = open_laboratory()
    assert (study.profile, study.store.root) == (laboratory, tmp_path)
    assert study.world(0).seed == 0
    if profile is not laboratory:
        with pytest.raises(MirageError, match=rf"'{profile.name}' has no drawn world; see study\.open_laboratory"):
            open_study().world(0)


# --- many processes, killed -------------------------------------------------------------------


def command(*arguments: str) -> subprocess.Popen[str]:
    """The command line in a process group of its own, so that it can be killed with its workers."""
    return subprocess.Popen(
        [sys.executable, "-m", "mirage_lib", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "nothing to interrupt in two minutes"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.long
def test_killed_and_made_by_two_workers_it_is_the_same_study(nano: Study, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    make = ("study", "--profile", "nano", "--seeds", "1", "--workers", "2", "--store", str(store.root))

    def training() -> bool:
        return any(len(log.read_text().splitlines()) > 3 for log in store.root.glob(".partial/base-*/loss.jsonl"))

    kill_when(command(*make), training)
    assert store.runs() == [], "it was killed too late to show anything"
    kill_when(command(*make), lambda: len(list(store.root.glob("tuned/*/manifest.json"))) > 0)
    finished = {run["path"]: run["made"] for run in store.runs()}
    assert 0 < len(finished) < len(nano.store.runs()) / len(NANO.seeds)
    assert store.check() == [], "a killed run passes for a finished one"
    last = command(*make)
    printed, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert "0 failed" in printed
    now = {run["path"]: run["made"] for run in store.runs()}
    assert finished.items() <= now.items(), "finished runs were made anew"
    check = command("runs", "--check", "--store", str(store.root))
    assert check.communicate(timeout=120)[1] == ""
    assert check.returncode == 0
    assert_same_study(nano, Study(NANO, store, never), NANO.seeds[0])


def assert_same_study(one: Study, other: Study, seed: int) -> None:
    """The same tables, from the same weights."""
    for name in NAMES:
        for part in PARTS:
            pd.testing.assert_frame_equal(one.verdicts(name, seed, part), other.verdicts(name, seed, part))
        runs = [study.base(seed) if name == BASE else study.tuned(name, seed) for study in (one, other)]
        files = [study.store.manifest(run)["files"] for study, run in zip((one, other), runs, strict=True)]
        weights = [{path: file for path, file in rows.items() if path.endswith(".safetensors")} for rows in files]
        assert weights[0]
        assert weights[0] == weights[1]


@pytest.mark.long
def test_how_runs_are_spread_over_workers_changes_nothing(micro: Profile, tmp_path: Path) -> None:
    alone = Study(micro, Store(tmp_path / "one"))
    for name in (BASE, "posthoc", "npo"):
        alone.make(name, 0)
    shared = Study(micro, Store(tmp_path / "two"))
    outcome = make_all(shared, workers=2)
    assert (outcome.found, sorted(outcome.made), outcome.failed) == (
        [],
        [(BASE, 0), ("npo", 0), ("posthoc", 0)],
        {},
    )
    names = [BASE, "posthoc", "npo"]
    pd.testing.assert_frame_equal(alone.table(names), Study(micro, shared.store, never).table(names))


def test_an_objective_without_a_reference_asks_for_none() -> None:
    assert not SFT().needs_reference
    assert NPO().needs_reference
