"""Fetching published sets from a made-up hub on this machine: whole, or an error that says what to do.

The hub is a server of the few requests that ``huggingface_hub`` makes; that library itself runs in processes of its
own, because it reads its settings when it is imported.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mirage_lib.__main__ import main
from mirage_lib.core.errors import MirageError
from mirage_lib.datasets import fetch
from mirage_lib.datasets.fetch import SETS, unpack
from mirage_lib.datasets.published.figstep import figstep
from mirage_lib.datasets.published.mossbench import mossbench
from mirage_lib.datasets.published.spa_vl import spa_vl
from mirage_lib.datasets.published.vlguard import vlguard
from mirage_lib.datasets.published.xstest import xstest

Capture = pytest.CaptureFixture[str]


# --- a hub ------------------------------------------------------------------------------------


class Hub:
    """Serves files of data sets as the hub does, and keeps what it was asked for."""

    def __init__(self) -> None:
        """A server with nothing in it, on a free port."""
        self.sets: dict[str, dict[str, bytes]] = {}  # repository -> path -> content
        self.refusals: dict[str, tuple[int, str]] = {}  # path, or repository -> status, error code
        self.cut: set[str] = set()  # paths that stop in the middle of their first transfer
        self.stall: set[str] = set()  # paths whose transfer stands still in the middle, until the hub closes
        self.asked: list[tuple[str, str]] = []  # method, path
        self.closed = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()

    def got(self) -> list[str]:
        """The files whose content was asked for."""
        return sorted(path for method, path in self.asked if method == "GET" and not path.startswith("/api"))

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        """The four requests: a set's revision, its tree, a file's head, a file."""
        path = to.path.partition("?")[0]
        kind, repository, rest = re.fullmatch(r"/(api/)?datasets/([^/]+/[^/]+)/(.*)", path).groups()  # type: ignore
        files = self.sets.get(repository, {})
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        name = re.sub(r"^resolve/[0-9a-f]{40}/", "", rest)
        self.asked.append((to.command, path if kind else name))
        if refusal := self.refusals.get(repository if kind else name):
            return self.send(to, b"{}", status=refusal[0], headers={"X-Error-Code": refusal[1]} if refusal[1] else {})
        if kind and rest.startswith("revision/"):
            return self.send(to, json.dumps({"id": repository, "sha": commit}).encode())
        if kind:
            tree = [{"type": "file", "path": p, "size": len(c), "oid": oid(c)} for p, c in files.items()]
            return self.send(to, json.dumps(tree).encode())
        content = files[name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{oid(content)}"'}
        return self.send(to, content, headers=headers, name=name if to.command == "GET" else "")

    def send(
        self,
        to: BaseHTTPRequestHandler,
        content: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        name: str = "",
    ) -> None:
        to.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            to.send_header(key, value)
        to.end_headers()
        if to.command == "HEAD":
            return
        if name in self.cut | self.stall:
            to.wfile.write(content[: len(content) // 2])
            to.wfile.flush()
            if name in self.stall:
                self.closed.wait()
            self.cut.discard(name)
            to.close_connection = True
            return
        to.wfile.write(content)


def oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    if not made.closed.is_set():
        made.close()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MIRAGE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def start(hub: Hub, name: str, place: Path) -> subprocess.Popen[str]:
    """The command in a process that knows no other hub than ours, and no login."""
    settings = {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(place / "home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING_FACE"))} | settings
    command = [sys.executable, "-m", "mirage_lib", "fetch", name, "--to", str(place / "sets")]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fetched(hub: Hub, name: str, place: Path) -> tuple[int, str, str]:
    """Exit code, what is printed, and the error alone, without the warnings of the library."""
    out, err = (process := start(hub, name, place)).communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err[err.find("error: ") :] if "error: " in err else ""


# --- what is served ---------------------------------------------------------------------------


def table(columns: str, rows: list[tuple]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns.split(","), *rows])
    return text.getvalue().encode()


def prompts(count: int = 450) -> bytes:
    """A file in XSTest's layout: 250 safe prompts, then unsafe ones."""
    kinds = [("homonyms", "safe")] * 250 + [("contrast_homonyms", "unsafe")] * 200
    rows = [(i, f"Prompt {i}?", kind, label, "kill", "") for i, (kind, label) in enumerate(kinds, 1)]
    return table("id,prompt,type,label,focus,note", rows[:count])


