"""The published data sets: where their authors keep them, on what terms, and how to fetch them.

``fetch`` downloads a set into ``folder/name``, unpacks it and reads it once, to check that the files are what the
loader expects. Nothing is fetched unless somebody asks for it.
"""

from __future__ import annotations

import functools
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import errors, snapshot_download
from huggingface_hub.file_download import http_get

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.files import DAMAGED
from mirage_lib.datasets.loaded import Loaded, inside
from mirage_lib.datasets.published.figstep import figstep
from mirage_lib.datasets.published.mm_safetybench import mm_safetybench
from mirage_lib.datasets.published.mossbench import mossbench
from mirage_lib.datasets.published.scienceqa import scienceqa
from mirage_lib.datasets.published.spa_vl import spa_vl
from mirage_lib.datasets.published.vlguard import vlguard
from mirage_lib.datasets.published.vqa import textvqa, vizwiz, vqav2
from mirage_lib.datasets.published.xstest import xstest

ARCHIVE = "archive.zip"  # the name we give a fetched zip file, whose entries may all lie in one folder
GITHUB = "https://codeload.github.com"


@dataclass(frozen=True)
class Set:
    """One published data set."""

    what: str  # what it is, in a phrase
    page: str  # the authors' page
    licence: str  # as the authors state it
    repository: str  # its name on the hub, or the address of a zip file that holds the set
    files: tuple[str, ...]  # patterns of the files that must be there afterwards; from the hub, only these are fetched
    load: Callable[[Path], Loaded]  # reads it
    gate: str = ""  # what one has to do before it can be fetched
    count: int | None = None  # how many examples the loader finds in the whole set, if that is known


SETS = {
    "vlguard": Set(
        "VLGuard: pictures with safe and unsafe queries, the safety data of the paper",
        "huggingface.co/datasets/ys-zong/VLGuard",
        "MIT; for research only",
        "ys-zong/VLGuard",
        ("train.json", "test.json", "train.zip", "test.zip", "train/*", "test/*"),
        vlguard,
        "accept its terms on that page",
        4535,
    ),
    "spa_vl": Set(
        "SPA-VL: preference pairs on harmful queries about pictures",
        "huggingface.co/datasets/sqrti/SPA-VL",
        "CC BY 4.0",
        "sqrti/SPA-VL",
        ("data/*.parquet", "validation/*.parquet", "test/*"),
        spa_vl,
    ),
    "figstep": Set(
        "FigStep's SafeBench: 500 forbidden questions, drawn as text in pictures",
        "github.com/ThuCCSLab/FigStep",
        "MIT",
        f"{GITHUB}/ThuCCSLab/FigStep/zip/refs/heads/main",
        ("data/question/safebench.csv", "data/images/SafeBench/*.png"),
        figstep,
        count=500,
    ),
    "mm_safetybench": Set(
        "MM-SafetyBench: 13 scenarios of unsafe questions with pictures",
        "huggingface.co/datasets/PKU-Alignment/MM-SafetyBench",
        "CC BY-NC 4.0",
        "PKU-Alignment/MM-SafetyBench",
        ("data/*/*.parquet",),
        mm_safetybench,
        count=1680,
    ),
    "xstest": Set(
        "XSTest: 250 safe prompts that sound unsafe, and 200 unsafe contrasts",
        "huggingface.co/datasets/Paul/XSTest",
        "CC BY 4.0",
        "Paul/XSTest",
        ("xstest_prompts.csv",),
        xstest,
        count=450,
    ),
    "mossbench": Set(
        "MOSSBench: 300 benign picture queries that trigger refusals, and harmful contrasts",
        "github.com/xirui-li/MOSSBench",
        "CC BY-SA 4.0; not for training",
        f"{GITHUB}/xirui-li/MOSSBench/zip/refs/heads/main",
        ("data/images_information/information.json", "data/images/*", "data_contrast/*"),
        mossbench,
    ),
    "vqav2": Set(
        "VQAv2, validation: questions about everyday pictures, ten answers each",
        "huggingface.co/datasets/lmms-lab/VQAv2",
        "CC BY 4.0; pictures on Flickr's terms",
        "lmms-lab/VQAv2",
        ("data/validation-*.parquet",),
        vqav2,
        count=214354,
    ),
    "textvqa": Set(
        "TextVQA, validation: questions about text in pictures, ten answers each",
        "huggingface.co/datasets/lmms-lab/textvqa",
        "CC BY 4.0",
        "lmms-lab/textvqa",
        ("data/validation-*.parquet",),
        textvqa,
        count=5000,
    ),
    "vizwiz": Set(
        "VizWiz-VQA, validation: questions of blind people about their own pictures",
        "huggingface.co/datasets/lmms-lab/VizWiz-VQA",
        "CC BY 4.0",
        "lmms-lab/VizWiz-VQA",
        ("data/val-*.parquet",),
        vizwiz,
        count=4319,
    ),
    "scienceqa": Set(
        "ScienceQA, test: school questions with choices, half of them with a picture",
        "huggingface.co/datasets/derek-thomas/ScienceQA",
        "CC BY-NC-SA 4.0",
        "derek-thomas/ScienceQA",
        ("data/test-*.parquet",),
        functools.partial(scienceqa, pictures_only=False),
        count=4241,
    ),
}


