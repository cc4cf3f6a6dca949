"""The command line: one message and one exit code for whatever goes wrong, and the same command goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirage_lib.__main__ import main
from mirage_lib.claims import scorecard
from mirage_lib.claims.statements import CLAIMS
from mirage_lib.core.errors import MirageError
from mirage_lib.core.store import Store
from mirage_lib.datasets import folder
from mirage_lib.datasets.published import vlguard
from mirage_lib.study import parallel, profiles
from mirage_lib.study.profiles import NANO, Profile
from mirage_lib.study.study import Study

DATA = os.environ.get("MIRAGE_DATA", "")  # before the fixture below takes it away
AUDIT = (
    *("--query", "--label", "--answer", "--image", "--split", "--id", "--unsafe", "--safe", "--turns"),
    *("--encoding", "--segmenter", "--images", "--no-images", "--seed", "--sample", "--html", "--json"),
    *("--balance", "--fail-over", "--skip-bad"),
)
JUDGE = (
    *("--prompt", "--reply", "--id", "--model", "--intent", "--against", "--unsafe", "--refused", "--partial"),
    *("--judge", "--encoding", "--out", "--with-text", "--json", "--skip-bad"),
)
COMMANDS = {
    "study": ("--store", "--profile", "--seeds", "--workers", "--remake-damaged"),
    "runs": ("--store", "--check"),
    "claims": ("--store", "--profile", "--seeds", "--json"),
    "count": ("--data", "--rates", "--record"),
    "fetch": ("--to",),
    "audit": AUDIT,
    "judge": JUDGE,
    "figure": ("--store", "--profile", "--out"),
    "export": ("--store", "--profile", "--out"),
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MIRAGE_PROFILE", "MIRAGE_SEEDS", "MIRAGE_STORE", "MIRAGE_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def small(micro: Profile, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """The smallest profile in NANO's place; worker processes are sent it whole."""
    monkeypatch.setitem(profiles.PROFILES, "nano", micro)
    return micro


def study(store: Path, *options: str) -> int:
    return main(["study", "--profile", "nano", "--store", str(store), "--workers", "1", *options])


def message(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr, without the progress bar."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return "\n".join(line for line in re.split(r"[\r\n]+", text) if line.strip() and "%|" not in line)


# --- what is asked for ------------------------------------------------------------------------


def test_an_unknown_profile_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mirage_lib", "study", "--profile", "huge", "--store", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: There is no profile 'huge'")
    assert done.stderr.count("\n") == 1
    assert "choose one of nano, tiny, llava-nano, llava-7b" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_bad_number_of_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study(tmp_path, "--seeds", "0") == 2
    assert message(capsys).startswith("error: MIRAGE_SEEDS or --seeds is 0;")


@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_a_bad_number_of_workers(tmp_path: Path, count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        study(tmp_path, f"--workers={count}")
    assert ended.value.code == 2
    assert re.search(rf"error: argument --workers: .*'?{count}", message(capsys))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"{option}\b.*\S", text) for option in COMMANDS[name])
    documented = set(re.findall(r"^ +(?:-h, )?(--[\w-]+)", text, flags=re.MULTILINE))
    assert documented == {"--help", *COMMANDS[name]}


def test_help_tells_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^ +{name} +[A-Z]", text, flags=re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["magic"], ["study", "--magic"], ["study", "--seeds", "two"], ["figure"]])
def test_a_mistyped_command_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m mirage_lib" in capsys.readouterr().err


def test_stopped_from_the_keyboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "make_all", stopped)
    assert study(tmp_path) == 130
    assert "the same command goes on" in message(capsys)


# --- what there is is found -------------------------------------------------------------------


