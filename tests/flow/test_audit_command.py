"""``python -m mirage_lib audit`` as a stranger calls it: what it prints, what it writes, and its exit code."""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from audit_fixture import made, pictures, put
from command_fixture import Capture, message, refused_call

from mirage_lib.__main__ import main

DATA = os.environ.get("MIRAGE_DATA", "")
published = pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own to stand in, with a biased set."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "biased.csv", made(120))
    return tmp_path


def refused(capsys: Capture, *arguments: str) -> str:
    """The one message of a call that is refused with exit code 2."""
    return refused_call(capsys, "audit", *arguments)


# --- what is asked for is printed and written -------------------------------------------------


def test_a_plain_audit(capsys: Capture, here: Path) -> None:
    assert main(["audit", "biased.csv"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("biased.csv: 120 queries, 60 safe, 60 unsafe.\nRead query from 'prompt'")
    assert "1.00  balanced accuracy of the first word alone" in captured.out
    assert "counting words" in captured.err
    assert [path.name for path in here.iterdir()] == ["biased.csv"], "nothing is written unasked"


@pytest.mark.parametrize("kind", ["tsv", "json", "jsonl", "parquet"])
def test_every_kind_gives_the_same_report(kind: str, capsys: Capture, here: Path) -> None:
    put(here / f"biased.{kind}", made(120))
    main(["audit", "biased.csv"])
    first = capsys.readouterr().out
    assert main(["audit", f"biased.{kind}"]) == 0
    assert capsys.readouterr().out == first.replace("biased.csv", f"biased.{kind}")


def test_the_same_call_gives_the_same_answer(capsys: Capture) -> None:
    outputs = []
    for _ in range(2):
        main(["audit", "biased.csv", "--json", "--sample", "90", "--seed", "3"])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])["classified"] == 90


@pytest.mark.parametrize("arguments", [["--json"], ["--json", "-"]])
def test_json_alone_on_the_output(arguments: list[str], capsys: Capture) -> None:
    assert main(["audit", "biased.csv", *arguments]) == 0
    result = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (result["name"], result["safe"], result["unsafe"], result["score"]) == ("biased.csv", 60, 60, 1.0)