def _named(name: str) -> Set:
    if name not in SETS:
        raise MirageError(f"There is no data set {name!r} here; there are {', '.join(SETS)}.")
    return SETS[name]


def listed() -> list[str]:
    """One line per set: its name, what it is, its licence and gate."""
    width = max(map(len, SETS))
    gates = {name: f"; {one.gate}" if one.gate else "" for name, one in SETS.items()}
    return [f"{name:<{width}}  {one.what}. {one.licence}{gates[name]}." for name, one in SETS.items()]


def terms(name: str) -> list[str]:
    """The terms of a set, to show before it is fetched. Raises MirageError for an unknown name."""
    one = _named(name)
    return [f"{one.what}.", f"Page: {one.page}. Licence: {one.licence}.", *([f"Gate: {one.gate}."] if one.gate else [])]


def fetch(name: str, folder: Path) -> list[str]:
    """Fetch a set into ``folder/name``, unpack it and check it. Continues where an earlier attempt stopped.

    Returns what it found, one line each. Raises MirageError for an unknown name, a gate that was not passed, no
    network, an archive that would write outside its folder, or files that are not what the loader expects.
    """
    one, target = _named(name), folder / name
    target.mkdir(parents=True, exist_ok=True)
    if one.repository.startswith("http"):
        _archive(one, target)
    else:
        _download(one, target)
    for archive in sorted(target.glob("*.zip")):
        unpack(archive, target)
    try:
        return _checked(one, target)
    except MirageError:
        for path in (target / ARCHIVE, *target.glob("*.unpacked")):
            path.unlink(missing_ok=True)  # so that the next attempt fetches and unpacks again
        raise


def _checked(one: Set, target: Path) -> list[str]:
    """What is in the folder, one line each. Raises MirageError if it is not the set, or not all of it."""
    if missing := [pattern for pattern in one.files if not any(target.glob(pattern))]:
        raise MirageError(
            f"{one.page}: no {', '.join(missing)} came into {target}. The hub was not reached, or the set has moved."
        )
    found = one.load(target)
    lines = [f"{target}: {line}" for line in found.lines()]
    if one.count is not None and len(found) != one.count:
        expected = f"{target}: {len(found)} examples, {one.count} expected. The files changed, or are not whole"
        raise MirageError("\n".join([f"{expected}; fetch them again.", *lines[1:]]))
    return lines


def _download(one: Set, target: Path) -> None:
    where = f"{one.repository}, see {one.page}"
    try:
        snapshot_download(one.repository, repo_type="dataset", allow_patterns=list(one.files), local_dir=target)
    except errors.GatedRepoError as error:
        gate = one.gate or "accept its terms there"
        raise MirageError(f"{where}: gated. Log in (hf auth login) and {gate}.") from error
    except errors.RepositoryNotFoundError as error:
        raise MirageError(f"{where}: not found, or not without a login (hf auth login).") from error
    except errors.LocalEntryNotFoundError as error:
        raise MirageError(f"{where}: the hub cannot be reached. What was fetched is kept; try again later.") from error
    except (errors.HfHubHTTPError, OSError) as error:
        raise MirageError(f"{where}: cannot be fetched ({error}). What was fetched is kept; try again.") from error


def _archive(one: Set, target: Path) -> None:
    """Fetch a zip file that the server makes on demand: in one go, because such a server cannot resume a download."""
    path = target / ARCHIVE
    if path.is_file():
        return
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            http_get(one.repository, file, displayed_filename=target.name)
    except Exception as error:  # the hub client's HTTP library, and so its errors, depend on its version
        part.unlink(missing_ok=True)
        raise MirageError(f"{one.page}: cannot be fetched ({error}). Try again later.") from error
    part.replace(path)


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip file once. A file beside it, with the ending ``.unpacked``, says that it is done.

    Raises MirageError for an entry that leaves the folder or too little free space, before anything is written, and
    for a damaged archive.
    """
    done = archive.with_suffix(".unpacked")
    stamp = f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"
    if done.is_file() and done.read_text() == stamp:
        return
    try:
        with zipfile.ZipFile(archive) as opened:
            climbing = next((entry.filename for entry in opened.infolist() if not inside(entry.filename)), None)
            if climbing is not None:
                raise MirageError(f"{archive}: the entry {climbing!r} climbs out of its folder. Nothing was unpacked.")
            top = _shared_folder(opened) if archive.name == ARCHIVE else ""
            need, free = sum(entry.file_size for entry in opened.infolist()), shutil.disk_usage(target).free
            if need > free:
                raise MirageError(f"{archive}: {need / 1e9:.1f} GB to unpack, {free / 1e9:.1f} GB free in {target}.")
            for entry in opened.infolist():
                entry.filename = entry.filename.removeprefix(top)
                if entry.filename:
                    opened.extract(entry, target)
    except DAMAGED as error:
        raise MirageError(f"{archive}: cannot be unpacked ({error}). Delete it and fetch it again.") from error
    done.write_text(stamp)


def _shared_folder(archive: zipfile.ZipFile) -> str:
    """The folder that holds all entries, with a slash at the end; "" if there is none."""
    tops = {name.partition("/")[0] for name in archive.namelist()}
    return f"{tops.pop()}/" if len(tops) == 1 else ""
