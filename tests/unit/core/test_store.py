"""The store: made once, found again after a kill, never silently wrong."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirage_lib.core import store as store_module
from mirage_lib.core.errors import MirageError
from mirage_lib.core.store import DamagedRun, Store, default_root

SPEC = {"seed": 0, "objective": {"type": "NPO", "beta": 0.1}}
CHILD = """
import sys, time
from pathlib import Path
from mirage_lib.core.store import Store

root, calls, mode = sys.argv[1:]

def make(folder):
    with open(calls, "a") as file:
        file.write("made\\n")
    (folder / "part").mkdir(exist_ok=True)
    (folder / "part" / "first.txt").write_text("from the child")
    print("inside", flush=True)
    time.sleep(60 if mode == "hang" else 1)
    (folder / "second.txt").write_text("end")

print(Store(root).get("train", {"seed": 0}, make), flush=True)
"""


def fill(folder: Path) -> None:
    (folder / "deep").mkdir(exist_ok=True)
    (folder / "deep" / "a.txt").write_text("alpha")
    (folder / "b.bin").write_bytes(bytes(range(100)))


def never(folder: Path) -> None:
    raise AssertionError("made although it was there")


def child(root: Path, calls: Path, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(root), str(calls), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


# --- made once, self-describing ---------------------------------------------------------------


def test_nothing_is_written_before_the_first_run(store: Store) -> None:
    assert store.find("train", SPEC) is None
    assert store.runs() == []
    assert store.check() == []
    assert not store.root.exists()


def test_made_once_and_found_again(store: Store) -> None:
    path = store.get("train", SPEC, fill)
    assert path == store.address("train", SPEC) == store.root / "train" / path.name
    assert len(path.name) == 12
    assert (path / "deep" / "a.txt").read_text() == "alpha"
    assert store.get("train", SPEC, never) == path
    assert Store(store.root).find("train", SPEC) == path
    assert list((store.root / ".partial").iterdir()) == []


def test_the_manifest_describes_the_run(store: Store) -> None:
    path = store.get("train", SPEC, fill)
    manifest = store.manifest(path)
    assert (manifest["step"], manifest["key"], manifest["interruptions"]) == ("train", path.name, 0)
    assert manifest["spec"] == {**SPEC}
    assert manifest["files"].keys() == {"deep/a.txt", "b.bin"}
    assert manifest["files"]["deep/a.txt"] == {
        "bytes": 5,
        "sha256": "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8",
    }
    assert manifest["versions"].keys() >= {"python", "numpy", "pandas"}
    assert manifest["platform"].keys() == {"machine", "cpus"}
    assert manifest["made"].endswith("Z")
    assert 0 <= manifest["seconds"] < 60
    assert str(store.root) not in (path / "manifest.json").read_text()


def test_versions_are_read_without_importing_the_packages() -> None:
    code = "import sys, mirage_lib.core.store; print(*({'torch', 'transformers', 'pandas', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_runs_lists_every_finished_run(store: Store) -> None:
    first = store.get("train", {"seed": 1}, fill)
    second = store.get("judge", {"seed": 1}, fill)
    with pytest.raises(ValueError, match="halfway"):
        store.get("train", {"seed": 2}, lambda folder: (_ for _ in ()).throw(ValueError("halfway")))
    runs = store.runs()
    assert [run["path"] for run in runs] == [second, first]
    assert runs[1].keys() == {"step", "key", "path", "spec", "seconds", "bytes", "made"}
    assert (runs[1]["step"], runs[1]["key"], runs[1]["spec"], runs[1]["bytes"]) == (
        "train",
        first.name,
        {"seed": 1},
        105,
    )


def test_remove_deletes_one_run_and_only_runs(store: Store) -> None:
    path, other = store.get("train", {"seed": 1}, fill), store.get("train", {"seed": 2}, fill)
    store.remove(path)
    assert not path.exists()
    assert other.exists()
    assert list((store.root / ".removed").iterdir()) == []
    for wrong in (path, store.root / "train", store.root, other / "deep", store.root / ".locks" / "x"):
        with pytest.raises(MirageError, match="no run of the store"):
            store.remove(wrong)


# --- the address ------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def shuffled(value: object) -> object:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), values, max_size=5))
def test_the_address_does_not_depend_on_the_order_of_keys(spec: dict) -> None:
    assert Store("runs").address("train", spec) == Store("runs").address("train", shuffled(spec))


@given(st.dictionaries(st.text(), values, max_size=4), st.dictionaries(st.text(), values, max_size=4))
def test_other_specifications_have_other_addresses(one: dict, two: dict) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (Store("runs").address("train", one) == Store("runs").address("train", two)) == same


def test_the_step_is_part_of_the_address(store: Store) -> None:
    assert store.address("train", SPEC).name != store.address("judge", SPEC).name
    assert store.address("train", {"x": (1, 2)}) == store.address("train", {"x": [1, 2]})


@pytest.mark.parametrize("step", ["", ".partial", "a/b", "..", "a b", "a\n"])
def test_a_step_is_a_plain_name(store: Store, step: str) -> None:
    with pytest.raises(MirageError, match="cannot name a step"):
        store.address(step, {})


# --- interrupted ------------------------------------------------------------------------------


def test_a_killed_run_is_found_again_and_resumed(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = tmp_path / "calls"
    process = child(store.root, calls, "hang")
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    process.kill()
    process.communicate()
    assert store.find("train", {"seed": 0}) is None
    seen = []

    def resume(folder: Path) -> None:
        seen.append((folder / "part" / "first.txt").read_text())
        (folder / "second.txt").write_text("resumed")

    path = store.get("train", {"seed": 0}, resume)
    assert "Waiting" not in caplog.text, "the lock of the killed process was still held"
    assert seen == ["from the child"]
    assert (path / "second.txt").read_text() == "resumed"
    manifest = store.manifest(path)
    assert manifest["interruptions"] == 1
    assert manifest["files"].keys() == {"part/first.txt", "second.txt"}


def test_seconds_are_summed_over_interrupted_tries(store: Store) -> None:
    def fail(folder: Path) -> None:
        (folder / "kept.txt").write_text("kept")
        time.sleep(0.2)
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            store.get("train", SPEC, fail)
        time.sleep(0.5)  # between two tries: not counted
    manifest = store.manifest(store.get("train", SPEC, lambda folder: None))
    assert manifest["interruptions"] == 2
    assert 0.38 <= manifest["seconds"] < 1
    assert manifest["files"].keys() == {"kept.txt"}


def test_a_try_cut_short_before_its_rename_is_finished_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            store.get("train", SPEC, fill)
    assert store.find("train", SPEC) is None
    seen = []
    path = store.get("train", SPEC, lambda folder: seen.extend(sorted(file.name for file in folder.iterdir())))
    assert seen == ["b.bin", "deep"], "make is shown its own files, without the manifest of the last try"
    assert store.manifest(path)["files"].keys() == {"deep/a.txt", "b.bin"}
    assert store.check() == []


def test_a_lost_note_costs_the_time_but_not_the_work(store: Store) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        store.get("train", SPEC, fail)
    (note,) = (store.root / ".partial").glob("*.json")
    note.write_text("{")
    path = store.get("train", SPEC, lambda folder: None)
    assert (path / "b.bin").exists()
    assert store.manifest(path)["interruptions"] == 0


def test_errors_of_make_pass_unchanged(store: Store) -> None:
    error = PermissionError(errno.EACCES, "make's own trouble")

    def fail(folder: Path) -> None:
        raise error

    with pytest.raises(PermissionError) as caught:
        store.get("train", SPEC, fail)
    assert caught.value is error
    assert store.get("train", SPEC, fill).exists()


def test_make_may_not_write_the_manifest(store: Store) -> None:
    with pytest.raises(MirageError, match=r"File exists.*manifest\.json"):
        store.get("train", SPEC, lambda folder: (folder / "manifest.json").write_text("{}"))
    assert store.find("train", SPEC) is None


# --- several at once --------------------------------------------------------------------------


def test_of_two_processes_one_makes_and_the_other_waits(store: Store, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    processes = [child(store.root, calls, "short") for _ in range(3)]
    printed = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert calls.read_text() == "made\n"
    assert {lines[-1] for lines in printed} == {str(store.address("train", {"seed": 0}))}
    assert store.check() == []


def test_of_two_threads_one_makes_and_the_waiting_one_says_so(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    inside, calls, paths = threading.Event(), [], []

    def slow(folder: Path) -> None:
        calls.append(folder)
        inside.set()
        time.sleep(2.5)
        fill(folder)

    first = threading.Thread(target=lambda: paths.append(store.get("train", SPEC, slow)))
    first.start()
    assert inside.wait(10)
    with caplog.at_level(logging.WARNING):
        paths.append(store.get("train", SPEC, never))
    first.join(10)
    assert len(calls) == 1
    assert paths == [store.address("train", SPEC)] * 2
    assert "Waiting for another process" in caplog.text


def test_different_runs_are_made_at_the_same_time(store: Store) -> None:
    both = threading.Barrier(2, timeout=10)
    done = []

    def run(seed: int) -> None:
        done.append(store.get("train", {"seed": seed}, lambda folder: both.wait()))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(done)) == 2


# --- damaged ----------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray((path / "b.bin").read_bytes())
    content[50] ^= 1
    (path / "b.bin").write_bytes(content)
    os.utime(path / "b.bin", ns=(1, 1))  # some systems count time in steps longer than this test


def edit_manifest(path: Path, **changes: object) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


DAMAGES = {
    "byte flipped": (flip, r"b\.bin has changed"),
    "file grown": (lambda path: (path / "deep" / "a.txt").write_text("alphabet"), r"deep/a\.txt has changed"),
    "file missing": (lambda path: (path / "deep" / "a.txt").unlink(), r"deep/a\.txt is missing"),
    "extra file": (lambda path: (path / "deep" / "new.txt").write_text(""), r"deep/new\.txt does not belong"),
    "manifest missing": (lambda path: (path / "manifest.json").unlink(), r"manifest\.json missing"),
    "manifest truncated": (lambda path: os.truncate(path / "manifest.json", 40), r"manifest\.json missing or unread"),
    "manifest of another": (lambda path: edit_manifest(path, spec={"seed": 1}), r"tells of another run"),
    "manifest no dict": (lambda path: (path / "manifest.json").write_text("[]"), r"manifest\.json missing or unread"),
    "manifest bare": (lambda path: edit_manifest(path, files={"b.bin": {}}), r"KeyError\('bytes'\)"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_run_is_never_used_silently(store: Store, kind: str) -> None:
    damage, message = DAMAGES[kind]
    path = store.get("train", SPEC, fill)
    sound = store.get("judge", SPEC, fill)
    damage(path)
    with pytest.raises(DamagedRun, match=message) as caught:
        store.get("train", SPEC, never)
    assert str(caught.value).startswith(f"{path}: damaged run")
    assert "--remake-damaged" in str(caught.value)
    assert "Store.remove" in str(caught.value)
    assert store.find("train", SPEC) is None
    assert store.check() == [str(caught.value)]
    assert sound in [run["path"] for run in store.runs()]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_run_is_set_aside_and_remade_on_request(store: Store, kind: str) -> None:
    path = store.get("train", SPEC, fill)
    for times in (1, 2):
        DAMAGES[kind][0](path)
        before = sorted(file.relative_to(path) for file in path.rglob("*"))
        assert Store(store.root, remake_damaged=True).get("train", SPEC, fill) == path
        assert store.check() == []
        aside = sorted((store.root / ".damaged").iterdir())
        assert len(aside) == times
        assert aside[-1].name.startswith(f"train-{path.name}-")
        assert sorted(file.relative_to(aside[-1]) for file in aside[-1].rglob("*")) == before
    assert Store(store.root, remake_damaged=True).get("train", SPEC, never) == path
    assert [run["path"] for run in store.runs()] == [path]


def test_a_damaged_run_can_be_removed_and_made_again(store: Store) -> None:
    path = store.get("train", SPEC, fill)
    (path / "manifest.json").unlink()
    store.remove(path)
    assert store.get("train", SPEC, fill) == path


def test_check_reads_again_what_get_takes_from_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.get("train", SPEC, fill)
    store.get("train", SPEC, never)
    read = []
    digest = store_module.hashlib.file_digest
    monkeypatch.setattr(store_module.hashlib, "file_digest", lambda *a: read.append(a) or digest(*a))
    store.get("train", SPEC, never)
    assert read == []
    times = os.stat(path / "b.bin")
    flip(path)
    os.utime(path / "b.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
    (problem,) = store.check()
    assert "b.bin has changed" in problem
    with pytest.raises(DamagedRun):
        store.get("train", SPEC, never)


def test_a_damaged_run_crosses_processes(store: Store) -> None:
    error = DamagedRun("what is wrong")
    assert str(pickle.loads(pickle.dumps(error))) == "what is wrong"


# --- a disk that is full, a root that cannot be written ----------------------------------------


def test_a_full_disk_is_explained_and_the_work_kept(store: Store) -> None:
    def full(folder: Path) -> None:
        (folder / "first.txt").write_text("kept")
        if Path("/dev/full").exists():  # Linux has a device that is always full
            Path("/dev/full").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MirageError, match=r"disk of .*runs is full .*kept.*same command"):
        store.get("train", SPEC, full)
    path = store.get("train", SPEC, lambda folder: (folder / "second.txt").write_text("more"))
    assert (path / "first.txt").read_text() == "kept"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EDQUOT, "Disk quota exceeded"), RuntimeError("I/O error: No space left on device (os error 28)")],
)
def test_other_words_for_a_full_disk(store: Store, error: Exception) -> None:
    def full(folder: Path) -> None:
        raise error

    with pytest.raises(MirageError, match="is full") as caught:
        store.get("train", SPEC, full)
    assert caught.value.__cause__ is error


def test_a_full_disk_at_the_manifest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(MirageError, match="is full"):
            store.get("train", SPEC, fill)
    assert store.find("train", SPEC) is None
    store.get("train", SPEC, lambda folder: None)
    assert store.check() == []


def test_a_message_about_a_full_disk_is_not_wrapped_twice(store: Store) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MirageError) as caught:
        store.get("outer", SPEC, lambda folder: store.get("inner", SPEC, full))
    assert str(caught.value).count("is full") == 1


@pytest.mark.parametrize("below", ["", "deeper/runs"])
def test_a_root_below_a_file_is_refused_with_a_remedy(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    root = tmp_path / "file" / below
    with pytest.raises(MirageError, match=r"runs cannot be kept here .*Set MIRAGE_STORE") as caught:
        Store(root).get("train", SPEC, never)
    assert str(caught.value).startswith(str(root))
    assert Store(root).runs() == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_an_unwritable_root_is_refused_with_a_remedy(store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(MirageError, match=r"runs cannot be kept here .*Set MIRAGE_STORE"):
        store.get("train", SPEC, never)


def test_a_finished_run_is_read_from_a_store_that_cannot_be_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.get("train", SPEC, fill)

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "read only", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert store.get("train", SPEC, never) == path


def test_the_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIRAGE_STORE", "~/kept")
    assert default_root() == Path.home() / "kept"
    monkeypatch.delenv("MIRAGE_STORE")
    package = tmp_path / "mirage_lib" / "core"
    monkeypatch.setattr(store_module, "__file__", str(package / "store.py"))
    assert default_root() == Path.home() / ".cache" / "safety-mirage"
    (tmp_path / "pyproject.toml").write_text("")
    assert default_root() == tmp_path / "runs"


# --- another layout of the store ------------------------------------------------------------------


def test_runs_of_an_older_layout_are_named_and_left_alone(store: Store) -> None:
    new = store.get("train", SPEC, fill)
    old = store.root / "verdicts" / "0123456789ab"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text(json.dumps({"step": "verdicts", "key": old.name, "spec": {}, "files": {}}))
    assert store.older() == [old]
    assert [run["path"] for run in store.runs()] == [new]
    assert store.check() == []
    assert (old / "manifest.json").is_file()


def test_a_run_whose_manifest_cannot_be_read_is_damaged_and_not_old(store: Store) -> None:
    path = store.get("train", SPEC, fill)
    (path / "manifest.json").write_text("{")
    assert store.older() == []
    assert len(store.check()) == 1