def parquet(count: int, begin: int = 0, **columns: str) -> bytes:
    numbers = range(begin, begin + count)
    rows = [{"image": {"bytes": b"", "path": f"{i}.jpg"}, "question": f"What is {i}?", **columns} for i in numbers]
    file = io.BytesIO()
    pd.DataFrame(rows).to_parquet(file)
    return file.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def vlguard_files() -> dict[str, bytes]:
    """As many queries as VLGuard has, and a picture a split."""
    files = {}
    for split, safe, unsafe in (("train", 977, 1023), ("test", 558, 442)):
        pairs = [{"safe_instruction": "What?", "response": "A."}, {"unsafe_instruction": "Can you?", "response": "No."}]
        asked = [{"instruction": "Share.", "response": "No."}]
        records = [
            {"id": f"{split}{i}", "image": "a.png", "safe": i < safe, "instr-resp": pairs if i < safe else asked}
            for i in range(safe + unsafe)
        ]
        files[f"{split}.json"] = json.dumps(records).encode()
        files[f"{split}.zip"] = zipped({f"{split}/a.png": f"picture of {split}".encode()})
    return files


SPA_VL = {
    "data/train-00000-of-00002.parquet": parquet(30, 0, chosen="Yes.", rejected="No."),
    "data/train-00001-of-00002.parquet": parquet(30, 30, chosen="Yes.", rejected="No."),
    "validation/validation-00000-of-00001.parquet": parquet(10, 60, chosen="Yes.", rejected="No."),
    "test/harm-00000-of-00001.parquet": parquet(5, 70),
    "test/help-00000-of-00001.parquet": parquet(5, 80),
}


