"""The code behind a result, as 12 hex digits that change when that code does.

A fingerprint covers the files that define the functions and objects passed in, everything that these files import,
transitively, inside this package (or, for a file of a reader's own, beside it), and the data files that any of them
names. Files are parsed, never run. Comments, docstrings and layout do not count, nor do the names of modules and files:
a move changes nothing, an edit does.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirage_lib.core.errors import MirageError

PACKAGE = Path(__file__).parents[1]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_of(things: Iterable[Any]) -> str:
    """The fingerprint of functions and classes: of the files that define them and all these depend on.

    Files are read once in a process, as modules are. Raises MirageError for something whose source cannot be found.
    """
    files, texts = set[Path](), set[str]()
    for thing in things:
        file = getattr(sys.modules.get(thing.__module__), "__file__", None)
        if file is not None:
            files.add(Path(file))
            continue
        try:  # typed into a notebook: there is no file, but the source is known
            texts.add(inspect.getsource(thing))
        except (OSError, TypeError) as error:
            raise MirageError(
                f"{thing.__qualname__}: its source cannot be found, so a result made with it could not tell when it "
                "changes. Define it in a file and import it from there."
            ) from error
    return _short([_once(frozenset(files)), *sorted(texts)])


@functools.cache
def _once(files: frozenset[Path]) -> str:
    return fingerprint(files)


def fingerprint(files: Iterable[Path], package: Path = PACKAGE) -> str:
    """12 hex digits for these files and everything they depend on, as they are now."""
    return _short(sorted(_says(path, package) for path in closure(files, package)))


def closure(files: Iterable[Path], package: Path = PACKAGE) -> set[Path]:
    """The files and all they import, transitively, inside the package or beside a file outside it."""
    found, ahead = set[Path](), list(files)
    while ahead:
        path = ahead.pop()
        if path not in found:
            found.add(path)
            ahead += _module(path, package).imports
    return found


def data_files(path: Path, package: Path = PACKAGE) -> tuple[Path, ...]:
    """The data files that a module names in a string of its own: a path below the module's folder."""
    return _module(path, package).data


@dataclass(frozen=True)
class Module:
    """A file as far as it counts."""

    code: str  # with a number in the place of each module and each data file that it names
    imports: tuple[Path, ...]  # the modules, in that order
    data: tuple[Path, ...]


def _says(path: Path, package: Path) -> str:
    """What a module says, and what the modules and data files that it names say, their own imports apart."""
    module = _module(path, package)
    named = [_module(target, package).code for target in module.imports]
    return _short([module.code, *named, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in module.data)])


def _module(path: Path, package: Path) -> Module:
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns, package)


@functools.lru_cache(maxsize=1024)
def _read(path: Path, size: int, changed: int, package: Path) -> Module:
    del size, changed  # they tell one state of the file from another
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]
    # What only type checkers import is not run.
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"))
    ]
    nameless = _Nameless(path, package)
    code = ast.unparse(nameless.visit(tree))  # ast.dump would differ between versions of Python
    return Module(code, tuple(nameless.imports), tuple(nameless.data))


class _Nameless(ast.NodeTransformer):
    """Puts numbers in the place of names of modules and of data files, and keeps which is which."""

    def __init__(self, path: Path, package: Path) -> None:
        self.path, self.package = path, package
        self.imports: list[Path] = []
        self.data: list[Path] = []
        self.modules: dict[str, str] = {}  # the name that a module has in this file -> its number

    def visit_Module(self, node: ast.Module) -> ast.AST:
        for one in ast.walk(node):  # imports first: a name may stand above the import, inside a function
            if isinstance(one, ast.Import | ast.ImportFrom):
                self._number(one)
        return self.generic_visit(node)

    def _number(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias, (target, is_module) in zip(node.names, _targets(node, self.path, self.package), strict=True):
            if target is None:
                continue
            if target not in self.imports:
                self.imports.append(target)
            number = f"module_{self.imports.index(target)}"
            if is_module:
                if isinstance(node, ast.ImportFrom) or alias.asname:
                    self.modules[alias.asname or alias.name] = number
                alias.name, alias.asname = number, None
            if isinstance(node, ast.ImportFrom):
                node.module, node.level = number, 0

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.modules.get(node.id, node.id)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        file = self._beside(node.value) if isinstance(node.value, str) else None
        if file is None:
            return node
        if file not in self.data:
            self.data.append(file)
        return ast.copy_location(ast.Constant(f"data_{self.data.index(file)}"), node)

    def _beside(self, text: str) -> Path | None:
        """The file that a string names, from the folder of the module it stands in."""
        if not text or len(text) > 100 or "\0" in text or text.startswith((".", "/")):
            return None
        file = self.path.parent / text
        return file if file.suffix not in ("", ".py") and file.is_file() else None


def _targets(node: ast.Import | ast.ImportFrom, path: Path, package: Path) -> list[tuple[Path | None, bool]]:
    """For each name that a statement imports: the file it comes from, if it counts, and whether it is that module."""
    if isinstance(node, ast.Import):
        return [(_found(alias.name.split("."), path, package), True) for alias in node.names]
    parts = node.module.split(".") if node.module else []
    if node.level:  # relative: from the folder of this file, or one above it for each further dot
        above = path.parents[node.level - 1]
        pairs = [(_file(above, [*parts, alias.name]), _file(above, parts)) for alias in node.names]
    else:
        pairs = [(_found([*parts, alias.name], path, package), _found(parts, path, package)) for alias in node.names]
    return [(part, True) if part else (whole, False) for part, whole in pairs]


def _found(parts: list[str], path: Path, package: Path) -> Path | None:
    """The file of a module that counts: of the package, or beside a file outside it."""
    if parts[0] == package.name:
        return _file(package.parent, parts)
    return None if path.is_relative_to(package) else _file(path.parent, parts)


def _file(folder: Path, parts: list[str]) -> Path | None:
    at = folder.joinpath(*parts)
    ways = [at / "__init__.py", *([at.with_suffix(".py")] if parts else [])]
    return next((way for way in ways if way.is_file()), None)


def _short(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)} {text}".encode())
    return digest.hexdigest()[:12]
