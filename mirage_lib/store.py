"""A directory per (step, specification): made once, finished by an atomic rename, resumable, self-describing.

Comes in: the name of a step, the specification of one run of it, and a function that fills a folder.
Goes out: ``<root>/<step>/<key>/``, its files and a ``manifest.json``: from which specification and versions, in how
many seconds, with which sha256. So every number of the book has an address.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import errno
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import math
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock, Timeout

from mirage_lib.errors import MirageError

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
# How safetensors and torch put a full disk in words of their own, without the system's number for it.
FULL = ("No space left", "inline_container.cc", "iostream error")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
PACKAGES = ("safety-mirage", "torch", "transformers", "peft", "numpy", "pandas")
REMAKE = "Remake it with `python -m mirage_lib study --remake-damaged`, or delete it with Store.remove(path)."

_hashes: dict[tuple[str, int, int], str] = {}  # (path, bytes, mtime_ns) -> sha256, as this process last read it


class DamagedRun(MirageError):
    """A finished run whose files are not those its manifest lists."""


def default_root() -> Path:
    """Where runs are kept: MIRAGE_STORE if set, else ``runs`` in the checkout, else a folder of the user's cache."""
    checkout, cache = Path(__file__).parents[1], Path.home() / ".cache" / "safety-mirage"
    usual = checkout / "runs" if (checkout / "pyproject.toml").is_file() else cache
    return Path(os.environ.get("MIRAGE_STORE") or usual).expanduser()


