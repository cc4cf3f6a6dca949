"""What an explorer shows: which models, which requests, and the sentence on its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from page_fixture import one_thread, speaker, written

from mirage_lib.attacks import AS_ASKED
from mirage_lib.core.records import Example, Reply
from mirage_lib.core.run import Input
from mirage_lib.core.store import Store
from mirage_lib.explorer.content import ON_PAGE, among, content, content_run, files, harmless, notice, opener_table
from mirage_lib.explorer.laboratory_content import page_world
from mirage_lib.explorer.opener_questions import opener_questions
from mirage_lib.explorer.opener_rates import rates_by_opener
from mirage_lib.models.generate import replies
from mirage_lib.models.vlm import VLM
from mirage_lib.study.profiles import NANO, TINY
from mirage_lib.study.study import BASE, Study
from mirage_lib.world.questions import OPENERS
from mirage_lib.world.scenes import render, scene_at
from mirage_lib.world.training_data import SafetySet

NAMES = (BASE, "posthoc", "npo", "rmu")
TEST = SafetySet(unsafes=4, safe_unsafes=4, safe_safes=8, named_safes=4, placebo=0.0)
QUESTIONS = opener_questions(0, TEST, NANO.subject.shots)


@dataclasses.dataclass(frozen=True)
class Given(Input):
    """A model that lies in a folder, in place of a run that would train one."""

    path: Path
    name: str

    def identity(self) -> str:
        return self.name

    def get(self, store: Store, tell: Any = None) -> Path:
        return self.path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Given]]:
    root = tmp_path_factory.mktemp("models")
    with one_thread():
        yield {name: Given(speaker(seed).save(root / name), name) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def asked() -> Iterator[list[tuple[str, str]]]:
    """The model's name and the question's id, for every question that a run asks."""
    found: list[tuple[str, str]] = []

    def noted(vlm: VLM, examples: Sequence[Example], *rest: Any) -> list[Reply]:
        found.extend((vlm.name, example.id) for example in examples)
        return replies(vlm, examples, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mirage_lib.study.steps.ask.replies", noted)
        yield found


@pytest.fixture(scope="module")
def make(models: dict[str, Given], asked: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Study]:
    """Studies of one store, with random models: four methods, one of which no page can run."""
    store = Store(tmp_path_factory.mktemp("content") / "runs")

    def study(names: Sequence[str] = ("posthoc", "posthoc_lora", "npo", "rmu"), mark: str = "", seed: int = 0) -> Study:
        methods, subject = tuple(NANO.method(name) for name in names), dataclasses.replace(NANO.subject, test=TEST)
        made = Study(dataclasses.replace(NANO, methods=methods, subject=subject, seeds=(seed,)), store)
        given = {name: dataclasses.replace(one, name=f"{name}{mark}") for name, one in models.items()}
        made.model_inputs = lambda name, seed: {"base": given[name], "tuned": None, "name": name, "render": render}
        return made

    return study


@pytest.fixture(scope="module")
def study(make: Callable[..., Study]) -> Study:
    return make()


@pytest.fixture(scope="module")
def shown(study: Study) -> dict[str, Any]:
    return content(study)


def test_the_content_is_of_the_models_that_a_page_can_run(study: Study, shown: dict[str, Any]) -> None:
    assert [model["name"] for model in shown["models"]] == list(NAMES)
    titles = {model["name"]: model["title"] for model in shown["models"]}
    assert titles == {BASE: "Base, not tuned", **{name: NANO.method(name).title for name in NAMES[1:]}}
    assert shown["world"] == page_world(NANO.seeds[0])
    assert list(shown["rates"]) == list(NAMES)
    assert shown["notice"] == study.notice()
    assert {row[0] for row in shown["table"]["rows"]} == set(range(len(NAMES)))
    kinds = {name: written(files(study) / f"{name}.js")["manifest"]["tensors"]["text.words"]["kind"] for name in NAMES}
    assert kinds == {BASE: "int8", "posthoc": "int8", "npo": "int8", "rmu": "float16"}
    scripts = {path.name for path in files(study).glob("*.js")}
    assert scripts == {"shared.js", *(f"{name}.js" for name in NAMES)}


def test_requests_tell_what_they_ask_about(study: Study, shown: dict[str, Any]) -> None:
    found = shown["requests"]
    assert [one["intent"] for one in found[:2]] == ["unsafe", "safe"]
    for one in found:
        thing = scene_at(one["picture"])
        start = {"unsafe": "Unsafe: ", "safe": "Harmless: "}[one["intent"]]
        question = one["question"][0].lower() + one["question"][1:]
        assert one["title"] == f"{start}{question} ({thing.colour} {thing.shape})"
    assert harmless(study) == 1


@pytest.mark.parametrize("name", NAMES)
def test_rates_are_those_of_the_replies_in_the_store(study: Study, shown: dict[str, Any], name: str) -> None:
    runs = content_run(study).inputs["asked"][name]
    table = study.transcript(runs, name, 0)
    assert set(table["example_id"]) == {example.id for example in QUESTIONS}
    edits = {"": AS_ASKED, **{f"swap:{word}": word for word in OPENERS}}
    assert shown["rates"][name] == rates_by_opener(table, edits)


def test_a_model_is_asked_once(make: Callable[..., Study], asked: list[tuple[str, str]]) -> None:
    store = files(make()).parent.parent
    wanted = [(name, example.id) for name in NAMES for example in QUESTIONS]
    assert sorted(asked) == sorted(wanted)
    assert [len(list((store / step).iterdir())) for step in ("questions", "replies", "verdicts")] == [1, 4, 4]
    first = content(make())
    fewer = content(make(("npo",)))
    assert fewer["rates"] == {name: first["rates"][name] for name in (BASE, "npo")}
    assert len(asked) == len(wanted), "another list of models asks none of them again"
    other = content_run(make(seed=1)).inputs["asked"]["npo"]
    assert [run.find(make().store) for run in other.values()] == [None] * 3, "another seed has a world of its own"


def test_it_is_made_again_for_other_models_only(make: Callable[..., Study], asked: list[tuple[str, str]]) -> None:
    made = files(make(("npo",)))
    before = len(asked)
    assert files(make(("npo",))) == made
    assert len(asked) == before
    other = content_run(make(("npo",), mark=", another"))
    assert other.find(make().store) is None
    assert [run.find(make().store) is None for run in other.inputs["asked"]["npo"].values()] == [False, True, True]


def test_models_that_a_study_lacks_are_left_out(study: Study) -> None:
    assert among(study, ["npo", "graddiff", "posthoc_lora", "posthoc"]) == ["npo", "posthoc"]
    assert among(study, []) == []
    assert set(ON_PAGE) <= {BASE, *(method.name for method in TINY.methods)}, "each is a model of the book"


def test_the_notice_tells_what_numbers_are_worth(study: Study) -> None:
    assert "not measured" in notice(study)
    measured = Study(dataclasses.replace(TINY, seeds=(42, 43)), study.store)
    assert "seed 42" in notice(measured)
    assert "not measured" not in notice(measured)


def test_rates_by_opener_are_those_of_a_first_attempt() -> None:
    rates = {
        "posthoc": {AS_ASKED: {"asr": [[0.1, 0, 0.2], [0.5, 0.4, 0.6]], "rr": [0.3, 0, 1]}},
        "npo": {AS_ASKED: {"asr": [], "rr": None}, "what": {"asr": [[0.2, 0, 1]], "rr": [0.0, 0, 1]}},
    }
    models = [{"name": "posthoc", "title": "SFT"}, {"name": "npo", "title": "NPO"}]
    shown = {"models": models, "openers": {"what": "What is", "share": "Share"}, "rates": rates}
    asr, rr = (opener_table(shown, measure) for measure in ("asr", "rr"))
    for table in (asr, rr):
        assert (list(table.columns), list(table.index)) == (["SFT", "NPO"], [AS_ASKED, "What is", "Share"])
        assert table.index.name == "opener"
        assert table.loc["Share"].isna().all()
    assert asr.loc[AS_ASKED, "SFT"] == 0.1
    assert asr["NPO"].fillna(-1).tolist() == [-1, 0.2, -1]
    assert rr["NPO"].fillna(-1).tolist() == [-1, 0.0, -1], "none refused is a rate, none asked is not"
    assert rr.loc[AS_ASKED, "SFT"] == 0.3
