"""``python -m mirage_lib judge`` as a stranger calls it: what it prints, what it writes, and its exit code."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from audit_fixture import put
from command_fixture import Capture, message, refused_call

from mirage_lib.__main__ import main

NO, YES = "I'm sorry, not today.", "Gladly: a red kite."
RECORDS: list[dict[str, Any]] = [
    {"question": f"which kite, number {i}?", "response": text, "who": "ab"[i % 2], "human": human}
    for i, (text, human) in enumerate(
        [(NO, "2_full_refusal")] * 3
        + [(NO, "1_full_compliance")]
        + [(YES, "2_full_refusal")] * 2
        + [(YES, "1_full_compliance")] * 4
        + [("", "2_full_refusal"), (NO, "3_partial_refusal")]
    )
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own to stand in, with replies."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "replies.csv", RECORDS)
    return tmp_path


def refused(capsys: Capture, *arguments: str) -> str:
    """The one message of a call that is refused with exit code 2."""
    return refused_call(capsys, "judge", *arguments)


def as_json(capsys: Capture, *arguments: str) -> dict[str, Any]:
    """The object that a call prints."""
    assert main(["judge", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


# --- what is asked for is printed and written -------------------------------------------------


def test_a_plain_call(capsys: Capture, here: Path) -> None:
    assert main(["judge", "replies.csv"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("replies.csv: 12 replies.\nRead prompt from “question”, reply from “response”.\nNo intents:")
    assert re.search(r"\n +refused +5 +0\.45 \[0\.21, 0\.72\]\n +not refused +6 +0\.55 \[0\.28, 0\.79\]\n", out)
    assert out.endswith("unscored       1\n  1 unscored: no reply (line 12)\n")
    assert [path.name for path in here.iterdir()] == ["replies.csv"], "nothing is written unasked"


@pytest.mark.parametrize("kind", ["tsv", "json", "jsonl", "parquet"])
def test_every_kind_gives_the_same_counts(kind: str, capsys: Capture, here: Path) -> None:
    put(here / f"other.{kind}", RECORDS)
    assert as_json(capsys, f"other.{kind}")["labels"] == as_json(capsys, "replies.csv")["labels"]


def test_a_compressed_file_and_several_files(capsys: Capture, here: Path) -> None:
    (here / "more.csv.gz").write_bytes(gzip.compress((here / "replies.csv").read_bytes()))
    assert main(["judge", "replies.csv", "more.csv.gz"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("replies.csv, more.csv.gz: 24 replies.\nRead prompt")
    assert "2 unscored: no reply (replies.csv: line 12, more.csv.gz: line 12)" in out


def test_files_with_other_columns_say_so_each(capsys: Capture, here: Path) -> None:
    put(here / "b.jsonl", [{"reply": YES}])
    assert main(["judge", "replies.csv", "b.jsonl"]) == 0
    out = capsys.readouterr().out
    assert (
        "replies.csv: Read prompt from “question”, reply from “response”.\nb.jsonl: Read reply from “reply”.\n" in out
    )


def test_agreement_with_people_is_what_it_is_by_hand(capsys: Capture) -> None:
    data = as_json(capsys, "replies.csv", "--against", "human")
    found = {line["measure"]: line["value"] for line in data["agreement"]}
    assert found == pytest.approx({"precision": 3 / 4, "recall": 3 / 5, "f1": 2 / 3, "kappa": 0.4, "accuracy": 0.7})
    first = data["agreement"][0]
    assert [first[name] for name in ("n", "n_unscored", "n_unlabelled", "tp", "fp", "fn", "tn")] == [
        *(10, 1, 1),
        *(3, 1, 2, 4),
    ]
    assert data["people"]["partial"] == {"3_partial_refusal": 1}
    assert main(["judge", "replies.csv", "--judge", "released", "--against", "human"]) == 0
    out = capsys.readouterr().out
    assert "refused is “2_full_refusal” (6), not refused is “1_full_compliance” (5); set aside: partial" in out
    assert re.search(r"released against people: is it a refusal\?\n.*kappa\n +10 +1 +1 0\.75 \[", out)


def test_values_of_people_may_be_named(capsys: Capture) -> None:
    named = ["--refused", "2_full_refusal", "--refused", "3_partial_refusal"]
    data = as_json(capsys, "replies.csv", "--against", "human", *named)
    assert data["people"]["refused"] == {"2_full_refusal": 6, "3_partial_refusal": 1}
    assert data["agreement"][0]["tp"] == 4
    data = as_json(capsys, "replies.csv", "--against", "human", *named[:2], "--partial", "3_partial_refusal")
    assert (data["agreement"][0]["tp"], data["agreement"][0]["n_unlabelled"]) == (3, 1)


def test_models_are_told_apart(capsys: Capture) -> None:
    data = as_json(capsys, "replies.csv", "--model", "who", "--against", "human")
    assert [(one["model"], one["label"], one["replies"]) for one in data["labels"]] == [
        ("a", "refused", 2),
        ("a", "not refused", 3),
        ("a", "unscored", 1),
        ("b", "refused", 3),
        ("b", "not refused", 3),
    ]
    assert {line["group"] for line in data["agreement"]} == {"a", "b", "pooled", "macro mean"}


def test_intents_name_the_labels(capsys: Capture, here: Path) -> None:
    put(here / "a.jsonl", [{"reply": YES, "kind": kind} for kind in ("harmful", "benign", "odd")])
    data = as_json(capsys, "a.jsonl", "--intent", "kind", "--unsafe", "harmful")
    assert (data["unsafe_values"], data["safe_values"]) == (["harmful"], ["benign", "odd"])
    data = as_json(capsys, "a.jsonl", "--intent", "kind")
    assert {one["label"] for one in data["labels"] if one["replies"]} == {"complied", "answered", "unscored"}
    assert data["unscored"][0]["why"] == "the intent is neither safe nor unsafe"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_file_of_verdicts(ending: str, capsys: Capture, here: Path) -> None:
    out = here / f"out.{ending}"
    read = {"csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True), "parquet": pd.read_parquet}[
        ending
    ]
    assert main(["judge", "replies.csv", "--judge", "released", "--id", "question", "--out", out.name]) == 0
    assert f"Wrote out.{ending}" in message(capsys)
    table = read(out)
    assert list(table) == ["file", "row", "id", "released", "released_why", "released_score"]
    assert table["row"].tolist() == list(range(2, 14)), "lines of the file"
    assert table["released"].tolist()[::11] == ["refused", "refused"]
    assert YES not in out.read_bytes().decode("latin-1")
    again = ["--model", "who", "--against", "human", "--with-text", "--out", out.name]
    assert main(["judge", "replies.csv", *again]) == 0, "an earlier output is replaced"
    table = read(out)
    assert list(table)[3:7] == ["model", "human", "prompt", "reply"]
    assert table["reply"].tolist()[9] == YES
    assert sorted(path.name for path in here.iterdir()) == [out.name, "replies.csv"]


def test_the_same_call_gives_the_same_file(capsys: Capture, here: Path) -> None:
    outputs = []
    for _ in range(2):
        assert main(["judge", "replies.csv", "--against", "human", "--out", "out.csv"]) == 0
        outputs.append((capsys.readouterr().out, (here / "out.csv").read_bytes()))
    assert outputs[0] == outputs[1]


# --- what cannot be done is refused in one line -----------------------------------------------


def test_nothing_else_is_written_over(capsys: Capture, here: Path) -> None:
    put(here / "mine.csv", [{"file": "a", "row": 1, "id": "x", "note": "keep"}])
    put(here / "mine.jsonl", RECORDS)
    put(here / "mine.parquet", RECORDS)
    (here / "empty.csv").write_text("")
    for name in ("mine.csv", "mine.jsonl", "mine.parquet", "empty.csv"):
        before = (here / name).read_bytes()
        assert "no earlier output of this command: it is not written over" in refused(
            capsys, "replies.csv", "--out", name
        )
        assert (here / name).read_bytes() == before
    assert "is to be read and to be written" in refused(capsys, "replies.csv", "--out", "./replies.csv")
    (here / "folder.csv").mkdir()
    assert "is a folder" in refused(capsys, "replies.csv", "--out", "folder.csv")
    assert "no such folder" in refused(capsys, "replies.csv", "--out", "nowhere/out.csv")
    assert "ends in none of .csv, .jsonl, .parquet" in refused(capsys, "replies.csv", "--out", "out.txt")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nix.csv"], "nix.csv: no such file"),
        (["replies.csv", "--reply", "nix"], "no column 'nix', named as --reply. There are: 'question', 'response'"),
        (["replies.csv", "--judge", "nix"], "There is no judge 'nix'; there are"),
        (["replies.csv", "--refused", "yes"], "Name their column: --against COLUMN"),
        (["replies.csv", "--unsafe", "yes"], "Name its column: --intent COLUMN"),
        (["replies.csv", "--with-text"], "Name it: --out FILE"),
        (["replies.csv", "--against", "who"], "The values of “who” (“a”, “b”) do not say which means refused"),
        (["replies.csv", "--encoding", "nix"], "'nix' is no encoding"),
        (["empty.csv"], "empty.csv: no row can be read"),
        (["numbers.csv"], "no column looks like replies. Name it: --reply COLUMN. There are: 'a', 'b'"),
    ],
)
def test_what_cannot_be_judged(arguments: list[str], expected: str, capsys: Capture, here: Path) -> None:
    (here / "empty.csv").write_text("")
    (here / "numbers.csv").write_text("a,b\n1,2\n")
    assert expected in refused(capsys, *arguments)


def test_damaged_rows_are_a_failure_unless_they_are_skipped(capsys: Capture, here: Path) -> None:
    (here / "a.jsonl").write_text(json.dumps({"reply": NO}) + '\n{"reply": \n')
    assert main(["judge", "a.jsonl", "--out", "out.csv"]) == 2
    captured = capsys.readouterr()
    assert "a.jsonl: 1 replies." in captured.out
    assert "1 rows cannot be read and are not counted:\n  a.jsonl: line 2: not whole JSON" in captured.out
    assert "error: 1 rows cannot be read, the first: a.jsonl: line 2: not whole JSON" in captured.err
    assert (here / "out.csv").exists()
    assert main(["judge", "a.jsonl", "--skip-bad"]) == 0
    assert "error" not in message(capsys)
    assert as_json(capsys, "a.jsonl", "--skip-bad")["bad_rows"][0]["row"] == 2


def test_no_control_character_reaches_the_terminal(capsys: Capture, here: Path) -> None:
    bell = "\x1b[31m\x07\u202e"
    put(here / "a.jsonl", [{f"reply{bell}": f"{NO}{bell}", "who": f"m{bell}", "human": bell}, {"who": bell}])
    main(["judge", "a.jsonl", "--model", "who", "--reply", f"reply{bell}"])
    main(["judge", "a.jsonl", "--model", "who", "--reply", f"reply{bell}", "--json"])
    main(["judge", "a.jsonl", "--against", "human", "--reply", f"reply{bell}"])
    main(["judge", "a.jsonl", "--reply", "nix"])
    captured = capsys.readouterr()
    assert not set(captured.out + captured.err) & {"\x1b", "\x07", "\u202e"}
    assert "prompt from" not in captured.out, "a column of labels is no prompt"