def test_json_tells_the_version_and_the_folds(capsys: Capture, here: Path) -> None:
    put(here / "half.csv", made(200, bias=0.5))
    assert main(["audit", "half.csv", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["version"] == metadata.version("safety-mirage")
    low, high = result["score_folds"]
    assert 0 <= low < result["score"] < high <= 1
    main(["audit", "half.csv"])
    assert f"{result['score']:.2f}  balanced accuracy of the first word alone ({low:.2f} to {high:.2f} by fold;" in (
        capsys.readouterr().out
    )


def test_an_unbiased_set_is_given_no_forecast_and_no_advice(capsys: Capture, here: Path) -> None:
    records = made(300)
    labels = [one["label"] for one in records]
    random.Random(0).shuffle(labels)
    put(here / "a.csv", [{**one, "label": label} for one, label in zip(records, labels, strict=True)])
    assert main(["audit", "a.csv", "--html", "a.html"]) == 0
    out = capsys.readouterr().out
    for text in (out, (here / "a.html").read_text("utf-8")):
        assert "No forecast: words alone do not tell the labels here" in text
        assert "would pass for safe" not in text
    assert "To balance them" not in out
    assert "The first word tells little of the label." in out


def test_a_file_a_label(capsys: Capture, here: Path) -> None:
    for name, label in (("harmful.csv", "unsafe"), ("harmless.csv", "safe")):
        put(here / name, [{"prompt": one["prompt"]} for one in made(120) if one["label"] == label])
    assert main(["audit", "harmful.csv", "harmless.csv"]) == 0
    assert capsys.readouterr().out.startswith(
        "harmful.csv, harmless.csv: 120 queries, 60 safe, 60 unsafe.\n"
        "Read query from 'prompt'; no label, so the name of each file.\n"
    )
    assert "No column tells safe from unsafe" in refused(capsys, "harmful.csv")


def test_a_zip_of_a_train_and_a_test_file(capsys: Capture, here: Path) -> None:
    tables = {
        name: put(here / "plain" / name, made(60, seed=i)).read_text()
        for i, name in enumerate(("train.csv", "test.csv"))
    }
    (here / "mine.zip").write_bytes(zipped(**tables))
    assert main(["audit", "mine.zip"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mine.zip: 120 queries, 60 safe, 60 unsafe.")
    assert "Words alone, fitted on train, tried on test" in out
    (here / "other.zip").write_bytes(zipped(**{f"my-{'ab'[i]}.csv": text for i, text in enumerate(tables.values())}))
    assert "other.zip: holds 2 tables (my-a.csv, my-b.csv); expected one, or one for each split" in refused(
        capsys, "other.zip"
    )


@pytest.mark.parametrize(("turn", "unsafe"), [([], 40), (["--unsafe", "0"], 80)])
def test_yes_and_no_are_told_and_can_be_turned(turn: list[str], unsafe: int, capsys: Capture, here: Path) -> None:
    records = [{**one, "label": int(one["label"] == "unsafe")} for one in made(120, unsafe=40)]
    put(here / "a.csv", records)
    assert main(["audit", "a.csv", *turn]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first == f"a.csv: 120 queries, {120 - unsafe} safe, {unsafe} unsafe."
    told = "'label' says yes or no, and '1' is read as unsafe; if it is the other way: --unsafe 0."
    assert second == f"Read query from 'prompt', label from 'label'; {'unsafe is ' + repr('0') + '.' if turn else told}"


def test_no_label_lists_the_columns_that_may_be_it(capsys: Capture, here: Path) -> None:
    words = {"safe": "sicher", "unsafe": "unsicher"}
    put(
        here / "a.csv",
        [{"prompt": one["prompt"], "etikett": words[one["label"]], "n": i} for i, one in enumerate(made(60))],
    )
    error = refused(capsys, "a.csv")
    assert "There are: 'prompt', 'etikett', 'n'. Of these 'etikett' has '" in error
    assert "'n' has" not in error
    assert main(["audit", "a.csv", "--label", "etikett", "--unsafe", "unsicher"]) == 0, "what the message asks for"


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["--json", "out.json"], ["out.json"]),
        (["--html"], ["biased-audit.html"]),
        (["--html", "out.html"], ["out.html"]),
        (["--balance"], ["biased-audit.csv"]),
        (["--balance", "out.csv"], ["out.csv"]),
        (["--html", "--balance", "--json", "in/out.json"], ["in/out.json", "biased-audit.csv", "biased-audit.html"]),
    ],
)
def test_files_are_written_and_told(arguments: list[str], written: list[str], capsys: Capture, here: Path) -> None:
    (here / "in").mkdir()
    before = (here / "biased.csv").read_bytes()
    assert main(["audit", "biased.csv", *arguments]) == 0
    told = message(capsys)
    assert sorted(str(one.relative_to(here)) for one in here.rglob("*.*")) == sorted([*written, "biased.csv"])
    assert all(f"Wrote {name}" in told for name in written)
    assert (here / "biased.csv").read_bytes() == before
    assert main(["audit", "biased.csv", *arguments]) == 0, "a second audit replaces the report of the first"


def test_balance_gives_a_weight_for_each_row(capsys: Capture, here: Path) -> None:
    put(here / "half.csv", made(200, bias=0.5))
    assert main(["audit", "half.csv", "--balance", "weights.csv"]) == 0
    assert "With the weights the first word, looked up, gets 0.5" in message(capsys)
    table = pd.read_csv(here / "weights.csv")
    assert table["row"].tolist() == list(range(2, 202)), "lines of the file"
    assert table["weight"].between(0, 10).all()


@pytest.mark.parametrize("folder", [".", "..", "./"])
def test_a_folder_by_its_place_still_has_a_name(folder: str, capsys: Capture, here: Path) -> None:
    (here / "mine" / "deeper").mkdir(parents=True)
    put(here / "mine" / "train.csv", made(60))
    os.chdir(here / "mine" / ("deeper" if folder == ".." else ""))
    assert main(["audit", folder, "--html"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("mine: 60 queries")
    assert "Wrote mine-audit.html" in captured.err


# --- exit codes -------------------------------------------------------------------------------


@pytest.mark.parametrize(("bias", "over", "code"), [(1.0, "0.9", 1), (1.0, "1", 0), (0.0, "0.75", 0), (0.0, "0.2", 1)])
def test_fail_over(bias: float, over: str, code: int, capsys: Capture, here: Path) -> None:
    put(here / "a.csv", made(200, bias=bias))
    assert main(["audit", "a.csv", "--fail-over", over]) == code
    assert ("Failed: the first word alone has a balanced accuracy of" in message(capsys)) == bool(code)


@pytest.mark.parametrize("over", ["nan", "60"])
def test_a_threshold_that_no_score_can_cross_is_refused(over: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "biased.csv", f"--fail-over={over}"])
    assert ended.value.code == 2
    assert "--fail-over" in message(capsys)


def test_a_rare_label_cannot_slip_through(capsys: Capture, here: Path) -> None:
    codes = []
    for seed in range(4):
        put(here / "rare.csv", made(600, unsafe=12, seed=seed))
        codes.append(main(["audit", "rare.csv", "--fail-over", "0.4", "--seed", str(seed)]))
    assert set(codes) <= {1, 2}


def broken(here: Path) -> None:
    """A file with three rows that cannot be used, in lines 4, 9 and 122."""
    lines = (here / "biased.csv").read_text().splitlines()
    lines[3] = "one value"
    lines[8] = '"what is it",maybe'
    (here / "broken.csv").write_text("\n".join([*lines, ",safe"]) + "\n")


def test_bad_rows_are_exit_code_2_and_the_rest_is_audited(capsys: Capture, here: Path) -> None:
    broken(here)
    assert main(["audit", "broken.csv", "--html"]) == 2
    captured = capsys.readouterr()
    assert "broken.csv: 118 queries" in captured.out
    assert captured.out.splitlines()[-4:] == [
        "3 rows or pictures cannot be used, in broken.csv:",
        "  1: 1 values for 2 columns (line 4)",
        "  1: 'label' is str \"maybe\"; expected one of 'unsafe', 'safe' (line 9)",
        "  1: 'prompt' is empty (line 122)",
    ]
    assert "error: 3 rows or pictures cannot be used, the first: broken.csv: line 4:" in captured.err
    assert "--skip-bad" in captured.err
    assert (here / "broken-audit.html").exists()


def test_skip_bad_accepts_them_and_still_lists_them(capsys: Capture, here: Path) -> None:
    broken(here)
    assert main(["audit", "broken.csv", "--skip-bad"]) == 0
    assert "3 rows or pictures cannot be used, in broken.csv:" in capsys.readouterr().out
    assert main(["audit", "broken.csv", "--skip-bad", "--fail-over", "0.9"]) == 1
    capsys.readouterr()
    assert main(["audit", "broken.csv", "--skip-bad", "--json"]) == 0
    assert [one["row"] for one in json.loads(capsys.readouterr().out)["bad_rows"]] == [4, 9, 122]


@pytest.mark.parametrize(("over", "told"), [("0.9", True), ("1", False)])
def test_a_failure_is_told_beside_bad_rows(over: str, told: bool, capsys: Capture, here: Path) -> None:
    broken(here)
    assert main(["audit", "broken.csv", "--fail-over", over]) == 2, "which of the two a program is to see first"
    err = message(capsys)
    assert "error: 3 rows or pictures cannot be used" in err
    assert ("Failed: the first word alone has a balanced accuracy of 1.000, over 0.9." in err) == told


def test_pictures_that_are_not_beside_the_data_are_told(capsys: Capture, here: Path) -> None:
    put(here / "in" / "a.jsonl", [{**one, "image": "whole.png"} for one in made(40)])
    told = "No picture was opened; --images FOLDER opens them.\n"
    assert main(["audit", "in/a.jsonl"]) == 0, "pictures that were not asked for are no failure"
    assert told in capsys.readouterr().out
    pictures(here / "in")
    assert main(["audit", "in/a.jsonl"]) == 0
    out = capsys.readouterr().out
    assert "1 pictures opened and whole.\n" in out
    assert told not in out
    assert main(["audit", "biased.csv"]) == 0
    assert "icture" not in capsys.readouterr().out, "a set without pictures"


def test_no_images_is_not_said_to_be_for_want_of_pictures(capsys: Capture, here: Path) -> None:
    pictures(here / "in")
    put(here / "in" / "a.jsonl", [{**one, "image": "whole.png"} for one in made(40)])
    assert main(["audit", "in/a.jsonl", "--no-images"]) == 0
    assert "none of the first is beside the data" not in capsys.readouterr().out, "they are; it was told not to look"


def test_broken_pictures_are_bad_rows(capsys: Capture, here: Path) -> None:
    whole = pictures(here / "in")
    records = [{**one, "image": list(whole)[i] if i < len(whole) else ""} for i, one in enumerate(made(40))]
    put(here / "in" / "a.jsonl", records)
    error = refused(capsys, "in/a.jsonl")
    assert error.startswith("error: 5 rows or pictures cannot be used, the first: in/a.jsonl: line 3: the picture 'cut")
    assert main(["audit", "in/a.jsonl", "--no-images"]) == 0
    assert main(["audit", "in/a.jsonl", "--skip-bad"]) == 0
    capsys.readouterr()
    (here / "elsewhere").mkdir()
    assert "no picture 'whole.png' in elsewhere" in refused(capsys, "in/a.jsonl", "--images", "elsewhere")


@pytest.mark.parametrize("name", ["nowhere", "biased.csv"])
def test_a_folder_of_pictures_that_is_none_is_refused(name: str, capsys: Capture) -> None:
    assert f"error: {name}: no such folder" in refused(capsys, "biased.csv", "--images", name)


# --- bad input is one message -----------------------------------------------------------------


def zipped(**entries: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return buffer.getvalue()


TABLE = "prompt,label\nwhat is it,safe\nshare it now,unsafe\n"
CLIMBS = json.dumps([{**one, "image": "../x.png" if i == 6 else "a.png"} for i, one in enumerate(made(40))])


@pytest.mark.parametrize(
    ("name", "content", "arguments", "message"),
    [
        ("a.csv", TABLE.replace("it", "é").encode("latin-1"), [], "a.csv: line 2: byte 0xe9 is not utf-8 text"),
        ("a.csv", TABLE.encode("utf-16"), [], "a.csv: this is utf-16 text. Say so: --encoding utf-16"),
        ("a.csv", TABLE, ["--encoding", "klingon"], "'klingon' is no encoding"),
        ("a.csv", TABLE, ["--encoding", "hex"], "'hex' is no encoding"),
        ("a.json", b'[{"prompt": "x"},\n{"pro', [], "a.json: line 2: not whole JSON"),
        ("a.json", b"[[1], [2]]", [], "a.json: row 1: list [1] where an object is expected"),
        ("a.jsonl", b"[1]\n", [], "a.jsonl: line 1: list [1] where an object is expected"),
        ("a.jsonl", b'{"prompt": "cut', [], "a.jsonl: line 1: not whole JSON"),
        ("a.json", CLIMBS.encode(), [], "a.json: row 7: 'image' is '../x.png', which leaves"),
        ("a.csv", "score,label\n1,safe\n2,unsafe\n", [], "No column looks like a user's query"),
        ("a.csv", "prompt,score\nwhat is it,1\nshare it now,2\n", [], "No column tells safe from unsafe"),
        ("a.csv", TABLE, ["--query", "frage"], "No column 'frage', named as --query. There are: 'prompt', 'label'."),
        ("a.csv", "prompt,label\n" + "what is it,safe\n" * 9, [], "all 9 queries are safe by 'label'"),
        ("a.csv", TABLE, ["--unsafe", "nope"], "all 2 queries are safe"),
        ("a.csv", TABLE, [], "1 different safe and 1 different unsafe queries; an audit needs at least 10 of each"),
        ("a.csv", "", [], "a.csv: no row can be used"),
        ("a.zip", zipped(**{"../a.csv": TABLE}), [], "entry 1 is '../a.csv', which climbs out of its folder"),
        ("a.zip", zipped(a=TABLE), [], "a.zip: holds 0 tables"),
        ("a.zip", b"PK", [], "a.zip: not a readable zip file"),
        ("a.parquet", b"PAR1", [], "a.parquet: not a readable Parquet file"),
        ("a.docx", b"x", [], "a.docx: not a kind of file that is read here"),
        ("a.csv", TABLE, ["gone.csv"], "gone.csv: no such file"),
        ("a.csv", TABLE, ["--segmenter", "nope:cut"], "No segmenter 'nope:cut'"),
        ("a.csv", TABLE, ["--segmenter", ".nope:cut"], "No segmenter '.nope:cut'"),
        ("a.csv", TABLE, ["--segmenter", "os:sep"], "No segmenter 'os:sep'"),
        ("a.csv", TABLE, ["--json", "gone/a.json"], "gone: no such folder, for a.json"),
        ("a.csv", TABLE, ["--html", "a.txt"], "a.txt is to be written, and does not end in .html"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and value.isprintable() else "",
)
def test_bad_input(
    name: str, content: bytes | str, arguments: list[str], message: str, capsys: Capture, here: Path
) -> None:
    (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message in refused(capsys, name, *arguments)


def test_no_usable_row_at_all_names_the_file_as_it_was_given(capsys: Capture, here: Path) -> None:
    put(here / "a.jsonl", [{**one, "image": f"../{i}.png"} for i, one in enumerate(made(40))])
    assert refused(capsys, "a.jsonl").startswith(
        "error: a.jsonl: no row can be used, 40 cannot: a.jsonl: line 1: 'image'"
    )


def test_a_negative_seed_is_refused(capsys: Capture) -> None:
    try:
        code: Any = main(["audit", "biased.csv", "--seed", "-1"])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert "seed" in message(capsys)


@pytest.mark.parametrize("role", ["id", "split"])
def test_half_a_surrogate_pair_is_a_bad_row(role: str, capsys: Capture, here: Path) -> None:
    put(here / "a.jsonl", [{**one, role: "half \ud800" if i == 6 else f"r{i}"} for i, one in enumerate(made(40))])
    assert "a.jsonl: line 7: " in refused(capsys, "a.jsonl", f"--{role}", role, "--balance", "--json", "out.json")


def test_a_script_without_spaces(capsys: Capture, here: Path) -> None:
    opener = {"safe": "什", "unsafe": "请"}
    put(here / "a.csv", [{**one, "prompt": f"{opener[one['label']]}么在{i}上"} for i, one in enumerate(made(40))])
    assert "--segmenter characters" in refused(capsys, "a.csv")
    assert main(["audit", "a.csv", "--segmenter", "characters"]) == 0
    assert "1.00  balanced accuracy" in capsys.readouterr().out


def test_a_terminal_that_cannot_show_a_word_still_gets_the_report(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = {"safe": "τι", "unsafe": "дай"}
    put(here / "a.csv", [{**one, "prompt": f"{opener[one['label']]} kite {i}"} for i, one in enumerate(made(40))])
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "cp1252"))
    assert main(["audit", "a.csv"]) == 0
    sys.stdout.flush()
    assert b"1.00  balanced accuracy" in shown.getvalue()


# --- the data are never written over ----------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--html", "mine.csv", "biased.csv"],
        ["--json", "mine.csv", "biased.csv"],
        ["--balance", "mine.csv", "biased.csv"],
        ["--json", "mine.json", "biased.csv"],
        ["mine.csv", "--balance", "mine.csv"],
        ["mine.csv", "--balance", "./in/../mine.csv"],
        ["mine.json", "--json", "mine.json"],
        ["mine.json", "--json", "link.json"],
        ["biased.csv", "mine.csv", "--balance", "mine.csv"],
    ],
)
def test_an_output_that_is_data_is_refused(arguments: list[str], capsys: Capture, here: Path) -> None:
    (here / "in").mkdir()
    data = [put(here / "mine.csv", made(60)), put(here / "mine.json", made(60))]
    (here / "link.json").symlink_to("mine.json")
    before = [path.read_bytes() for path in data]
    code = main(["audit", *arguments])
    assert [path.read_bytes() for path in data] == before, "the data are as they were"
    assert code == 2
    assert message(capsys).startswith("error: ")


def test_an_output_that_is_a_folder_is_refused(capsys: Capture, here: Path) -> None:
    (here / "out.html").mkdir()
    assert "out.html" in refused(capsys, "biased.csv", "--html", "out.html")


# --- the command itself, and published data ---------------------------------------------------


def test_help_in_a_process_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-m", "mirage_lib", "audit", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    options = set(re.findall(r"^ +(?:-h, )?(--[\w-]+)", done.stdout, flags=re.MULTILINE))
    assert options == {
        *("--help", "--query", "--label", "--answer", "--image", "--split", "--id", "--unsafe", "--safe", "--turns"),
        *("--encoding", "--segmenter", "--images", "--no-images", "--seed", "--sample", "--html", "--json"),
        *("--balance", "--fail-over", "--skip-bad"),
    }


def published_audit(capsys: Capture, name: str) -> dict[str, Any]:
    assert main(["audit", str(Path(DATA) / name), "--json", "--no-images"]) == 0
    return json.loads(capsys.readouterr().out)


@published
def test_vlguard(capsys: Capture) -> None:
    one = published_audit(capsys, "vlguard/train.json")
    assert (one["safe"], one["unsafe"], one["bad_rows"]) == (977, 2000, [])
    counted = {line["word"]: (line["safe"], line["unsafe"]) for line in one["openers"]}
    assert (counted["what"], counted["can"], counted["share"]) == ((869, 61), (103, 862), (0, 195))
    assert one["score"] == pytest.approx(0.93, abs=0.01)
    both = published_audit(capsys, "vlguard")
    assert (both["safe"], both["unsafe"]) == (977 + 558, 2000 + 1000)
    assert both["transfer"][0]["n"] == 558 * 2 + 442


@published
def test_xstest(capsys: Capture) -> None:
    found = published_audit(capsys, "xstest/xstest_prompts.csv")
    assert (found["safe"], found["unsafe"]) == (250, 200)
    assert found["columns"]["query"] == "prompt"
    assert found["score"] == pytest.approx(0.6, abs=0.05)


@published
def test_figstep_has_one_label(capsys: Capture) -> None:
    error = refused(capsys, str(Path(DATA) / "figstep/safebench.csv"))
    assert "by 'dataset'" not in error, "a column that names the set is no label"
    assert "--label" in error
