"""A study of your own: a Python file that defines ``PROFILE`` and, if you like, ``CLAIMS`` and ``PLOTS``.

The file is imported under its own name, with its folder on Python's path, so that worker processes can import it, too,
and so that its code is part of the address of every run that uses it.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from mirage_lib.core.errors import MirageError
from mirage_lib.study.profile import Profile


def own_profile(path: Path) -> Profile:
    """The ``PROFILE`` of a Python file. Raises MirageError, naming the file and line, if there is none."""
    module = _imported(path.expanduser().absolute())
    found = getattr(module, "PROFILE", None)
    if not isinstance(found, Profile):
        raise MirageError(f"{path}: PROFILE is {type(found).__name__}; expected a mirage_lib.study.profile.Profile.")
    return dataclasses.replace(found, module=module.__name__)


def own(profile: Profile, name: str) -> Any:
    """What the reader's file calls ``name`` ("CLAIMS" or "PLOTS"); empty if there is no file, or no such thing."""
    return vars(sys.modules[profile.module]).get(name, ()) if profile.module else ()


def _imported(path: Path) -> ModuleType:
    name, folder = path.stem, str(path.parent)
    if not path.is_file():
        raise MirageError(f"{path}: no such file; expected a Python file that defines PROFILE.")
    if not name.isidentifier():
        raise MirageError(f"{path}: {name!r} cannot name a module; use letters, digits and _ only.")
    if folder not in sys.path:
        sys.path.append(folder)  # last: nothing of ours is shadowed
        importlib.invalidate_caches()
    there = sys.modules.get(name) or importlib.util.find_spec(name)
    origin = getattr(there, "__file__", None) or getattr(there, "origin", None)
    if origin is None or not path.samefile(origin):
        raise MirageError(f"{path}: there is a module {name!r} already ({origin}). Give the file another name.")
    try:
        return importlib.import_module(name)
    except MirageError as error:
        raise MirageError(f"{path}: {error}") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = lines[-1] if lines else getattr(error, "lineno", None)
        raise MirageError(f"{path}: line {line}: {type(error).__name__}: {error}.") from error
