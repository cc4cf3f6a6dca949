"""The explorer of whole studies: what it holds, the files of a page, and what a reader may not see of real models."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from llava_fixture import make_llava, make_vlguard
from page_fixture import in_node, node, one_thread, written

from mirage_lib.attacks import AS_ASKED, OneWord
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.store import Store
from mirage_lib.explorer import laboratory_content
from mirage_lib.explorer.content import ON_PAGE, content, files, harmless, opener_table
from mirage_lib.explorer.widget import HOST, Explorer, bundle, write_page
from mirage_lib.metrics.rates import rate, success_at_k
from mirage_lib.study.profiles import LLAVA_NANO, NANO
from mirage_lib.study.study import BASE, Study
from mirage_lib.world.questions import OPENERS

METHODS = ("posthoc", "posthoc_lora", "npo", "rmu")
NAMES = [BASE, "posthoc", "npo", "rmu"]  # those of them that a page runs
ALL = [AS_ASKED, *OPENERS]
SEED = NANO.seeds[0]
NUMBERS = ["rate", "low", "high"]
KEYS = {"world", "models", "openers", "refuses", "most", "shots", "requests", "rates", "pictures", "table", "notice"}


def never(name: str, done: int, total: int) -> None:
    """A progress that must never be told."""
    raise AssertionError(f"{name} was made although it was there")


def openers_only(name: str, done: int, total: int) -> None:
    """A progress that tells of the questions under every opener, which the study itself does not ask."""
    assert name.startswith("openers "), f"{name} was made although it was there"


@pytest.fixture(scope="module")
def study(nano: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """The shared study in a store of its own, with four of its methods."""
    root = tmp_path_factory.mktemp("explorer") / "runs"
    shutil.copytree(nano.store.root, root, copy_function=os.link)
    methods = tuple(NANO.method(name) for name in METHODS)
    with one_thread():
        yield Study(dataclasses.replace(NANO, methods=methods), Store(root), openers_only)


@pytest.fixture(scope="module")
def shown(study: Study) -> dict[str, Any]:
    return content(study)


@pytest.fixture(scope="module")
def page(study: Study, shown: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "explorer"
    assert write_page(study, folder) == sorted(folder.iterdir())
    return folder


def told(shown: dict[str, Any]) -> pd.DataFrame:
    """The table of replies, written out."""
    table = shown["table"]
    names = [model["name"] for model in shown["models"]]
    rows = [
        (names[model], shown["pictures"][picture], table["questions"][question], table["texts"][text], *rest)
        for model, picture, question, text, *rest in table["rows"]
    ]
    return pd.DataFrame(rows, columns=["model", "picture", "question", "text", "finished", "first", "without", "label"])


# --- the laboratory ---------------------------------------------------------------------------


def test_the_content_is_whole(study: Study, shown: dict[str, Any]) -> None:
    assert shown.keys() == KEYS
    text = json.dumps(shown, allow_nan=False)
    assert json.loads(text) == shown
    assert len(text) * len(ON_PAGE) / len(NAMES) < 3e6
    assert [model["name"] for model in shown["models"]] == NAMES == list(shown["rates"])
    assert (shown["most"], shown["shots"]) == (NANO.decoding.max_new_tokens, NANO.subject.shots)
    assert [one["intent"] for one in shown["requests"]][:2] == ["unsafe", "safe"]
    assert harmless(study) == 1
    assert "not measured" in shown["notice"]


def test_every_request_has_its_reply_under_every_opener(shown: dict[str, Any]) -> None:
    table = told(shown)
    assert not table.duplicated(["model", "picture", "question"]).any()
    asked = set()
    for one in shown["requests"]:
        example = Example("own", "own", "test", one["picture"], one["question"], one["intent"], ())
        edits = [OneWord(word, phrases=OPENERS)(example).prompt for word in OPENERS]
        asked |= {(name, one["picture"], question) for name in NAMES for question in (one["question"], *edits)}
    assert asked == set(table[["model", "picture", "question"]].itertuples(index=False, name=None))
    assert set(table["label"]) <= set(NANO.subject.labels)
    assert table["first"].between(0, 1).all()
    assert table["without"].map(len).tolist() == [len(question.split()) for question in table["question"]]


@pytest.mark.parametrize("name", NAMES)
def test_rates_are_those_of_the_studys_own_verdicts(study: Study, shown: dict[str, Any], name: str) -> None:
    """The study asks as asked, with "What" (unsafe) and with "Share" (safe): there both must agree."""
    found, table = shown["rates"][name], study.verdicts(name, SEED)
    assert list(found) == ALL
    for opener, edit in ((AS_ASKED, ""), ("what", "swap:what")):
        rows = table[(table["edit"] == edit) & (table["subset"] == "unsafes")]
        wanted = success_at_k(rows, range(1, NANO.subject.shots + 1))[NUMBERS].to_numpy()
        assert np.array(found[opener]["asr"]) == pytest.approx(wanted, abs=1e-4)
    for opener, edit in ((AS_ASKED, ""), ("share", "swap:share")):
        rows = table[(table["edit"] == edit) & (table["subset"] == "safe_safes") & (table["shot"] == 0)]
        for key, label in (("rr", "refused"), ("right", "correct")):
            wanted = rate(rows, label)[NUMBERS].iloc[0].tolist()
            assert found[opener][key] == pytest.approx(wanted, abs=1e-4)
    for own in found.values():
        rates = [line[0] for line in own["asr"]]
        assert len(rates) == NANO.subject.shots
        assert rates == sorted(rates), "more attempts never deliver less harm"
    asr = opener_table(shown, "asr")
    assert asr.shape == (len(ALL), len(NAMES))
    assert asr.iloc[:, NAMES.index(name)].tolist() == [found[opener]["asr"][0][0] for opener in ALL]


def test_a_page_has_all_that_it_loads(page: Path, shown: dict[str, Any]) -> None:
    scripts = {"content.js", "explorer.js", "shared.js", *(f"{name}.js" for name in NAMES)}
    assert {path.name for path in page.iterdir()} == scripts | {"explorer.css"}
    assert written(page / "content.js") == shown
    for name in NAMES:
        assert written(page / f"{name}.js").keys() == {"manifest", "data"}
        assert 1e5 < (page / f"{name}.js").stat().st_size < 2.5e6
    assert sum(path.stat().st_size for path in page.iterdir()) < 10e6
    assert all("<" not in (page / name).read_text("utf-8") for name in scripts - {"explorer.js"})
    text = (page / "explorer.js").read_text("utf-8")
    assert text == f"(() => {{\n{bundle(HOST)}\n}})();\n"
    assert "http" not in text + (page / "explorer.css").read_text("utf-8")
    shutil.copyfile(page / "explorer.js", page.parent / "explorer.cjs")
    node(["--check", "explorer.cjs"], page.parent)


SAME = """
import vm from "node:vm";
import {InPage, Table} from "./asking.js";
const load = (name) => {
  vm.runInThisContext(fs.readFileSync(`${told.folder}/${name}.js`, "utf8"));
  return globalThis.mirage[name];
};
const content = load("content"), table = new Table(content), way = new InPage(content, async (name) => load(name));
const found = [];
for (const {name} of content.models) {
  for (const [at, {picture, question: asked}] of content.requests.entries()) {
    for (const opener of told.openers) {
      const question = opener ? way.world.opened(asked, opener) : asked;
      const one = await way.answer(name, picture, question), other = await table.answer(name, picture, question);
      const label = way.world.label(question, way.world.scene(picture), one.text, one.finished);
      const without = at ? other.without : await Array.fromAsync(way.without(name, picture, question));
      found.push([{...one, without, label}, other]);
    }
  }
}
"""


def test_a_pages_models_say_what_its_table_says(page: Path, tmp_path: Path) -> None:
    """From the pixels to the verdict: the same by the page's code as by PyTorch and the oracle."""
    found = in_node(SAME, {"folder": str(page), "openers": ["", "what", "share"]}, tmp_path)
    assert len(found) == len(NAMES) * len(laboratory_content.WANTED) * 3
    for here, there in found:
        assert (here["text"], here["finished"], here["label"]) == (there["text"], there["finished"], there["label"])
        assert here["unknown"] == []
        assert here["first"] == pytest.approx(there["first"], abs=2e-5)
        assert here["without"] == pytest.approx(there["without"], abs=1e-4)
    assert len({there["text"] for _, there in found}) > 3


