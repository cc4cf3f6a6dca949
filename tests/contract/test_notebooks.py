"""Chapters read like a good talk: short cells, described figures, a closing check, no outputs in git."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DRAWS = re.compile(r"\b((words|verdicts|pictures)\.\w+\(|plt\.|\.plot\(|\.imshow\()")
MEAN_LINES, MOST_LINES, MOST_FUNCTION_LINES, MOST_MODULES = 8, 25, 10, 4


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def python(source: str) -> str:
    """A cell without its notebook commands (``%matplotlib``, ``!ls``), so that it parses."""
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in source.splitlines())


def with_outputs(notebook: nbformat.NotebookNode) -> list[str]:
    """Cells that hold outputs or a count: git keeps none, the built book shows them."""
    return [cell.source for cell in code(notebook) if cell.outputs or cell.execution_count]


def too_long(notebook: nbformat.NotebookNode) -> list[str]:
    """Cells or an average beyond what a reader takes in at one look."""
    sizes = [len(cell.source.strip().splitlines()) for cell in code(notebook)]
    found = [f"a cell of {size} lines, at most {MOST_LINES}" for size in sizes if size > MOST_LINES]
    if sizes and sum(sizes) / len(sizes) > MEAN_LINES:
        found.append(f"{sum(sizes) / len(sizes):.1f} lines a cell on average, at most {MEAN_LINES}")
    return found


def long_functions(notebook: nbformat.NotebookNode) -> list[str]:
    """Functions that belong in the library."""
    found = []
    for cell in code(notebook):
        for node in ast.walk(ast.parse(python(cell.source))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES:
                found.append(f"{node.name}: {node.end_lineno - node.lineno + 1} lines")
    return found


def undescribed_figures(notebook: nbformat.NotebookNode) -> list[str]:
    """Cells that draw without a caption, a name and an alternative text in their metadata."""
    found = []
    for cell in code(notebook):
        meta = cell.metadata.get("mystnb", {})
        caption, name = (meta.get("figure", {}).get(key, "") for key in ("caption", "name"))
        alt = meta.get("image", {}).get("alt", "")
        if DRAWS.search(cell.source) and not (caption and name and len(alt.split()) >= 4):
            found.append(cell.source.splitlines()[0])
    return found


def unclaimed(notebook: nbformat.NotebookNode) -> list[str]:
    """The chapter does not end with its check."""
    cells = code(notebook)
    return [] if cells and "claim" in cells[-1].metadata.get("tags", []) else ["the last code cell is not tagged claim"]


def modules(source: str) -> set[str]:
    """The modules of ours that a piece of code imports, or imports from."""
    found = set()
    for node in ast.walk(ast.parse(python(source))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mirage_lib"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if find_module(name) else str(node.module) for name in names}
    return found


def find_module(name: str) -> bool:
    """Whether a dotted name is a module of ours rather than something in one."""
    return any((ROOT / name.replace(".", "/")).with_suffix(ending).exists() for ending in (".py", ""))


def many_modules(notebook: nbformat.NotebookNode) -> list[str]:
    """Plumbing belongs in the library: a chapter imports at most four of its modules."""
    found = set().union(*(modules(cell.source) for cell in code(notebook)))
    return sorted(found) if len(found) > MOST_MODULES else []


def stale_solutions(notebook: nbformat.NotebookNode) -> list[str]:
    """Solutions that do not parse, or that import what is not there."""
    found = []
    for cell in notebook.cells:
        for block in re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL) if cell.cell_type == "markdown" else ():
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mirage_lib"):
                    home = importlib.import_module(str(node.module))
                    lost = [
                        a.name
                        for a in node.names
                        if not (hasattr(home, a.name) or find_module(f"{node.module}.{a.name}"))
                    ]
                    found += [f"{node.module}: no {name}" for name in lost]
    return found


RULES: list[Callable[[nbformat.NotebookNode], list[str]]] = [
    with_outputs,
    too_long,
    long_functions,
    undescribed_figures,
    unclaimed,
    many_modules,
    stale_solutions,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(path: Path, rule: Callable[[nbformat.NotebookNode], list[str]]) -> None:
    if rule is unclaimed and path.stem.startswith("00"):
        return  # the laboratory is shown, not claimed
    assert not rule(nbformat.read(path, as_version=4))


def test_the_book_shows_every_chapter_and_no_other() -> None:
    listed = re.findall(r"file: notebooks/(\S+)", (ROOT / "book" / "_toc.yml").read_text())
    assert listed == [path.stem for path in CHAPTERS]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_accepts_a_good_chapter(rule: Callable[[nbformat.NotebookNode], list[str]]) -> None:
    described = {
        "mystnb": {"figure": {"caption": "Rates", "name": "rates"}, "image": {"alt": "Bars of two rates each"}},
        "tags": ["claim"],
    }
    good = new_code_cell("%matplotlib inline\ndef f():\n    return 1\nverdicts.rates(table)", metadata=described)
    assert not rule(new_notebook(cells=[new_code_cell("x = 1"), good]))


@pytest.mark.parametrize(
    ("rule", "cell"),
    [
        (with_outputs, new_code_cell("x", execution_count=1)),
        (too_long, new_code_cell("x = 1\n" * 26)),
        (too_long, new_code_cell("x = 1\n" * 9)),
        (long_functions, new_code_cell("def f():\n" + "    x = 1\n" * 10)),
        (undescribed_figures, new_code_cell("verdicts.rates(table)")),
        (undescribed_figures, new_code_cell("plt.bar(x, y)", metadata={"mystnb": {"image": {"alt": "image.png"}}})),
        (unclaimed, new_code_cell("x")),
        (many_modules, new_code_cell("from mirage_lib.core import errors, records, run, store, labels")),
        (stale_solutions, new_markdown_cell("```python\nfrom mirage_lib.core.errors import Gone\n```")),
    ],
)
def test_each_rule_finds_its_fault(rule: Callable, cell: nbformat.NotebookNode) -> None:
    assert rule(new_notebook(cells=[cell]))