def test_a_second_call_finds_everything_at_once(
    nano: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def started(kind: str) -> None:
        raise AssertionError("workers were started for nothing")

    monkeypatch.setattr(parallel.multiprocessing, "get_context", started)
    start = time.perf_counter()
    assert study(nano.store.root) == 0
    assert time.perf_counter() - start < 10
    count = len(NANO.seeds) * (1 + len(NANO.methods))
    assert f"0 runs made, {count} found, 0 failed" in capsys.readouterr().out


def test_the_environment_names_profile_and_store(
    nano: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIRAGE_PROFILE", "nano")
    monkeypatch.setenv("MIRAGE_STORE", str(nano.store.root))
    monkeypatch.setenv("MIRAGE_SEEDS", "1")
    assert main(["study"]) == 0
    assert f"0 runs made, {1 + len(NANO.methods)} found, 0 failed" in capsys.readouterr().out


def test_runs_lists_what_there_is(nano: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--check", "--store", str(nano.store.root)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    listed = [tuple(line.split()[:2]) for line in printed.out.splitlines()]
    assert listed == [(run["step"], run["key"]) for run in nano.store.runs()]


def test_runs_of_an_older_layout_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "verdicts" / "0123456789ab"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text(json.dumps({"step": "verdicts", "key": old.name}))
    assert main(["runs", "--check", "--store", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"1 runs of an older layout, e.g. {old}: nothing reads them; delete them when you like.\n"
    assert printed.err == ""


def test_runs_of_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--check", "--store", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "none").exists()


def test_claims_are_tested_on_the_runs_of_the_store(nano: Study, capsys: pytest.CaptureFixture[str]) -> None:
    before = nano.store.runs()
    assert main(["claims", "--profile", "nano", "--store", str(nano.store.root)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    first, *lines, last = printed.out.splitlines()
    assert first == nano.notice()
    for text, line in zip(lines, scorecard.lines(nano), strict=True):
        assert re.match(rf"{line['status']} +(–|-?\d\.\d\d\s\[-?\d\.\d\d,\s-?\d\.\d\d\]) +\S", text)
        assert f"{line['claim']} ({line['threshold']}" in text
    (half,) = [text for text in lines if "three attempts" in text]
    assert re.match(r"not measured +– +Within three .* \(at least 0\.5; the paper 0\.47\)$", half)
    assert last == f"8 reproduced, 0 differs, {len(CLAIMS) - 8} not measured."  # those on published data
    assert nano.store.runs() == before


def test_claims_can_be_read_by_a_program(nano: Study, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["claims", "--profile", "nano", "--store", str(nano.store.root), "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == scorecard.lines(nano)
    assert main([*arguments, "--seeds", "1"]) == 0
    assert {tuple(line["seeds"]) for line in json.loads(capsys.readouterr().out)} == {(), (0,)}


def test_claims_make_what_is_missing(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = [claim for claim in CLAIMS if claim.name in ("what-breaks", "no-bias-no-break")]
    monkeypatch.setattr(scorecard, "CLAIMS", tested)
    monkeypatch.setitem(profiles.PROFILES, "nano", micro)
    assert main(["claims", "--profile", "nano", "--store", str(tmp_path), "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["measured on"] for line in lines] == ["1 seed, 8 queries", "no method 'unbiased' in this profile"]
    assert {run["step"] for run in Store(tmp_path).runs()} == {
        *("base", "training_data", "tuned", "questions", "replies", "verdicts")
    }


def test_the_figure_is_drawn_from_the_store(nano: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "finding.png"
    assert main(["figure", "finding", "--profile", "nano", "--store", str(nano.store.root), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert str(out) in capsys.readouterr().out


# --- where it cannot be kept ------------------------------------------------------------------


def test_a_store_below_a_file_is_explained(small: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("kept")
    assert study(tmp_path / "file" / "runs") == 2
    text = message(capsys)
    assert str(tmp_path / "file" / "runs") in text
    assert "runs cannot be kept here" in text
    assert "Set MIRAGE_STORE to a folder you can write" in text
    assert (tmp_path / "file").read_text() == "kept"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if not mount or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.long
@pytest.mark.parametrize("room", [60, 700])  # KiB: full at safetensors' file, at torch's
def test_a_full_disk_is_explained_and_room_is_all_it_takes(
    small: Profile, disk: Path, capsys: pytest.CaptureFixture[str], room: int
) -> None:
    filler = disk / "filler"
    filler.write_bytes(bytes(16 * 2**20 - room * 2**10))
    assert study(disk / "runs") == 2
    text = message(capsys)
    assert "is full" in text
    assert "Finished runs and the partial one are kept: free space; the same command goes on" in text
    assert Store(disk / "runs").check() == []
    filler.unlink()
    assert study(disk / "runs") == 0, capsys.readouterr().err
    assert "0 failed" in capsys.readouterr().out
    assert Store(disk / "runs").check() == []


def test_runs_finished_before_the_disk_was_full_stay(
    small: Profile, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(disk / "runs")
    base = Study(small, store).base(0)
    made = store.manifest(base)["made"], (base / "manifest.json").stat().st_mtime_ns
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - 2**14))
    assert study(store.root) == 2
    assert "is full" in message(capsys)
    assert [run["path"] for run in store.runs()] == [base]
    filler.unlink()
    assert study(store.root) == 0, capsys.readouterr().err
    assert made == (store.manifest(base)["made"], (base / "manifest.json").stat().st_mtime_ns)


# --- damaged ----------------------------------------------------------------------------------


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def stamps(store: Store) -> dict[Path, int]:
    return {run["path"]: (run["path"] / "manifest.json").stat().st_mtime_ns for run in store.runs()}


def test_a_damaged_run_is_named_and_remade_on_request(
    nano: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = NANO.seeds[0]
    store = Store(shutil.copytree(nano.store.root, tmp_path / "runs"))
    run = store.root / nano.tuned("posthoc", seed).relative_to(nano.store.root)
    sound = store.manifest(run)["files"]
    flip(run / "model" / "model.safetensors")
    before = stamps(store)

    assert study(store.root) == 2
    text = message(capsys)
    assert f"posthoc {seed}: {run}: damaged run: model/model.safetensors has changed." in text
    assert "--remake-damaged" in text
    assert text.count("damaged run") == 1
    assert stamps(store) == before

    assert main(["runs", "--check", "--store", str(store.root)]) == 2
    text = message(capsys)
    assert text.startswith(str(run))
    assert text.count("\n") == 0

    assert study(store.root, "--remake-damaged") == 0
    assert "1 runs made" in capsys.readouterr().out
    assert main(["runs", "--check", "--store", str(store.root)]) == 0
    assert store.manifest(run)["files"]["model/model.safetensors"] == sound["model/model.safetensors"]
    after = stamps(store)
    assert {path for path in after if after[path] != before[path]} == {run}


def test_a_damaged_base_fails_its_seed_alone(nano: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(shutil.copytree(nano.store.root, tmp_path / "runs"))
    run = store.root / nano.base(NANO.seeds[1]).relative_to(nano.store.root)
    flip(run / "model" / "model.safetensors")
    before = stamps(store)
    assert study(store.root) == 2
    printed = capsys.readouterr()
    assert str(run) in printed.err
    count = 1 + len(NANO.methods)
    assert f"0 runs made, {count} found, {count} failed" in printed.out
    assert stamps(store) == before


# --- data that is not there -------------------------------------------------------------------


def test_a_data_folder_without_vlguard_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_DATA", str(tmp_path))
    place = folder.data_folder()
    assert place == tmp_path
    with pytest.raises(MirageError, match=r"No train\.json in .*get it from .*VLGuard.*MIRAGE_DATA") as caught:
        vlguard.vlguard(place)
    assert str(tmp_path / "vlguard") in str(caught.value)


def test_a_data_folder_that_is_none_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_DATA", str(tmp_path / "gone"))
    with pytest.raises(MirageError, match=r"MIRAGE_DATA is .*no folder; expected the one that holds vlguard/"):
        folder.data_folder()


def test_counting_without_data_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count"]) == 2
    assert message(capsys) == "error: No folder with data: set MIRAGE_DATA to it, or name it with --data."
    assert main(["count", "--data", str(tmp_path)]) == 2
    assert message(capsys).startswith("error: No train.json in")


def test_counting_again_compares_with_the_committed_counts(capsys: pytest.CaptureFixture[str]) -> None:
    if not DATA:
        pytest.skip("MIRAGE_DATA is not set")
    assert main(["count", "--data", DATA]) == 0
    assert capsys.readouterr().out.count("equal") == 2
