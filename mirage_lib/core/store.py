"""A directory per (step, specification): made once, finished by an atomic rename, resumable, self-describing.

A function fills the folder ``<root>/<step>/<key>/``. The store adds a ``manifest.json`` with the specification, the
versions of the packages, the seconds it took and the sha256 of every file. So every number in the book has an address.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock, Timeout

from mirage_lib.core.errors import MirageError

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
# Version of the store: which runs exist and how their addresses are made. Runs of other versions are left alone.
LAYOUT = 2
# What safetensors and torch say when the disk is full; their errors do not carry the system's error number.
FULL = ("No space left", "inline_container.cc", "iostream error")
PACKAGES = ("safety-mirage", "torch", "transformers", "peft", "numpy", "pandas")
REMAKE = "Remake it with `python -m mirage_lib study --remake-damaged`, or delete it with Store.remove(path)."

_hashes: dict[tuple[str, int, int], str] = {}  # (path, bytes, mtime_ns) -> sha256 that this process read


class DamagedRun(MirageError):
    """A finished run whose files do not match its manifest."""


def default_root() -> Path:
    """Where runs are kept: MIRAGE_STORE if set, else ``runs`` in the checkout, else a folder in the user's cache."""
    checkout, cache = Path(__file__).parents[2], Path.home() / ".cache" / "safety-mirage"
    usual = checkout / "runs" if (checkout / "pyproject.toml").is_file() else cache
    return Path(os.environ.get("MIRAGE_STORE") or usual).expanduser()