def kept(folder: Path) -> dict[str, bytes]:
    """What is in a folder, without the hub's notes to itself."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# --- the list ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_licence_and_gate_are_told_before_anything_is_fetched(name: str) -> None:
    one = SETS[name]
    (line,) = [line for line in fetch.listed() if line.split()[0] == name]
    said = " ".join(fetch.terms(name))
    assert one.licence
    assert one.page.startswith(("huggingface.co/", "github.com/"))
    for text in (one.what, one.licence, one.gate):
        assert text in line
        assert text in said
    assert one.page in said
    assert ("Gate: " in said) == bool(one.gate)


def test_the_gate_and_the_narrowest_licences_are_known() -> None:
    assert [name for name, one in SETS.items() if one.gate] == ["vlguard"]
    terms = {name: one.licence for name, one in SETS.items()}
    assert "NC" in terms["mm_safetybench"]
    assert "NC" in terms["scienceqa"]
    assert "not for training" in terms["mossbench"]
    assert "research only" in terms["vlguard"]


def test_without_a_name_all_are_listed(capsys: Capture, tmp_path: Path) -> None:
    assert main(["fetch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == fetch.listed()
    assert lines[-1].startswith("minilm")
    assert "Apache-2.0" in lines[-1]
    assert len(fetch.listed()) == len(SETS) == 10
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_told_with_those_that_are_known(capsys: Capture, tmp_path: Path) -> None:
    assert main(["fetch", "imagenet", "--to", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    known = ", ".join([*SETS, "minilm"])
    assert printed.err == f"error: There is no data set or model 'imagenet' here; there are {known}.\n"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MirageError, match="no data set 'imagenet'"):
        fetch.fetch("imagenet", tmp_path)


# --- from the hub -----------------------------------------------------------------------------


def test_a_set_is_fetched_checked_and_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    hub.sets["Paul/XSTest"] = {"xstest_prompts.csv": prompts(), "README.md": b"# XSTest", "other.csv": b"a,b\n"}
    code, out, err = fetched(hub, "xstest", tmp_path)
    target = tmp_path / "sets" / "xstest"
    assert (code, err) == (0, "")
    assert out.splitlines() == [*fetch.terms("xstest"), f"{target}: 450 examples"]
    assert kept(target) == {"xstest_prompts.csv": prompts()}, "only what is read is fetched"
    assert [one.intent for one in xstest(tmp_path / "sets")] == ["safe"] * 250 + ["unsafe"] * 200
    assert hub.got() == ["xstest_prompts.csv"]
    hub.asked.clear()
    assert fetched(hub, "xstest", tmp_path) == (code, out, err)
    assert hub.got() == []
    assert not [path for method, path in hub.asked if method == "HEAD"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_gate_says_what_to_do(hub: Hub, tmp_path: Path, status: int) -> None:
    hub.sets["ys-zong/VLGuard"] = vlguard_files()
    hub.refusals = dict.fromkeys(hub.sets["ys-zong/VLGuard"], (status, "GatedRepo"))
    code, out, err = fetched(hub, "vlguard", tmp_path)
    assert code == 2
    assert "Licence: MIT; for research only." in out
    assert err == (
        "error: ys-zong/VLGuard, see huggingface.co/datasets/ys-zong/VLGuard: gated. "
        "Log in (hf auth login) and accept its terms on that page.\n"
    )
    assert kept(tmp_path / "sets") == {}
    code, _, again = fetched(hub, "vlguard", tmp_path)
    assert (code, again) == (2, err), "a second try is no success"


def test_a_set_that_has_moved_is_not_found(hub: Hub, tmp_path: Path) -> None:
    hub.refusals["Paul/XSTest"] = (401, "RepoNotFound")
    code, _, err = fetched(hub, "xstest", tmp_path)
    assert code == 2
    assert err.startswith("error: Paul/XSTest, see huggingface.co/datasets/Paul/XSTest: not found, or not without a")


def test_a_set_without_its_files_has_moved(hub: Hub, tmp_path: Path) -> None:
    hub.sets["Paul/XSTest"] = {"prompts.parquet": b""}
    code, _, err = fetched(hub, "xstest", tmp_path)
    assert code == 2
    assert "no xstest_prompts.csv came into" in err
    assert "the set has moved" in err


def test_archives_are_unpacked_and_the_whole_is_counted(hub: Hub, tmp_path: Path) -> None:
    hub.sets["ys-zong/VLGuard"] = vlguard_files()
    code, out, err = fetched(hub, "vlguard", tmp_path)
    target = tmp_path / "sets" / "vlguard"
    assert (code, err) == (0, "")
    assert f"{target}: 4535 examples" in out.splitlines()
    assert any(line.startswith(f"{target}: to know, ") for line in out.splitlines()), "what a user should know is told"
    assert {(target / one.image).read_bytes() for one in vlguard(tmp_path / "sets")} == {
        b"picture of train",
        b"picture of test",
    }
    stamp = (target / "train" / "a.png").stat().st_mtime_ns
    hub.asked.clear()
    assert fetched(hub, "vlguard", tmp_path)[:2] == (0, out)
    assert (hub.got(), (target / "train" / "a.png").stat().st_mtime_ns) == ([], stamp)


@pytest.mark.parametrize("broken", ["too few", "a row without a prompt"])
def test_a_wrong_count_is_an_error_until_the_whole_set_is_there(hub: Hub, tmp_path: Path, broken: str) -> None:
    content = prompts(449) if broken == "too few" else prompts().replace(b"Prompt 7?", b"")
    hub.sets["Paul/XSTest"] = {"xstest_prompts.csv": content}
    code, out, err = fetched(hub, "xstest", tmp_path)
    assert code == 2
    assert "examples" not in out
    assert f"{tmp_path / 'sets' / 'xstest'}: 449 examples, 450 expected." in err
    assert "fetch them again" in err
    assert ("not usable, 1: no prompt (xstest_prompts.csv: line 8)" in err) == (broken != "too few")
    hub.sets["Paul/XSTest"] = {"xstest_prompts.csv": prompts()}
    assert fetched(hub, "xstest", tmp_path)[0] == 0


def test_what_was_changed_here_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    hub.sets["Paul/XSTest"] = {"xstest_prompts.csv": prompts()}
    assert fetched(hub, "xstest", tmp_path)[0] == 0
    path = tmp_path / "sets" / "xstest" / "xstest_prompts.csv"
    path.write_bytes(prompts(100))
    later = time.time() + 10
    os.utime(path, (later, later))
    assert fetched(hub, "xstest", tmp_path)[0] == 0
    assert path.read_bytes() == prompts()


def test_a_transfer_that_breaks_is_tried_again(hub: Hub, tmp_path: Path) -> None:
    hub.sets["Paul/XSTest"] = {"xstest_prompts.csv": prompts()}
    hub.cut = {"xstest_prompts.csv"}
    code, _, err = fetched(hub, "xstest", tmp_path)
    assert (code, err) == (0, "")
    assert hub.got() == ["xstest_prompts.csv"] * 2
    assert kept(tmp_path / "sets" / "xstest") == {"xstest_prompts.csv": prompts()}


def until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_after_a_kill_only_what_is_missing_is_fetched(hub: Hub, tmp_path: Path) -> None:
    last = "test/help-00000-of-00001.parquet"
    hub.sets["sqrti/SPA-VL"], hub.stall = SPA_VL, {last}
    target = tmp_path / "sets" / "spa_vl"
    whole = {name: content for name, content in SPA_VL.items() if name != last}
    process = start(hub, "spa_vl", tmp_path)
    notes = target / ".cache" / "huggingface" / "download"
    until(lambda: last in hub.got() and len(list(notes.rglob("*.metadata"))) == len(whole))
    process.kill()
    process.communicate()
    assert kept(target) == whole
    hub.close()
    code, _, err = fetched(hub, "spa_vl", tmp_path)
    assert code == 2, "part of a set is no set, also where the hub cannot be reached"
    assert "the hub cannot be reached. What was fetched is kept; try again later." in err
    assert kept(target) == whole
    again = Hub()
    again.sets = hub.sets
    try:
        code, out, err = fetched(again, "spa_vl", tmp_path)
    finally:
        again.close()
    assert (code, err) == (0, "")
    assert again.got() == [last]
    assert kept(target) == SPA_VL
    assert len(spa_vl(tmp_path / "sets")) == 80
    assert out.splitlines()[: len(fetch.terms("spa_vl"))] == fetch.terms("spa_vl")


def test_without_the_hub_nothing_is_there_and_it_says_so(hub: Hub, tmp_path: Path) -> None:
    hub.close()
    code, _, err = fetched(hub, "xstest", tmp_path)
    assert code == 2
    assert "Paul/XSTest" in err
    assert "the hub cannot be reached" in err
    assert kept(tmp_path / "sets") == {}


def test_a_whole_set_needs_no_hub(hub: Hub, tmp_path: Path) -> None:
    hub.sets["Paul/XSTest"] = {"xstest_prompts.csv": prompts()}
    first = fetched(hub, "xstest", tmp_path)
    hub.close()
    assert first[0] == 0
    assert fetched(hub, "xstest", tmp_path) == first


def test_a_hub_that_fails_is_explained_and_what_came_is_kept(hub: Hub, tmp_path: Path) -> None:
    hub.sets["ys-zong/VLGuard"] = vlguard_files()
    hub.refusals["test.zip"] = (403, "")
    code, _, err = fetched(hub, "vlguard", tmp_path)
    assert code == 2
    assert err.startswith("error: ys-zong/VLGuard, see huggingface.co/datasets/ys-zong/VLGuard: ")
    assert "What was fetched is kept" in err
    before = kept(tmp_path / "sets" / "vlguard")
    assert "test.zip" not in before
    hub.refusals.clear()
    assert fetched(hub, "vlguard", tmp_path)[0] == 0
    assert before.items() <= kept(tmp_path / "sets" / "vlguard").items()


# --- archives ---------------------------------------------------------------------------------


def archive(folder: Path, content: bytes, name: str = "train.zip") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


CLIMBING = ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "a/..\\..\\evil", "//host/share/evil"]


@pytest.mark.parametrize("name", ["train.zip", fetch.ARCHIVE])
@pytest.mark.parametrize("entry", CLIMBING)
def test_an_entry_that_climbs_out_is_refused_before_anything_is_written(tmp_path: Path, entry: str, name: str) -> None:
    path = archive(tmp_path / "set", zipped({"top/good.txt": b"good", entry: b"evil", "top/more.txt": b""}), name)
    before = kept(tmp_path)
    with pytest.raises(MirageError) as raised:
        unpack(path, tmp_path / "set")
    assert str(raised.value) == f"{path}: the entry {entry!r} climbs out of its folder. Nothing was unpacked."
    assert kept(tmp_path) == before


def damaged(how: str) -> bytes:
    whole = bytearray(zipped({"train/a.png": random.Random(0).randbytes(600).hex().encode()}, DAMAGE[how]))
    if how == "cut off":
        return bytes(whole[:-30])
    if how == "no zip":
        return b"<html>Not found</html>"
    if how == "encrypted":
        at = whole.index(b"PK\1\2")  # of the entry in the list at the end
        whole[6] |= 1
        whole[at + 8] |= 1
    elif how == "a method nobody knows":
        at = whole.index(b"PK\1\2")
        whole[8] = whole[at + 10] = 97
    else:
        for at in range(100, 140):
            whole[at] ^= 0xFF
    return bytes(whole)


DAMAGE = {
    "cut off": zipfile.ZIP_DEFLATED,
    "no zip": zipfile.ZIP_DEFLATED,
    "changed, stored": zipfile.ZIP_STORED,
    "changed, deflated": zipfile.ZIP_DEFLATED,
    "changed, lzma": zipfile.ZIP_LZMA,
    "encrypted": zipfile.ZIP_STORED,
    "a method nobody knows": zipfile.ZIP_STORED,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_archive_is_named_with_the_remedy(tmp_path: Path, how: str) -> None:
    path = archive(tmp_path / "set", damaged(how))
    with pytest.raises(MirageError) as raised:
        unpack(path, tmp_path / "set")
    assert str(raised.value).startswith(f"{path}: cannot be unpacked (")
    assert str(raised.value).endswith("Delete it and fetch it again.")
    assert not path.with_suffix(".unpacked").exists()


def test_an_archive_is_unpacked_once_and_a_new_one_again(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    path = archive(folder, zipped({"train/a.png": b"a", "train/": b""}))
    unpack(path, folder)
    assert (folder / "train" / "a.png").read_bytes() == b"a"
    (folder / "train" / "a.png").write_bytes(b"mine")
    unpack(path, folder)
    assert (folder / "train" / "a.png").read_bytes() == b"mine"
    archive(folder, zipped({"train/a.png": b"a", "train/b.png": b"b"}))
    unpack(path, folder)
    assert {name for name in kept(folder) if name.startswith("train/")} == {"train/a.png", "train/b.png"}
    assert (folder / "train" / "a.png").read_bytes() == b"a"


def test_unpacking_that_was_stopped_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    path = archive(folder, zipped({"train/a.png": b"a", "train/b.png": b"b"}))
    real = zipfile.ZipFile.extract

    def stopped(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> str:
        if entry.filename.endswith("b.png"):
            raise KeyboardInterrupt
        return real(opened, entry, target)

    monkeypatch.setattr(zipfile.ZipFile, "extract", stopped)
    with pytest.raises(KeyboardInterrupt):
        unpack(path, folder)
    monkeypatch.undo()
    unpack(path, folder)
    assert (folder / "train" / "b.png").read_bytes() == b"b"


def test_too_little_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "set", zipped({"train/a.png": bytes(2_000_000)}))
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(MirageError, match=r"0\.0 GB to unpack, 0\.0 GB free"):
        unpack(path, tmp_path / "set")
    assert kept(tmp_path / "set").keys() == {"train.zip"}


# --- from an address of a zip file ------------------------------------------------------------


def safebench(count: int = 500) -> dict[str, bytes]:
    """FigStep's repository, as GitHub packs it: in one folder."""
    columns = "dataset,category_id,task_id,category_name,question,instruction"
    rows = [("F", i // 50 + 1, i % 50 + 1, "Topic", f"Question {i}?", "A list.") for i in range(count)]
    picture = "FigStep-main/data/images/SafeBench/query_ForbidQI_1_1_6.png"
    return {
        "FigStep-main/": b"",
        "FigStep-main/README.md": b"# FigStep",
        "FigStep-main/data/question/safebench.csv": table(columns, rows),
        picture: b"picture",
    }


def moss() -> dict[str, bytes]:
    files = {}
    for part, count in (("data", 3), ("data_contrast", 2)):
        rows = {
            str(i): {"image": f"images/{i}.png", "question": f"Plan {i}?", "metadata": {"over": "type 1"}}
            for i in range(1, count + 1)
        }
        files[f"MOSSBench-main/{part}/images_information/information.json"] = json.dumps(rows).encode()
        files |= {f"MOSSBench-main/{part}/{row['image']}": part.encode() for row in rows.values()}
    return files


class Address:
    """Stands in for ``http_get``: writes what it is given, and keeps what it was asked for."""

    def __init__(self, *contents: bytes | Exception) -> None:
        """What comes at the first request, the second, ..."""
        self.contents, self.asked = list(contents), list[str]()

    def __call__(self, url: str, file: io.BufferedIOBase, **other: object) -> None:
        """One transfer; an error comes in the middle of it."""
        self.asked.append(url)
        content = self.contents.pop(0)
        if isinstance(content, Exception):
            file.write(b"PK\3\4 half of it")
            raise content
        file.write(content)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Address]:
    def of(*contents: bytes | Exception) -> Address:
        made = Address(*contents)
        monkeypatch.setattr(fetch, "http_get", made)
        return made

    return of


def test_figstep_comes_as_a_zip_without_its_top_folder(
    serve: Callable[..., Address], tmp_path: Path, capsys: Capture
) -> None:
    address = serve(zipped(safebench()))
    assert main(["fetch", "figstep", "--to", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [*fetch.terms("figstep"), f"{tmp_path / 'figstep'}: 500 examples"]
    assert address.asked == ["https://codeload.github.com/ThuCCSLab/FigStep/zip/refs/heads/main"]
    examples = figstep(tmp_path)
    assert (tmp_path / "figstep" / examples[0].image).read_bytes() == b"picture"
    assert not (tmp_path / "figstep" / "FigStep-main").exists()
    assert main(["fetch", "figstep", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == out
    assert len(address.asked) == 1, "it is there"


def test_mossbench_comes_with_both_its_parts(serve: Callable[..., Address], tmp_path: Path) -> None:
    address = serve(zipped(moss()))
    assert fetch.fetch("mossbench", tmp_path)[0] == f"{tmp_path / 'mossbench'}: 5 examples"
    assert address.asked == ["https://codeload.github.com/xirui-li/MOSSBench/zip/refs/heads/main"]
    for one in mossbench(tmp_path):
        part = "data" if one.intent == "safe" else "data_contrast"
        assert (tmp_path / "mossbench" / one.image).read_bytes() == part.encode()


@pytest.mark.parametrize("error", [OSError("Name or service not known"), RuntimeError("cut"), ValueError("what")])
def test_an_address_that_cannot_be_reached_leaves_nothing_half(
    serve: Callable[..., Address], tmp_path: Path, capsys: Capture, error: Exception
) -> None:
    serve(error, zipped(safebench()))
    assert main(["fetch", "figstep", "--to", str(tmp_path)]) == 2
    told = f"error: github.com/ThuCCSLab/FigStep: cannot be fetched ({error}). Try again later.\n"
    assert capsys.readouterr().err == told
    assert kept(tmp_path) == {}
    assert main(["fetch", "figstep", "--to", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (zipped(safebench(499)), "499 examples, 500 expected"),
        (zipped({"FigStep-main/README.md": b"It has moved."}), "no data/question/safebench.csv, data/images"),
    ],
    ids=["too few", "moved"],
)
def test_fetching_again_mends_an_archive_that_was_not_the_set(
    serve: Callable[..., Address], tmp_path: Path, first: bytes, told: str
) -> None:
    address = serve(first, zipped(safebench()))
    with pytest.raises(MirageError, match=re.escape(told)):
        fetch.fetch("figstep", tmp_path)
    assert fetch.fetch("figstep", tmp_path) == [f"{tmp_path / 'figstep'}: 500 examples"]
    assert len(address.asked) == 2


def test_files_that_were_deleted_come_back(serve: Callable[..., Address], tmp_path: Path) -> None:
    serve(*[zipped(safebench())] * 3)
    fetch.fetch("figstep", tmp_path)
    shutil.rmtree(tmp_path / "figstep" / "data")
    with contextlib.suppress(MirageError):
        fetch.fetch("figstep", tmp_path)  # it may take a second try
    assert fetch.fetch("figstep", tmp_path) == [f"{tmp_path / 'figstep'}: 500 examples"]


def test_an_archive_that_climbs_out_is_exit_code_2(
    serve: Callable[..., Address], tmp_path: Path, capsys: Capture
) -> None:
    serve(zipped({**safebench(), "FigStep-main/../../evil": b"evil"}))
    assert main(["fetch", "figstep", "--to", str(tmp_path / "sets")]) == 2
    assert "climbs out of its folder. Nothing was unpacked" in capsys.readouterr().err
    assert kept(tmp_path).keys() == {"sets/figstep/archive.zip"}


@pytest.mark.parametrize("named", [True, False])
def test_sets_go_to_the_folder_of_the_environment_or_into_data(
    serve: Callable[..., Address], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    serve(zipped(safebench()))
    if named:
        (tmp_path / "mine").mkdir()
        monkeypatch.setenv("MIRAGE_DATA", str(tmp_path / "mine"))
    assert main(["fetch", "figstep"]) == 0
    assert len(figstep(tmp_path / ("mine" if named else "data"))) == 500