def canonical(value: Any, where: str = "spec") -> Any:
    """The value as JSON holds it: a dataclass as ``{"type": its name, **fields}``, a tuple as a list.

    Raises MirageError naming the key (``where`` and what follows) for anything else JSON cannot hold; a Path too,
    for where a file lies on one machine is no part of what a run is.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if "type" in fields:
            raise MirageError(f"{where}: {type(value).__name__} has a field 'type', the place of its name; rename it.")
        return {"type": type(value).__name__, **canonical(fields, where)}
    if isinstance(value, dict):
        if other := [key for key in value if not isinstance(key, str)]:
            raise MirageError(f"{where}: the key {other[0]!r} is not text, as JSON's keys are; write it as text.")
        return {key: canonical(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise MirageError(f"{where}: {value!r} ({type(value).__name__}) cannot be written as JSON; write it as text.")


@functools.cache
def code_fingerprint(*modules: str) -> str:
    """12 hex digits that change when the code of the named modules does; comments, docstrings and layout do not count.

    Put into a specification, they keep a run made by other code from being taken for this code's. Modules are found
    without being imported (a package stands for its ``__init__.py`` alone) and are read once in a process.
    Raises MirageError (ImportError, if its package is missing) for a module without Python source.
    """
    code = []
    for module in sorted(set(modules)):
        found = importlib.util.find_spec(module)
        if found is None or not str(found.origin).endswith(".py"):
            raise MirageError(f"{module}: no such module with Python source; expected a name like 'mirage_lib.world'.")
        tree = ast.parse(Path(str(found.origin)).read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
                del node.body[0]
        code.append([module, ast.unparse(tree)])  # ast.dump would differ between versions of Python
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:12]


class Store:
    """Finished runs below one folder. Nothing is written before the first run is made.

    With ``remake_damaged`` a damaged run is set aside in ``<root>/.damaged`` and made anew; without, it is an error.
    """

    def __init__(self, root: Path | str, remake_damaged: bool = False) -> None:
        self.root = Path(root).expanduser().absolute()
        self.remake_damaged = remake_damaged

    def prepare(self) -> None:
        """Make the store's folder. Raises MirageError if it cannot be made or written."""
        with self._explained():
            (self.root / ".locks").mkdir(parents=True, exist_ok=True)

    def address(self, step: str, spec: dict[str, Any]) -> Path:
        """Where the run is or will be. Raises MirageError for a step or spec that cannot be an address."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", step):
            raise MirageError(f"{step!r} cannot name a step; expected letters, digits, '_', '.' and '-'.")
        return self.root / step / _key(step, canonical(spec))

    def find(self, step: str, spec: dict[str, Any]) -> Path | None:
        """The run's directory if it is finished and undamaged, else None. Raises MirageError as :meth:`address`."""
        path = self.address(step, spec)
        return path if os.path.lexists(path) and not self._damage(path) else None

    def get(self, step: str, spec: dict[str, Any], make: Callable[[Path], object]) -> Path:
        """The directory of the finished run, after ``make(folder)`` has filled it (but for manifest.json) if need be.

        ``make`` finds in its folder what an interrupted try of the same run left there, and goes on from it. Of
        several processes or threads that ask for one run, one makes it and the others wait.
        Raises DamagedRun if the finished run is not as its manifest says, MirageError if the store cannot be
        written or its disk is full; what else ``make`` raises passes unchanged, and its folder is kept.
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
                self._make(path, canonical(spec), make)
        return path

    def manifest(self, path: Path | str) -> dict[str, Any]:
        """What a finished run says of itself. Raises DamagedRun if that is unreadable, MirageError if it is no run."""
        path = self._run(path)
        try:
            with self._explained(but=(FileNotFoundError, NotADirectoryError)):
                manifest = json.loads((path / MANIFEST).read_bytes())
            told = (manifest["step"], manifest["key"], _key(manifest["step"], manifest["spec"]))
            if told != (path.parent.name, path.name, path.name):
                raise ValueError("it tells of another run")
            _ = manifest["made"], manifest["seconds"], sum(file["bytes"] for file in manifest["files"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedRun(f"{path}: damaged run: {MANIFEST} missing or unreadable, {error!r}. {REMAKE}") from error
        return manifest

    def runs(self) -> list[dict[str, Any]]:
        """Every finished run, its contents unread: step, key, path, spec, seconds, bytes, made.

        A run without a readable manifest is left to :meth:`check`. Raises MirageError if the root is unreadable.
        """
        found = []
        for path in self._paths():
            with contextlib.suppress(DamagedRun):
                manifest = self.manifest(path)
                told = {name: manifest[name] for name in ("step", "key", "spec", "seconds", "made")}
                found.append({**told, "path": path, "bytes": sum(file["bytes"] for file in manifest["files"].values())})
        return found

    def check(self) -> list[str]:
        """One sentence for each damaged run; every file is read again. Raises MirageError if the root is unreadable."""
        return [damage for path in self._paths() if (damage := self._damage(path, fresh=True))]

    def remove(self, path: Path | str) -> None:
        """Delete one finished run, damaged or not. Raises MirageError if the path is no run of this store."""
        path = self._run(path)
        with self._lock(path), self._explained():
            # Renamed first, so that a removal cut short does not leave half a run at its address.
            shutil.rmtree(self._set_aside(path, ".removed"))

    def _run(self, path: Path | str) -> Path:
        path = Path(path).absolute()
        if path.parent.parent != self.root or path.parent.name.startswith(".") or not os.path.lexists(path):
            raise MirageError(f"{path}: no run of the store {self.root}; Store.runs() lists them.")
        return path

    def _paths(self) -> list[Path]:
        with self._explained():
            return sorted(self.root.glob("[!.]*/" + "[0-9a-f]" * 12))

    def _damage(self, path: Path, fresh: bool = False) -> str:
        """One sentence on the first file that is not as the manifest says; "" for a sound run."""
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
        """Fill the partial folder, describe it, and move it into place. The run's lock is held."""
        partial = self.root / ".partial" / f"{path.parent.name}-{path.name}"
        note = partial.with_name(f"{partial.name}.json")  # beside the folder, which is make's alone
        with self._explained():
            seconds, interruptions = _begin(partial, note)
        start = time.perf_counter()
        try:
            with self._explained(but=(OSError,)):
                make(partial)
        except BaseException:
            with contextlib.suppress(OSError):
                os.utime(partial)  # the end of this try, for the next one's sum of seconds
            raise
        with self._explained():
            installed = {one.name: one.version for one in importlib.metadata.distributions() if one.name in PACKAGES}
            manifest = {
                **{"step": path.parent.name, "spec": spec, "key": path.name},
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
        """Hold the run's lock while in the context. The system releases it when its holder dies, however it dies."""
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
        """Turn a full disk, and every refusal of the system ``but`` these, into one message with its remedy."""
        try:
            yield
        except MirageError:
            raise
        except Exception as error:  # the writers of Parquet and of weights tell a full disk by errors of their own
            told = any(word in str(error) for word in FULL)
            if told or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                kept = "Finished runs and the partial one are kept: free space; the same command goes on from there."
                raise MirageError(f"The disk of {self.root} is full ({error}). {kept}") from error
            if not isinstance(error, OSError) or isinstance(error, but):
                raise
            remedy = "Set MIRAGE_STORE to a folder you can write."
            raise MirageError(f"{self.root}: runs cannot be kept here ({error}). {remedy}") from error


def _key(step: str, spec: Any) -> str:
    text = json.dumps({"step": step, "spec": spec}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _begin(partial: Path, note: Path) -> tuple[float, int]:
    """Note that a try begins; returns the seconds and the number of the unfinished tries before it.

    A killed process cannot say how long it ran: its time is counted up to the last change in its folder.
    """
    seconds, interruptions, now = 0.0, 0, time.time()
    with contextlib.suppress(OSError, ValueError, KeyError):  # no earlier try; or its note is lost, its work still good
        earlier = json.loads(note.read_bytes())
        latest = max(path.lstat().st_mtime for path in [partial, *partial.rglob("*")])
        seconds = earlier["seconds"] + max(0.0, min(latest, now) - earlier["started"])
        interruptions = earlier["interruptions"] + 1
    partial.mkdir(parents=True, exist_ok=True)
    fresh = note.with_suffix(".tmp")
    fresh.write_text(json.dumps({"seconds": seconds, "interruptions": interruptions, "started": now}))
    fresh.replace(note)
    (partial / MANIFEST).unlink(missing_ok=True)  # of a try cut short just before its rename
    return seconds, interruptions


def _describe(folder: Path, fresh: bool) -> dict[str, dict[str, Any]]:
    """{name: {sha256, bytes}} of all files below the folder but its manifest."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST):
        known = (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        if fresh or known not in _hashes:
            with path.open("rb") as file:
                _hashes[known] = hashlib.file_digest(file, "sha256").hexdigest()
        files[path.relative_to(folder).as_posix()] = {"sha256": _hashes[known], "bytes": known[1]}
    return files
