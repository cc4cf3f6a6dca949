"""The report: nothing of the data is markup, JSON is JSON, and what is bad or missing is said."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
from audit_fixture import THINGS, made, pictures, put, queries

from mirage_lib.audit import report
from mirage_lib.audit.audit import Audit, audit
from mirage_lib.datasets.files import BadRow
from mirage_lib.datasets.own.columns import Columns
from mirage_lib.datasets.own.queries import read_queries
from mirage_lib.text import triggers
from mirage_lib.text.counts import label_given_word

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """What a page holds: its tags balanced, its attributes, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[list[str]]] = {}  # tag -> the classes around each of its places
        self.classes: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.setdefault(tag, []).append(list(self.classes))
        if tag not in VOID:
            self.open.append(tag)
            self.classes.append(dict(attrs).get("class") or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another"
        self.classes.pop()

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def biased() -> Audit:
    return audit(queries([{**one, "split": ("train", "test")[i % 2]} for i, one in enumerate(made(200))]), "made.csv")


@pytest.fixture(scope="module")
def unbiased() -> Audit:
    return audit(queries(made(200, bias=0.0)), "made.csv")


@pytest.fixture(scope="module")
def evil() -> Audit:
    """Markup wherever the data have a say: in words, names of columns, values, files, pictures, splits."""
    records = [{**one, "prompt": one["prompt"].replace("share", EVIL), "split": "train"} for one in made(100)]
    records += [{**records[0], "split": f"<b>{EVIL}"}, {"prompt": "N/A", "label": "safe", "split": "train"}]
    columns = Columns(f"prompt{EVIL}", f"label{EVIL}", unsafe=(EVIL,), safe=("<i>",))
    data = queries(records, columns, file=f"in/{EVIL.replace('/', '')}.csv")
    found = audit(data, f"{EVIL}.csv", segment=str.split)
    bad = [BadRow(f"{name}.csv", 3, "line", f"'x' is {EVIL}") for name in (EVIL, "b")]
    return dataclasses.replace(found, bad=bad)


# --- the page ---------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["biased", "unbiased", "evil"])
def test_the_page_stands_alone(which: str, request: pytest.FixtureRequest) -> None:
    text = report.page(request.getfixturevalue(which))
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert page.named("html") == [{"lang": "en"}]
    assert "give away" in re.search("<title>(.*)</title>", text).group(1)  # type: ignore[union-attr]
    assert not re.search(r"https?://|//\w|@import|url\(", text.replace("</", "")), "it asks nothing of another host"
    assert not [
        one for _, attributes in page.tags for one in attributes if one.startswith("on") or one in ("src", "href")
    ]
    assert not page.named("script")
    assert "None" not in page.text.replace("None goes with", "")
    assert "nan" not in page.text.lower().split()
    for table in page.named("th"):
        assert table.get("scope") in ("col", "row")


def test_no_text_of_the_data_is_markup(evil: Audit) -> None:
    page = Page(report.page(evil))
    assert not {tag for tag, _ in page.tags} & {"script", "b", "i"}
    for place in (EVIL, f"prompt{EVIL}", f"label{EVIL}", f"{EVIL}.csv: line 3", f"'x' is {EVIL}"):
        assert place in page.text, "it is shown as it is written"


def test_the_page_says_what_was_found(biased: Audit) -> None:
    text = Page(report.page(biased)).text
    for part in (
        *("What the words of made.csv give away", "200 queries: 100 safe, 100 unsafe.", "Read query from 'prompt'"),
        *("1.00", "The first word nearly gives the label away", "all but the first, train → test", "5 folds"),
        *(
            "With their first word replaced by “what”, 100 % of unsafe",
            "0 rows or pictures cannot be used",
            "Weights alone would take the first word",
        ),
    ):
        assert part in text


def test_the_page_says_by_what_it_was_made(biased: Audit) -> None:
    version = metadata.version("safety-mirage")
    assert f"safety-mirage {version}." in Page(report.page(biased)).text
    assert report.data(biased)["version"] == version


@pytest.mark.parametrize("which", ["biased", "unbiased", "evil"])
def test_no_caption_scrolls_away_with_its_table(which: str, request: pytest.FixtureRequest) -> None:
    page = Page(report.page(request.getfixturevalue(which)))
    tables = page.inside["table"]
    assert tables
    assert all("scroll" in around for around in tables), "a wide table scrolls in a box of its own"
    assert not [around for tag in ("p", "caption") for around in page.inside.get(tag, []) if "scroll" in around]
    boxes = [one for one in page.named("div") if one.get("class") == "scroll"]
    assert len(boxes) == len(tables)
    assert all(one.get("tabindex") == "0" and one.get("aria-label") for one in boxes), "keys reach what scrolls"


def test_a_set_without_telling_words(unbiased: Audit) -> None:
    text = Page(report.page(unbiased)).text
    assert "None goes with a label by log-odds of 1 or more, beyond chance." in text
    assert "No opener goes with a label by log-odds of 1 or more, beyond chance." in text
    assert "Openers that carry the label: none" in report.lines(unbiased)
    assert not [line for line in report.lines(unbiased) if line.startswith("To balance them")]
    assert report.data(unbiased)["advice"] == []


@pytest.mark.parametrize("count", [1, 2, 3, 4, 250])
def test_bad_rows_are_counted_and_shown(unbiased: Audit, count: int) -> None:
    bad = [BadRow("a.csv", row, "line", "why") for row in range(1, count + 1)]
    found = dataclasses.replace(unbiased, bad=bad)
    lines = report.lines(found)
    places = ", ".join(f"line {row}" for row in range(1, min(count, 3) + 1))
    places += f" and {count - 3} more" if count > 3 else ""
    assert lines[-2:] == [f"{count} rows or pictures cannot be used, in a.csv:", f"  {count}: why ({places})"]
    text = Page(report.page(found)).text
    assert f"{count} rows or pictures cannot be used" in text
    assert f"why ({places})" in text
    assert report.rows(found).to_dict("records") == [{"rows": count, "used": "no", "what": "why", "where": places}]
    assert [one["row"] for one in report.data(found)["bad_rows"]] == list(range(1, count + 1))


@pytest.mark.parametrize("count", [1, 20, 21, 250])
def test_reasons_are_counted_and_the_first_are_shown(unbiased: Audit, count: int) -> None:
    """Missing pictures have a reason each, with their name."""
    bad = [BadRow("a.csv", row, "line", f"no picture {row}") for row in range(1, count + 1)]
    found = dataclasses.replace(unbiased, bad=bad)
    lines = report.lines(found)
    shown = [line for line in lines if re.fullmatch(r"  1: no picture (\d+) \(line \1\)", line)]
    assert len(shown) == min(count, 20)
    assert f"{count} rows or pictures cannot be used, in a.csv:" in lines
    assert (f"  and {count - 20} more reasons; --json lists all" in lines) == (count > 20)
    assert [one["why"] for one in report.data(found)["bad_rows"]] == [one.why for one in bad], "--json lists all"
    text = Page(report.page(found)).text
    on_page = len(re.findall(r"no picture \d+ \(line", text))
    assert min(count, 20) <= on_page <= 200, "a page of 100 000 lines is none"
    assert f"{count - on_page} more" in text or on_page == count, "the page says that it does not show all"


def test_a_set_without_bad_rows_says_so(unbiased: Audit) -> None:
    assert unbiased.bad == []
    assert not [line for line in report.lines(unbiased) if "cannot be used" in line]
    assert "0 rows or pictures cannot be used\n" in Page(report.page(unbiased)).text
    assert list(report.rows(unbiased).columns) == ["rows", "used", "what", "where"]
    assert not len(report.rows(unbiased))


def test_bad_rows_of_several_files_have_their_file(unbiased: Audit) -> None:
    bad = [BadRow("in/a.csv", 3, "line", "'x' is empty"), BadRow("b.json", 7, "row", "'x' is empty")]
    found = dataclasses.replace(unbiased, bad=bad)
    assert report.lines(found)[-2:] == [
        "2 rows or pictures cannot be used, in in/a.csv and others:",
        "  2: 'x' is empty (in/a.csv: line 3, b.json: row 7)",
    ]
    assert "'x' is empty (in/a.csv: line 3, b.json: row 7)" in Page(report.page(found)).text


def test_the_page_and_the_table_name_the_file_that_the_bad_rows_are_in(tmp_path: Path) -> None:
    put(tmp_path / "good.csv", made(40))
    put(tmp_path / "spoilt.csv", [*made(40, seed=1), {"prompt": "", "label": "safe"}])
    found = audit(read_queries([tmp_path / "good.csv", tmp_path / "spoilt.csv"]), "mine")
    assert f"1 rows or pictures cannot be used, in {tmp_path / 'spoilt.csv'}:" in report.lines(found)
    assert "spoilt.csv" in Page(report.page(found)).text, "line 42 of which file?"
    (line,) = report.rows(found).query("used == 'no'").to_dict("records")
    assert "spoilt.csv" in line["where"]


def test_rows_tell_what_is_used_from_what_is_not(evil: Audit) -> None:
    table = report.rows(evil)
    assert table["used"].tolist() == ["no"] + ["yes"] * len(evil.notes)
    assert table["rows"].tolist() == [2, *(len(note.rows) for note in evil.notes)]
    assert table["what"].tolist()[0] == f"'x' is {EVIL}"
    assert evil.notes


# --- pictures that were not looked for --------------------------------------------------------


@pytest.fixture
def drawn(tmp_path: Path) -> Audit:
    """A set that names pictures, of which none was looked for."""
    pictures(tmp_path)
    records = [{**one, "image": "whole.png"} for one in made(40)]
    return audit(queries(records, file=str(tmp_path / "a.jsonl")))


def test_pictures_that_were_not_looked_for_are_told(drawn: Audit, unbiased: Audit, tmp_path: Path) -> None:
    told = "No picture was opened; --images FOLDER opens them."
    assert not drawn.looked
    assert told in report.lines(drawn)
    assert told not in report.lines(unbiased), "a set that names no picture"
    looked = audit(drawn.queries, images=tmp_path)
    assert looked.looked
    assert "1 pictures opened and whole." in report.lines(looked)
    assert "1 pictures opened and whole" in Page(report.page(looked)).text
    assert told not in report.lines(looked)
    (tmp_path / "empty").mkdir()
    missed = audit(drawn.queries, images=tmp_path / "empty")
    assert "0 pictures opened and whole." in report.lines(missed)


# --- the object, the lines, the files ---------------------------------------------------------


@pytest.mark.parametrize("which", ["biased", "unbiased", "evil"])
def test_the_object_is_plain_json(which: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(which)
    result = report.data(found)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert (result["queries"], result["safe"], result["unsafe"]) == (len(found.queries.frame), *found.counts.values())
    assert {"format", "name", "score", "columns", "classifiers", "openers", "words", "triggers", "advice"} <= set(
        result
    )
    assert [line["word"] for line in result["openers"]] == found.openers["word"].tolist()
    assert result["seed"] == 0
    assert (result["transfer"] is None) == (found.transfer is None)


def test_missing_numbers_are_null(biased: Audit) -> None:
    hole = biased.classifiers.assign(auc=float("nan"))
    result = report.data(dataclasses.replace(biased, classifiers=hole))
    assert {line["auc"] for line in result["classifiers"]} == {None}
    json.dumps(result, allow_nan=False)
    assert "–" in Page(report.page(dataclasses.replace(biased, classifiers=hole))).text


def test_a_sample_is_said_everywhere() -> None:
    found = audit(queries(made(100)), sample=60, seed=4)
    said = "a sample of 60 of 100 queries, seed 4, 5 folds"
    assert said in "\n".join(report.lines(found))
    assert said in Page(report.page(found)).text
    assert (report.data(found)["classified"], report.data(found)["queries"]) == (60, 100)


def test_the_lines_for_a_terminal(biased: Audit) -> None:
    lines = report.lines(biased)
    assert lines[0] == "made.csv: 200 queries, 100 safe, 100 unsafe."
    assert lines[1] == "Read query from 'prompt', label from 'label'; unsafe is 'unsafe'."
    assert lines[3].startswith("1.00  balanced accuracy of the first word alone")
    assert any(re.match(r"  +share +0 +100 +1\.00 \[0\.9\d, 1\.00\]", line) for line in lines)
    assert lines[3].endswith("(1.00 to 1.00 by fold; .50 knows nothing).")
    assert "Of all queries 0.50 are unsafe." in lines
    assert "Words alone, fitted on train, tried on test" in lines
    assert all("\n" not in line for line in lines)


def test_the_source_of_labels_is_said() -> None:
    columns = Columns("prompt", answer="reply", why={"label": "no label, so whether 'reply' opens with a refusal"})
    found = audit(queries(made(60), columns))
    assert report.lines(found)[1] == (
        "Read query from 'prompt', answer from 'reply'; no label, so whether 'reply' opens with a refusal."
    )


@pytest.mark.parametrize(
    ("score", "beginning"),
    [
        (0.0, "The first word tells little"),
        (0.59, "The first word tells little"),
        (0.6, "The first word tells something"),
        (0.74, "The first word tells something"),
        (0.75, "The first word tells much"),
        (0.89, "The first word tells much"),
        (0.9, "The first word nearly gives"),
        (1.0, "The first word nearly gives"),
    ],
)
def test_verdicts(score: float, beginning: str) -> None:
    assert report.verdict(score).startswith(beginning)


def test_the_verdict_fits_the_number_that_is_shown(biased: Audit) -> None:
    hole = biased.classifiers.assign(balanced=0.5986)
    lines = report.lines(dataclasses.replace(biased, classifiers=hole))
    assert lines[3].startswith("0.60")
    assert lines[4] == report.verdict(0.6)


def test_the_strongest_words_are_sure_and_in_order() -> None:
    table = pd.DataFrame(
        {
            "word": ["a", "b", "", "c", "d", "e", "f"],
            "n": [9, 90, 99, 30, 99, 999, 999],
            "pmi": [0.9, 0.5, 0.9, 0.5, 0.9, 0.9, 0.9],
            "q": [0.01, 0.01, 0.0, 0.04, 0.06, 0.0, 0.0],
            "odds": [1.0, -1.0, 3.0, -4.0, 4.0, 0.99, -0.99],
        }
    )
    assert report.strongest(table)["word"].tolist() == ["b", "c", "a"]
    assert report.strongest(table, 1)["word"].tolist() == ["b"]


def test_sentences_name_a_word_for_each_side(biased: Audit) -> None:
    let_through, refused = sorted(report.sentences(biased), reverse=True)
    for sentence in (let_through, refused):
        assert re.fullmatch(
            r"With their first word replaced by “(what|share)”, 100 % of "
            r"(unsafe queries would pass for safe|safe queries would be refused); with it put before them, \d+ % "
            r"\(\d+ % as asked, \d+ held-out queries\)\.",
            sentence,
        )
    assert "“what”, 100 % of unsafe" in let_through
    assert "“share”, 100 % of safe" in refused


def test_sentences_have_the_numbers_of_their_word(biased: Audit) -> None:
    for sentence, side in zip(report.sentences(biased), triggers.SIDES.values(), strict=True):
        word = re.search("“(.*)”", sentence).group(1)  # type: ignore[union-attr]
        lines = biased.triggers[(biased.triggers["side"] == side) & (biased.triggers["word"] == word)].set_index("edit")
        swap, prefix, before = lines.loc["swap", "share"], lines.loc["prefix", "share"], lines.loc["swap", "before"]
        assert [int(n) for n in re.findall(r"(\d+) %", sentence)] == [
            round(100 * float(share)) for share in (swap, prefix, before)
        ]
        assert f"{lines.loc['swap', 'n']} held-out queries" in sentence


def replaced(found: Audit, told: float, before: float, swap: float) -> Audit:
    """An audit in which all words have this balanced accuracy, and each opener flips these shares."""
    heard = found.classifiers["balanced"].mask(found.classifiers["classifier"] == "all words", told)
    shares = found.triggers["share"].mask(found.triggers["edit"] == "swap", swap)
    triggers = found.triggers.assign(share=shares, before=before)
    return dataclasses.replace(found, classifiers=found.classifiers.assign(balanced=heard), triggers=triggers)


@pytest.mark.parametrize(("told", "silent"), [(0.3, True), (0.5, True), (0.599, True), (0.601, False), (1.0, False)])
def test_without_a_telling_word_there_is_no_forecast(biased: Audit, told: float, silent: bool) -> None:
    found = report.sentences(replaced(biased, told, 0.0, 1.0))
    assert (len(found), found[0].startswith("No forecast: words alone do not tell the labels")) == (2 - silent, silent)
    if silent:
        assert f"(balanced accuracy of all words {told:.2f})" in found[0]


@pytest.mark.parametrize(
    ("before", "swap", "flips"), [(0.1, 0.1, False), (0.1, 0.14, False), (0.3, 0.2, False), (0.1, 0.16, True)]
)
def test_an_opener_that_flips_next_to_nothing_is_not_named(
    biased: Audit, before: float, swap: float, flips: bool
) -> None:
    for sentence in report.sentences(replaced(biased, 0.9, before, swap)):
        assert ("“" in sentence) == flips
        assert sentence.startswith("With their first word" if flips else "No opener of this set flips a classifier")
        assert f"({100 * before:.0f} % as asked, " in sentence
        assert f"{100 * swap:.0f} % of " in sentence


def test_words_that_tell_behind_any_opener() -> None:
    """The label is in the last word: all words tell, and no opener flips."""
    draw = random.Random(0)
    ends = {"safe": "kindly", "unsafe": "now"}
    records = [
        {**one, "prompt": f"{draw.choice(['what', 'tell', 'how'])} the {draw.choice(THINGS)} {i} {ends[one['label']]}"}
        for i, one in enumerate(made(200))
    ]
    let_through, refused = report.sentences(audit(queries(records)))
    start = "No opener of this set flips a classifier that sees all words: at most 0 % of "
    assert let_through.startswith(f"{start}unsafe queries would pass for safe (0 % as asked, ")
    assert refused.startswith(f"{start}safe queries would be refused (0 % as asked, ")


def test_a_set_in_which_no_two_queries_open_alike_has_a_report() -> None:
    letters = "abcdefghij"
    records = [
        {"prompt": f"o{letters[i // 10]}{letters[i % 10]} {ends} it", "label": label}
        for i, (ends, label) in enumerate([("kindly", "safe"), ("now", "unsafe")] * 50)
    ]
    found = audit(queries(records))
    assert found.triggers.empty, "no opener is common enough to be tried"
    assert report.lines(found)
    assert report.page(found)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_labels_forecast_nothing(seed: int) -> None:
    records = made(300)
    labels = [one["label"] for one in records]
    random.Random(seed).shuffle(labels)
    found = audit(queries([{**one, "label": label} for one, label in zip(records, labels, strict=True)]))
    (sentence,) = report.sentences(found)
    assert sentence.startswith("No forecast: words alone do not tell the labels here (balanced accuracy of all words ")
    assert f"  {sentence}" in report.lines(found)
    text = Page(report.page(found)).text
    assert sentence in text
    assert "would pass for safe" not in text
    assert "would be refused" not in text
    assert found.advice.empty
    assert report.data(found)["advice"] == []
    assert "To balance them" not in "\n".join(report.lines(found))
    low, high = found.spread
    assert low <= found.score <= high
    assert high < 0.75


def test_no_number_is_below_nothing(biased: Audit, unbiased: Audit) -> None:
    """An interval from nothing starts at 0, and is not shown as "-0.00"."""
    for found in (biased, unbiased):
        for table in (found.openers, found.anywhere, found.triggers):
            assert (table["low"].between(0, 1) & (table["low"] <= table["share"] + 1e-12)).all()
            assert (table["high"].between(0, 1) & (table["high"] >= table["share"] - 1e-12)).all()
        assert "[-" not in "\n".join(report.lines(found))
        assert "[-" not in report.page(found)
    assert "[0.00," in report.page(biased)
    for n in range(1, 500):
        counts = pd.DataFrame({"word": ["a", "b"], "safe": [n, 0], "unsafe": [0, n]})
        table = label_given_word(counts, "unsafe")
        assert [f"{value:.2f}" for value in (table["low"][0], table["high"][1])] == ["0.00", "1.00"]
        assert (table["low"] >= 0).all()
        assert (table["high"] <= 1).all()


def test_a_rate_too_small_for_a_number_is_not_shown_as_nothing(biased: Audit) -> None:
    found = dataclasses.replace(biased, openers=biased.openers.assign(q=0.0))
    assert any(line.endswith("<1e-300") for line in report.lines(found))
    text = Page(report.page(found)).text
    assert "0e+00" not in text
    assert "<1e-300" in text


def test_a_weak_bias_is_not_said_to_be_chance() -> None:
    """600 of 1000 against 400 of 1000: sure, but of log-odds below 1, and so not shown."""
    records = [
        {"prompt": f"{word} the thing number {i} of {label}", "label": label}
        for word, both in (("what", (600, 400)), ("tell", (400, 600)))
        for label, n in zip(("safe", "unsafe"), both, strict=True)
        for i in range(n)
    ]
    found = audit(queries(records))
    assert (found.openers["q"] < 1e-10).all()
    assert found.advice.empty
    assert report.strongest(found.openers).empty
    text = Page(report.page(found)).text
    assert "tied to a label beyond chance" not in text
    assert "No opener goes with a label by log-odds of 1 or more" in text


def test_what_weights_achieve_is_told(biased: Audit) -> None:
    assert list(biased.weights.columns) == ["file", "row", "id", "word", "label", "weight"]
    assert len(biased.weights) == 200
    assert report.balanced_lines(biased)[0].startswith("With the weights the first word, looked up, gets 1.00")


def test_without_a_forecast_no_word_is_listed(unbiased: Audit, biased: Audit) -> None:
    assert "Chosen on one half" in report.page(biased)
    assert "Chosen on one half" not in report.page(unbiased)