def test_a_second_call_makes_nothing(
    nano: Study, study: Study, page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def asked(*_: Any) -> None:
        raise AssertionError("a model was asked although all is in the store")

    for name in ("replies", "refusal_probability"):
        monkeypatch.setattr(laboratory_content, name, asked)
    monkeypatch.setattr("mirage_lib.study.steps.ask.replies", asked)
    before = study.store.runs()
    again = Study(study.profile, Store(study.store.root), never)
    write_page(again, tmp_path / "page")
    assert {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()} == {
        path.name: path.read_bytes() for path in page.iterdir()
    }
    there = {(run["step"], run["key"]) for run in nano.store.runs()}
    steps = pd.Series([run["step"] for run in before if (run["step"], run["key"]) not in there]).value_counts()
    assert steps.to_dict() == {"explorer": 1}, "the replies under every opener are made beside the models"
    assert study.store.runs() == before
    assert study.store.check() == []


def test_a_notebooks_models_answer_themselves(study: Study, shown: dict[str, Any]) -> None:
    explorer, sent = Explorer(study, ["npo", "rmu"], request=1), list[Any]()
    explorer.send = sent.append
    one = {key: shown["requests"][1][key] for key in ("picture", "question")}
    explorer._handle_custom_msg({"id": 1, "type": "answer", "model": "rmu", **one}, [])
    reply = told(shown).set_index(["model", "picture", "question"]).loc[("rmu", *one.values())]
    assert sent[0]["first"] == pytest.approx(reply["first"], abs=1e-3), "half precision tells little"
    with pytest.raises(MirageError, match="no model 'posthoc_lora'"):
        Explorer(study, ["posthoc_lora"])


# --- a published set --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A random LLaVA, an adapter tuned in two steps, asked made-up queries."""
    root = tmp_path_factory.mktemp("published")
    make_llava(root / "llava")
    make_vlguard(root / "data")
    with pytest.MonkeyPatch.context() as patch, one_thread():
        patch.delenv("MIRAGE_SHOW_HARM", raising=False)
        patch.setenv("MIRAGE_WEIGHTS", str(root / "llava"))
        patch.setenv("MIRAGE_DATA", str(root / "data"))
        profile = dataclasses.replace(LLAVA_NANO, methods=(LLAVA_NANO.method("posthoc_lora"),))
        study = Study(profile, Store(root / "runs"), lambda *_: None)
        for name in (BASE, "posthoc_lora"):
            study.make(name, 0)
        yield Study(profile, study.store, never)


def harm(study: Study) -> set[str]:
    """What the models say to unsafe requests, and those requests, as far as they would be recognised."""
    table = study.table([BASE, "posthoc_lora"])
    table = table[table["intent"] == "unsafe"]
    return {text for text in (*table["text"], *table["prompt"]) if len(text) > 5}


def unsafe_text(found: Any, texts: set[str]) -> list[str]:
    page = json.dumps(found, ensure_ascii=False)
    return [text for text in texts if text[:80] in page or json.dumps(text[:80], ensure_ascii=False)[1:-1] in page]


def test_a_published_set_is_a_table_without_a_world(published: Study, tmp_path: Path) -> None:
    found = content(published)
    assert found.keys() == KEYS | {"shown"}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["world"] is None
    assert [model["name"] for model in found["models"]] == [BASE, "posthoc_lora"]
    assert [one["intent"] for one in found["requests"]] == ["unsafe"] * 3 + ["safe"] * 3
    table = told(found)
    assert set(table["label"]) <= {"complied", "refused", "answered"}
    for one in found["requests"]:
        assert {AS_ASKED} <= one["questions"].keys() <= {AS_ASKED, *found["openers"]}
        assert one["questions"][AS_ASKED] == one["question"]
        for question in one["questions"].values():
            own = table[(table["picture"] == one["picture"]) & (table["question"] == question)]
            assert sorted(own["model"]) == [BASE, "posthoc_lora"], "every wording has its reply"
    assert all(rates.keys() == {AS_ASKED, "what", "share"} for rates in found["rates"].values())
    assert [len(found["rates"]["posthoc_lora"][opener]["asr"]) for opener in (AS_ASKED, "what")] == [1, 3]
    assert {path.name for path in write_page(published, tmp_path)} == {"content.js", "explorer.js", "explorer.css"}


def test_harm_is_withheld_unless_it_is_asked_for(published: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRAGE_SHOW_HARM", raising=False)
    texts, found = harm(published), content(published)
    assert len(texts) > 5
    assert unsafe_text(found, texts) == []
    for one in found["requests"]:
        source = found["shown"][one["picture"]]["src"]
        assert (source == "") == (one["intent"] == "unsafe")
        assert source.startswith("data:image/jpeg;base64," if source else "")
        assert found["shown"][one["picture"]]["alt"]
    safe = told(found).query("label == 'answered'")["text"]
    assert not safe.str.contains("withheld").any(), "what is harmless is shown"
    data, _ = Explorer(published, ["posthoc_lora"])._repr_mimebundle_()
    assert unsafe_text(data["text/html"], texts) == []


@pytest.mark.parametrize("first", ["0", "1"])
def test_only_someone_who_asks_sees_harm(published: Study, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """The store is shared: what was made for one reader is not shown to the next, whichever comes first."""
    monkeypatch.delenv("MIRAGE_SHOW_HARM", raising=False)
    texts = harm(published)
    published.store.remove(files(published))
    monkeypatch.setenv("MIRAGE_SHOW_HARM", first)
    content(published)
    monkeypatch.setenv("MIRAGE_SHOW_HARM", "1")
    asked = content(published)
    assert len(unsafe_text(asked, texts)) > 3
    assert all(one["src"] for one in asked["shown"].values())
    assert "withheld" not in json.dumps(asked)
    monkeypatch.setenv("MIRAGE_SHOW_HARM", "0")
    assert unsafe_text(content(published), texts) == []


def test_large_models_are_not_waited_for(published: Study) -> None:
    explorer, sent = Explorer(published, ["posthoc_lora"]), list[Any]()
    explorer.send = sent.append
    explorer._handle_custom_msg({"id": 4, "type": "ping"}, [])
    assert (sent[0]["id"], sent[0].keys()) == (4, {"id", "error"})
