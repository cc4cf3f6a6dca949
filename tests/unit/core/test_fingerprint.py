"""What a fingerprint covers, and what it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.core.fingerprint import closure, code_of, data_files, fingerprint

FILES = {
    "pack/__init__.py": '"""A package."""\n',
    "pack/step.py": '''"""A step."""

from pack.deep import helper
from pack.deep.table import read as load

def make():
    """Make it."""
    from pack import late
    return helper.twice(load()) + late.MORE  # a remark
''',
    "pack/late.py": "MORE = 1\n",
    "pack/unused.py": "NOTHING = 0\n",
    "pack/deep/__init__.py": "",
    "pack/deep/helper.py": '''"""Helps."""

from __future__ import annotations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pack import unused

def twice(x):
    return 2 * x
''',
    "pack/deep/table.py": """from pathlib import Path

def read():
    return len(Path(__file__).with_name("numbers.csv").read_text())
""",
    "pack/deep/numbers.csv": "1,2\n",
    "pack/deep/other.csv": "3\n",
    "own/mine.py": "from beside import HELP\nfrom pack.late import MORE\nimport os\nX = HELP + MORE\n",
    "own/beside.py": "HELP = 1\n",
    "own/apart.py": "X = 1\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def of(tree: Path, name: str = "pack/step.py") -> str:
    return fingerprint([tree / name], tree / "pack")


def edit(tree: Path, name: str, old: str, new: str) -> None:
    text = (tree / name).read_text()
    assert old in text or not old
    (tree / name).write_text(text.replace(old, new) if old else text + new)


def test_it_covers_imports_near_far_and_late_and_a_readers_own_neighbours(tree: Path) -> None:
    found = {path.relative_to(tree).as_posix() for path in closure([tree / "pack/step.py"], tree / "pack")}
    assert found == {"pack/step.py", "pack/late.py", "pack/deep/helper.py", "pack/deep/table.py"}
    found = {path.relative_to(tree).as_posix() for path in closure([tree / "own/mine.py"], tree / "pack")}
    assert found == {"own/mine.py", "own/beside.py", "pack/late.py"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pack/step.py", "+ late", "- late"),
        ("pack/late.py", "1", "2"),
        ("pack/deep/helper.py", "2 * x", "x * 2"),
        ("pack/deep/table.py", "len(", "abs("),
        ("pack/deep/numbers.csv", "1,2", "1,3"),
        ("pack/step.py", "import read as load", "import write as load"),
        ("pack/step.py", "from pack import late", "from pack import unused as late"),
    ],
)
def test_an_edit_changes_it(tree: Path, name: str, old: str, new: str) -> None:
    before = of(tree)
    edit(tree, name, old, new)
    assert of(tree) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pack/unused.py", "0", "1"),  # for type checkers alone
        ("pack/deep/other.csv", "3", "4"),
        ("pack/step.py", "  # a remark", "  # another"),
        ("pack/step.py", '"""Make it."""', '"""Makes it."""'),
        ("pack/step.py", '    """Make it."""\n', ""),
        ("pack/step.py", "helper.twice(load())", "(\n        helper.twice(load())\n    )"),
        ("pack/__init__.py", "A package", "Some package"),
    ],
)
def test_what_does_not_run_changes_nothing(tree: Path, name: str, old: str, new: str) -> None:
    before = of(tree)
    edit(tree, name, old, new)
    assert of(tree) == before


@pytest.mark.parametrize(
    ("old", "new", "mentions"),
    [
        ("pack/deep/helper.py", "pack/deep/aid.py", {"import helper": "import aid", "helper.twice": "aid.twice"}),
        ("pack/deep/helper.py", "pack/near.py", {"from pack.deep import helper": "from pack import near as helper"}),
        ("pack/deep/table.py", "pack/deep/rows.py", {"pack.deep.table": "pack.deep.rows"}),
        ("pack/step.py", "pack/stage.py", {}),
    ],
)
def test_a_module_may_move(tree: Path, old: str, new: str, mentions: dict[str, str]) -> None:
    before = of(tree)
    (tree / old).rename(tree / new)
    step = "pack/stage.py" if old == "pack/step.py" else "pack/step.py"
    for told, moved in mentions.items():
        edit(tree, step, told, moved)
    assert of(tree, step) == before


def test_a_data_file_may_be_renamed(tree: Path) -> None:
    before = of(tree)
    (tree / "pack/deep/numbers.csv").rename(tree / "pack/deep/figures.csv")
    edit(tree, "pack/deep/table.py", "numbers.csv", "figures.csv")
    assert of(tree) == before
    assert data_files(tree / "pack/deep/table.py", tree / "pack") == (tree / "pack/deep/figures.csv",)


def test_two_modules_that_change_places_change_it(tree: Path) -> None:
    """The same files, each imported where the other was."""
    edit(tree, "pack/step.py", "from pack import late", "from pack import late, unused")
    before = of(tree)
    edit(tree, "pack/step.py", "late.MORE", "unused.MORE")
    assert of(tree) != before


def test_relative_imports_count(tree: Path) -> None:
    edit(tree, "pack/deep/helper.py", "", "\nfrom ..unused import NOTHING\nfrom . import table\n")
    found = {path.name for path in closure([tree / "pack/deep/helper.py"], tree / "pack")}
    assert found == {"helper.py", "unused.py", "table.py"}


def test_modules_that_import_each_other_end(tree: Path) -> None:
    edit(tree, "pack/late.py", "", "\ndef back():\n    from pack.step import make\n    return make\n")
    before = of(tree)
    assert before == of(tree, "pack/late.py"), "each covers the other"
    edit(tree, "pack/late.py", "return make", "return make()")
    assert of(tree) != before


def test_nothing_is_run(tree: Path) -> None:
    edit(tree, "pack/step.py", "", "\nraise RuntimeError('run')\n")
    assert of(tree)


def test_text_that_is_used_counts_to_the_letter(tree: Path) -> None:
    texts = set()
    for prompt in ("'a, b'", "'a,b'"):
        (tree / "pack/late.py").write_text(f"MORE = {prompt}\n")
        texts.add(of(tree))
    assert len(texts) == 2


def test_what_was_typed_into_a_notebook_counts_by_its_source() -> None:
    def typed(text: str) -> Callable:
        import linecache

        name = f"<cell {len(text)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        scope: dict = {"__name__": "a_notebook"}
        exec(compile(text, name, "exec"), scope)
        return scope["f"]

    one, two = typed("def f():\n    return 1\n"), typed("def f():\n    return 1 + 1\n")
    assert code_of([one]) != code_of([two])


def test_what_has_no_source_is_refused() -> None:
    scope: dict = {"__name__": "nowhere"}
    exec("def f(): ...", scope)
    with pytest.raises(MirageError, match="f: its source cannot be found"):
        code_of([scope["f"]])