class Store:
    """Finished runs below one folder. Nothing is written before the first run is made.

    With ``remake_damaged`` a damaged run is moved to ``<root>/.damaged`` and made again; without it, it is an error.
    """

    def __init__(self, root: Path | str, remake_damaged: bool = False) -> None:
        self.root = Path(root).expanduser().absolute()
        self.remake_damaged = remake_damaged

    def prepare(self) -> None:
        """Create the store's folder. Raises MirageError if it cannot be created or written."""
        with self._explained():
            (self.root / ".locks").mkdir(parents=True, exist_ok=True)

    def address(self, step: str, spec: dict[str, Any]) -> Path:
        """Where the run is or will be. Raises MirageError for a step that cannot be the name of a folder."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", step):
            raise MirageError(f"{step!r} cannot name a step; expected letters, digits, '_', '.' and '-'.")
        return self.root / step / key_of(step, spec)

    def find(self, step: str, spec: dict[str, Any]) -> Path | None:
        """The run's directory if it is finished and undamaged, else None. Raises MirageError like :meth:`address`."""
        path = self.address(step, spec)
        return path if os.path.lexists(path) and not self._damage(path) else None

    def get(self, step: str, spec: dict[str, Any], make: Callable[[Path], object]) -> Path:
        """The directory of the finished run. If need be, ``make(folder)`` fills it first, all but manifest.json.

        If an earlier attempt at the same run was interrupted, ``make`` finds its files in the folder and continues
        from there. If several processes or threads ask for the same run, one makes it and the others wait.
        Raises DamagedRun if the finished run does not match its manifest, and MirageError if the store cannot be
        written or its disk is full. Any other error of ``make`` passes unchanged, and its folder is kept.
        """
        path = self.address(step, spec)
        if self.find(step, spec):
            return path
        with self._lock(path):
            if damage := os.path.lexists(path) and self._damage(path):
                if not self.remake_damaged:
                    raise DamagedRun(damage)
                log.warning("Set aside as %s: %s", self._set_aside(path, ".damaged"), damage)
            if not os.path.lexists(path):
                self._make(path, spec, make)
        return path

    def manifest(self, path: Path | str) -> dict[str, Any]:
        """The manifest of a finished run. Raises DamagedRun if it is unreadable, MirageError if the path is no run."""
        path = self._run(path)
        try:
            with self._explained(but=(FileNotFoundError, NotADirectoryError)):
                manifest = json.loads((path / MANIFEST).read_bytes())
            told = (manifest["step"], manifest["key"], key_of(manifest["step"], manifest["spec"]))
            if told != (path.parent.name, path.name, path.name):
                raise ValueError("it tells of another run")
            _ = manifest["made"], manifest["seconds"], sum(file["bytes"] for file in manifest["files"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedRun(f"{path}: damaged run: {MANIFEST} missing or unreadable, {error!r}. {REMAKE}") from error
        return manifest

    def runs(self) -> list[dict[str, Any]]:
        """Every finished run, from its manifest alone: step, key, path, spec, seconds, bytes, made.

        A run without a readable manifest is left out; :meth:`check` reports it. Raises MirageError if the root is
        unreadable.
        """
        found = []
        for path in self._paths():
            with contextlib.suppress(DamagedRun):
                manifest = self.manifest(path)
                told = {name: manifest[name] for name in ("step", "key", "spec", "seconds", "made")}
                found.append({**told, "path": path, "bytes": sum(file["bytes"] for file in manifest["files"].values())})
        return found

    def check(self) -> list[str]:
        """Read every file again; one sentence for each damaged run. Raises MirageError if the root is unreadable."""
        return [damage for path in self._paths() if (damage := self._damage(path, fresh=True))]

    def remove(self, path: Path | str) -> None:
        """Delete one finished run, damaged or not. Raises MirageError if the path is not a run of this store."""
        path = self._run(path)
        with self._lock(path), self._explained():
            # Renamed first, so that an interrupted removal does not leave half a run at its address.
            shutil.rmtree(self._set_aside(path, ".removed"))

    def _run(self, path: Path | str) -> Path:
        path = Path(path).absolute()
        if path.parent.parent != self.root or path.parent.name.startswith(".") or not os.path.lexists(path):
            raise MirageError(f"{path}: no run of the store {self.root}; Store.runs() lists them.")
        return path

    def older(self) -> list[Path]:
        """Runs that were made here with another layout of the store. Nothing reads or changes them."""
        return [path for path in self._folders() if _layout(path) != LAYOUT]

    def _paths(self) -> list[Path]:
        return [path for path in self._folders() if _layout(path) == LAYOUT]

    def _folders(self) -> list[Path]:
        with self._explained():
            return sorted(self.root.glob("[!.]*/" + "[0-9a-f]" * 12))

    def _damage(self, path: Path, fresh: bool = False) -> str:
        """One sentence on the first file that does not match the manifest; "" if the run is sound."""
        try:
            listed = self.manifest(path)["files"]
            with self._explained():
                there = _describe(path, fresh)
        except MirageError as error:
            return str(error)
        for name in sorted(listed.keys() | there):
            if listed.get(name) != there.get(name):
                wrong = "is missing" if name not in there else "has changed" if name in listed else "does not belong"
                return f"{path}: damaged run: {name} {wrong}. {REMAKE}"
        return ""

    def _make(self, path: Path, spec: Any, make: Callable[[Path], object]) -> None:
        """Fill the partial folder, describe it, and move it into place. The caller holds the run's lock."""
        partial = self.root / ".partial" / f"{path.parent.name}-{path.name}"
        note = partial.with_name(f"{partial.name}.json")  # beside the folder, which belongs to make
        with self._explained():
            seconds, interruptions = _begin(partial, note)
        start = time.perf_counter()
        try:
            with self._explained(but=(OSError,)):
                make(partial)
        except BaseException:
            with contextlib.suppress(OSError):
                os.utime(partial)  # when this attempt ended, so that the next one can add up the seconds
            raise
        with self._explained():
            installed = {one.name: one.version for one in importlib.metadata.distributions() if one.name in PACKAGES}
            manifest = {
                **{"layout": LAYOUT, "step": path.parent.name, "spec": spec, "key": path.name},
                **{"made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "interruptions": interruptions},
                "files": _describe(partial, fresh=True),
                "seconds": round(seconds + time.perf_counter() - start, 3),
                "versions": {"python": platform.python_version(), **installed},
                "platform": {"machine": platform.machine(), "cpus": os.cpu_count()},
            }
            with (partial / MANIFEST).open("x", encoding="utf-8") as file:
                json.dump(manifest, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            path.parent.mkdir(exist_ok=True)
            partial.rename(path)
            note.unlink(missing_ok=True)

    def _set_aside(self, path: Path, folder: str) -> Path:
        with self._explained():
            (self.root / folder).mkdir(exist_ok=True)
            return path.rename(self.root / folder / f"{path.parent.name}-{path.name}-{time.time_ns()}")

    def _lock(self, path: Path) -> AcquireReturnProxy:
        """The run's lock, held inside the ``with`` block. If the process dies, however it dies, the system frees it."""
        lock = FileLock(self.root / ".locks" / f"{path.parent.name}-{path.name}.lock")
        self.prepare()
        with self._explained():
            try:
                return lock.acquire(timeout=2)
            except Timeout:
                log.warning("Waiting for another process that makes %s.", path)
                return lock.acquire()

    @contextlib.contextmanager
    def _explained(self, but: tuple[type[OSError], ...] = ()) -> Iterator[None]:
        """Turn a full disk, and any OSError except those in ``but``, into one message that says what to do."""
        try:
            yield
        except MirageError:
            raise
        except Exception as error:  # the writers of Parquet and of weights have their own errors for a full disk
            told = any(word in str(error) for word in FULL)
            if told or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                kept = "Finished runs and the partial one are kept: free space; the same command goes on from there."
                raise MirageError(f"The disk of {self.root} is full ({error}). {kept}") from error
            if not isinstance(error, OSError) or isinstance(error, but):
                raise
            remedy = "Set MIRAGE_STORE to a folder you can write."
            raise MirageError(f"{self.root}: runs cannot be kept here ({error}). {remedy}") from error


def _layout(path: Path) -> int:
    """The store layout that a run was made with; the current one if its manifest is unreadable or names another run."""
    try:
        told = json.loads((path / MANIFEST).read_bytes())
        return int(told.get("layout", 1)) if (told["step"], told["key"]) == (path.parent.name, path.name) else LAYOUT
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return LAYOUT


def key_of(step: str, spec: Any) -> str:
    """The 12 hex digits that name a run: they change with the step and with anything in its specification."""
    text = json.dumps({"step": step, "spec": spec}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _begin(partial: Path, note: Path) -> tuple[float, int]:
    """Note that an attempt begins. Returns the seconds that unfinished attempts took so far, and their number.

    A killed process cannot say how long it ran, so its time is counted up to the last change in its folder.
    """
    seconds, interruptions, now = 0.0, 0, time.time()
    with contextlib.suppress(OSError, ValueError, KeyError):  # no earlier attempt, or only its note is lost
        earlier = json.loads(note.read_bytes())
        latest = max(path.lstat().st_mtime for path in [partial, *partial.rglob("*")])
        seconds = earlier["seconds"] + max(0.0, min(latest, now) - earlier["started"])
        interruptions = earlier["interruptions"] + 1
    partial.mkdir(parents=True, exist_ok=True)
    fresh = note.with_suffix(".tmp")
    fresh.write_text(json.dumps({"seconds": seconds, "interruptions": interruptions, "started": now}))
    fresh.replace(note)
    (partial / MANIFEST).unlink(missing_ok=True)  # left by an attempt that stopped just before its rename
    return seconds, interruptions


def _describe(folder: Path, fresh: bool) -> dict[str, dict[str, Any]]:
    """{name: {sha256, bytes}} of every file below the folder except its manifest."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST):
        known = (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        if fresh or known not in _hashes:
            with path.open("rb") as file:
                _hashes[known] = hashlib.file_digest(file, "sha256").hexdigest()
        files[path.relative_to(folder).as_posix()] = {"sha256": _hashes[known], "bytes": known[1]}
    return files
