"""The house rules that a machine can check: sizes, docstrings, one-way imports, tests, reasons for skips."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "mirage_lib").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
LINES, FUNCTION_LINES, FILES, TEST_RATIO = 300, 50, 13, 0.8
FOLDERS = sorted({path.parent for path in (ROOT / "mirage_lib").rglob("*.*") if "__pycache__" not in path.parts})
SKIPS = {"skip", "skipif", "importorskip", "xfail"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def undocumented(tree: ast.Module) -> list[str]:
    """Public functions and classes, and public methods longer than a line or two, without a docstring."""
    found = [] if ast.get_docstring(tree) else ["the module itself"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found += [] if ast.get_docstring(node) else [node.name]
    return found


def skips(tree: ast.Module) -> list[str]:
    """The reason that each skip or expected failure in a test file states; "" where it states none."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SKIPS):
            continue
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        reason = keywords.get("reason", node.args[0] if node.args else ast.Constant(""))
        if isinstance(reason, ast.Name):
            reason = constants.get(reason.id, ast.Constant(""))
        texts = [part.value for part in ast.walk(reason) if isinstance(part, ast.Constant)]
        found.append(next((text.strip() for text in texts if isinstance(text, str)), ""))
    return found


def code_lines(paths: list[Path]) -> int:
    return sum(bool(line.strip()) for path in paths for line in path.read_text().splitlines())


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_fits_in_one_reading(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LINES, f"{name(path)} has {lines} lines, at most {LINES}: look for another cut"


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_a_folder_is_taken_in_at_one_look(folder: Path) -> None:
    files = [path.name for path in folder.iterdir() if path.is_file()]
    assert len(files) <= FILES, f"{name(folder)} has {len(files)} files, at most {FILES}: {sorted(files)}"


@pytest.mark.parametrize("path", [*MODULES, *TOOLS], ids=name)
def test_functions_are_short_and_public_ones_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    long = [f.name for f in functions(tree) if f.end_lineno - f.lineno + 1 > FUNCTION_LINES]
    assert not long, f"longer than {FUNCTION_LINES} lines: {long}"
    assert not undocumented(tree), f"no docstring: {undocumented(tree)}"


def test_there_are_enough_tests() -> None:
    ratio = code_lines(TESTS) / code_lines([*MODULES, *TOOLS])
    assert ratio >= TEST_RATIO, f"{ratio:.2f} test lines per source line, at least {TEST_RATIO}"


def test_imports_point_one_way() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_reason_to_skip_is_explained_and_in_use() -> None:
    text = (ROOT / "tests" / "SKIPS.md").read_text()
    listed = set(re.findall(r"^- `([^`]+)`: \S", text, flags=re.MULTILINE))
    used = set()
    for path in TESTS:
        for reason in skips(ast.parse(path.read_text())):
            assert reason, f"{name(path)}: a skip without a reason"
            assert reason in listed, f"tests/SKIPS.md does not explain {reason!r}, a reason to skip in {name(path)}"
            used.add(reason)
    assert listed == used, f"tests/SKIPS.md explains reasons that no test gives: {sorted(listed - used)}"


def test_the_reader_of_skips_finds_each_form() -> None:
    source = """
WHY = "no GPU here"
pytest.skip("no data")
pytest.importorskip("vllm")
pytest.mark.skipif(True, reason=WHY)
pytest.skip(f"no folder {x}")
pytest.skip()
"""
    assert skips(ast.parse(source)) == ["no data", "vllm", "no GPU here", "no folder", ""]


def test_the_reader_of_docstrings_finds_a_missing_one() -> None:
    tree = ast.parse('"""M."""\ndef f(): ...\ndef _g(): ...\nclass C:\n    """C."""\n')
    assert undocumented(tree) == ["f"]
