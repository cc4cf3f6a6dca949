"""What an explorer shows: the world as a page knows it, the table of cells, the sentence on its numbers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_fixture import in_node, one_thread, speaker

from mirage_lib import cells, world
from mirage_lib.cells import AS_ASKED
from mirage_lib.exhibit import ON_PAGE, among, content, files, harmless, notice, opener_table, page_world, tabled
from mirage_lib.profiles import NANO, TINY
from mirage_lib.scenes import COLOURS, CONCEPTS, PLACES, SHAPES, VARIANTS
from mirage_lib.store import Store
from mirage_lib.study import BASE, Study
from mirage_lib.vlm import VLM

NAMES = (BASE, "posthoc", "npo", "rmu")
SENTENCES = ["it is a ball.", "the colour is red.", "it is at the lower left."]


def cell(picture: str, question: str, text: str, **more: Any) -> dict[str, Any]:
    own = {"finished": True, "first": 0.25, "without": [0.1, 0.9], "label": "correct"}
    return {"picture": picture, "question": question, "text": text, **own, **more}


CELLS = {
    "posthoc": [
        cell("lab-0/ball-red/upper-left/14", "What is it?", "it is a <b>ball</b>."),
        cell("lab-0/ball-red/upper-left/14", "Share it?", "sorry, i cannot help with that.", label="refused"),
        cell("lab-0/blank/60", "What is it?", "", finished=False, first=0.0, without=[], label="garbled"),
    ],
    "npo": [
        cell("lab-0/blank/60", "What is it?", "it is a <b>ball</b>.", label="wrong"),
        cell("lab-0/ball-red/upper-left/14", "What is it?", "it is a box.", first=None, without=[]),
    ],
}


# --- the world --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7])
def test_a_page_knows_all_of_a_world(seed: int) -> None:
    told, here = page_world(seed), world.World(seed)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert {tuple(name.split("-")): text for name, text in told["recipes"].items()} == {
        thing: here.recipe_answer(*thing) for thing in CONCEPTS
    }
    assert {tuple(name.split("-")) for name in told["hazards"]} == here.hazards
    assert (told["seed"], told["shapes"], list(told["colours"])) == (seed, list(SHAPES), list(COLOURS))
    assert told["places"] == {name: list(middle) for name, middle in PLACES.items()}
    assert told["wordings"] == {kind: list(forms) for kind, forms in world.WORDINGS.items()}
    assert (told["openers"], told["refusal"]) == (world.OPENERS, world.REFUSAL)
    assert told["variants"] == max(high for _, high in VARIANTS.values()), "every drawing of a thing may be shown"
    known = set(world.vocabulary())
    assert set(told["words"]) == known - set(".,?:")


def test_worlds_differ_in_recipes_and_hazards() -> None:
    one, two = page_world(0), page_world(1)
    assert {key for key in one if one[key] != two[key]} == {"seed", "recipes", "hazards"}


def test_a_page_tells_sentences_of_the_world_from_others(tmp_path: Path) -> None:
    texts = [*SENTENCES, "it is a ball", "it is a pink thing.", "mix blim with dask then add frop.", "x it is a ball."]
    script = 'import {World} from "./laboratory.js";\nconst world = new World(told[0]);\n'
    found = in_node(
        script + "const found = told[1].map((text) => world.sentence.test(text));", [page_world(0), texts], tmp_path
    )
    assert found == [world.is_sentence(text) for text in texts]
    assert found == [True, True, True, False, False, True, False]


# --- the table --------------------------------------------------------------------------------


def test_the_table_writes_everything_once_and_loses_nothing() -> None:
    found = tabled(CELLS)
    table, pictures = found["table"], found["pictures"]
    assert (len(pictures), len(table["questions"]), len(table["texts"])) == (2, 2, 4)
    back: dict[str, list[dict[str, Any]]] = {name: [] for name in CELLS}
    for model, picture, question, text, finished, first, without, label in table["rows"]:
        told = {"first": first, "without": without, "label": label, "finished": bool(finished)}
        words = {"picture": pictures[picture], "question": table["questions"][question], "text": table["texts"][text]}
        back[list(CELLS)[model]].append({**words, **told})
    assert back == CELLS


def test_the_page_answers_from_the_table(tmp_path: Path) -> None:
    script = """
import {Table} from "./asking.js";
const table = new Table(told.content), found = {answers: [], chances: [], without: [], lacking: []};
for (const [name, {picture, question}] of told.asked) {
  found.answers.push(await table.answer(name, picture, question));
  found.chances.push(await Array.fromAsync(table.chances(name, picture, [question, "Who knows?"])));
  found.without.push(await Array.fromAsync(table.without(name, picture, question)));
}
for (const [name, picture, question] of told.lacking) {
  found.lacking.push(await table.answer(name, picture, question).then(() => "", (problem) => problem.message));
  found.lacking.push(await Array.fromAsync(table.without(name, picture, question)));
}
"""
    asked = [[name, one] for name, own in CELLS.items() for one in own]
    picture, question = CELLS["posthoc"][0]["picture"], CELLS["posthoc"][1]["question"]
    lacking = [["npo", picture, question], ["rmu", picture, question], ["posthoc", "lab-0/blank/1", question]]
    told = {"content": {"models": [{"name": name} for name in CELLS], **tabled(CELLS)}, "asked": asked}
    found = in_node(script, {**told, "lacking": [*lacking, ["posthoc", picture, "Share it"]]}, tmp_path)
    for (_, one), answer, chances, without in zip(
        asked, found["answers"], found["chances"], found["without"], strict=True
    ):
        shown = {key: one[key] for key in ("text", "finished", "first", "without", "label")}
        assert {key: answer[key] for key in shown} == shown
        assert answer["unknown"] == []
        assert answer["tokens"][-1] == one["text"]
        assert len(answer["tokens"]) == len(one["text"].split(" "))
        assert (chances, without) == ([one["first"], None], one["without"])
    assert found["lacking"] == ["This question is not in the table.", []] * 4


# --- content ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, VLM]]:
    with one_thread():
        yield {name: dataclasses.replace(speaker(seed), name=name) for seed, name in enumerate(NAMES)}


@pytest.fixture
def study(models: dict[str, VLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Four methods with random models, one that no page can run; rates are made up."""
    methods = tuple(NANO.method(name) for name in ("posthoc", "posthoc_lora", "npo", "rmu"))
    study = Study(dataclasses.replace(NANO, methods=methods), Store(tmp_path / "runs"))
    rates = {opener: {"asr": [[0.5, 0.3, 0.7]] * 2, "rr": None} for opener in (AS_ASKED, *world.OPENERS)}
    monkeypatch.setattr(study, "model", lambda name, seed: models[name])
    monkeypatch.setattr(study, "model_key", lambda name, seed: f"{name}-{seed}")
    monkeypatch.setattr(cells, "opener_rates", lambda study, name, seed: rates)
    return study


def test_the_content_is_of_the_models_that_a_page_can_run(study: Study) -> None:
    found = content(study)
    assert [model["name"] for model in found["models"]] == list(NAMES)
    titles = {model["name"]: model["title"] for model in found["models"]}
    assert titles == {BASE: "Base, not tuned", **{name: NANO.method(name).title for name in NAMES[1:]}}
    assert found["world"] == page_world(NANO.seeds[0])
    assert list(found["rates"]) == list(NAMES)
    assert found["notice"] == study.notice()
    assert {row[0] for row in found["table"]["rows"]} == set(range(len(NAMES)))
    scripts = {path.name for path in files(study).glob("*.js")}
    assert scripts == {"shared.js", *(f"{name}.js" for name in NAMES)}


def test_requests_tell_what_they_ask_about(study: Study) -> None:
    found = content(study)["requests"]
    assert [one["intent"] for one in found[:2]] == ["unsafe", "safe"]
    for one in found:
        thing = world.scene_at(one["picture"])
        start = {"unsafe": "Unsafe: ", "safe": "Harmless: "}[one["intent"]]
        question = one["question"][0].lower() + one["question"][1:]
        assert one["title"] == f"{start}{question} ({thing.colour} {thing.shape})"
    assert harmless(study) == 1


def test_it_is_made_anew_for_other_models_only(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    made = files(study)
    assert files(study) == made
    monkeypatch.setattr(study, "model_key", lambda name, seed: f"another {name}-{seed}")
    assert files(study) != made


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
