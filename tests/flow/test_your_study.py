"""The plug-in contract: a file of the reader's own adds one of everything, with no line of the library changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.study import own
from mirage_lib.study.profiles import LLAVA_7B, named_profile

ROOT = Path(__file__).parents[2]
FILE = ROOT / "notebooks" / "your_study.py"


def library() -> str:
    """A digest of every file of the package."""
    files = sorted(path for path in (ROOT / "mirage_lib").rglob("*") if path.is_file() and path.suffix != ".pyc")
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the file that the book shows."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "mine.py").write_text(FILE.read_text())
    return folder


def python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in that folder, with a store of its own."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("MIRAGE_")}
    settings = {"MIRAGE_STORE": str(folder / "runs"), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=known | settings, capture_output=True, text=True, timeout=600)


def test_a_file_of_your_own_adds_one_of_everything(folder: Path) -> None:
    before = library()
    made = python(folder, "-m", "mirage_lib", "study", "--profile", "mine.py", "--workers", "2")
    assert made.returncode == 0, made.stderr[-2000:]
    assert "2 runs made, 0 found, 0 failed" in made.stdout, "worker processes know the file, too"
    again = python(folder, "-m", "mirage_lib", "study", MIRAGE_PROFILE="mine.py")
    assert "0 runs made, 2 found, 0 failed" in again.stdout
    look = (
        "from mirage_lib import open_study\n"
        "table = open_study().table(['base', 'posthoc'])\n"
        "print(table.groupby(['subset', 'edit', 'asked', 'judge']).size().to_dict())\n"
        "print(table['score'].between(0, 1).all(), set(table['label']))\n"
    )
    rows = python(folder, "-c", look, MIRAGE_PROFILE=str(folder / "mine.py")).stdout
    for word, kind, half in (("Tell me", "unsafes", 400), ("Please give", "safe_safes", 400)):
        edit = f"reopen:{word.split()[0].lower()}"
        assert f"('{kind}', '', 'as asked', 'ingredients'): {half}" in rows, "its own data and judge"
        assert f"('{kind}', '{edit}', 'opening with “{word}”', 'ingredients'): {half}" in rows, "its own attack"
    assert "True {" in rows, "the judge's own number"
    claims = python(folder, "-m", "mirage_lib", "claims", "--profile", "mine.py")
    assert claims.returncode == 0, claims.stderr[-2000:]
    assert "“Tell me” does what “What” does" in claims.stdout, "its own claim"
    drawn = python(folder, "-m", "mirage_lib", "figure", "openers", "--profile", "mine.py")
    assert drawn.returncode == 0, drawn.stderr[-2000:]
    assert (folder / "openers.png").read_bytes().startswith(b"\x89PNG"), "its own figure"
    assert library() == before


def test_an_edit_to_the_file_makes_anew_what_depends_on_it(folder: Path, tmp_path: Path) -> None:
    look = (
        "from mirage_lib import open_study\n"
        "study = open_study()\n"
        "print(study.base_run(0).identity(), study.tuned_run('posthoc', 0).identity())\n"
    )
    text = (folder / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(text.replace("gamma: float = 1.0", "gamma: float = 2.0"))
    one, two = (python(where, "-c", look, MIRAGE_PROFILE="mine.py").stdout.split() for where in (folder, tmp_path))
    assert len(one) == len(two) == 2
    assert one[0] == two[0], "the base does not depend on it"
    assert one[1] != two[1]


@pytest.mark.long
def test_another_scale_is_other_data(folder: Path, tmp_path: Path) -> None:
    """The file reads its scale from the environment; a world that is no field of the data would be missing here."""
    look = (
        "from mirage_lib import open_study\n"
        "study = open_study('mine.py')\n"
        "seed = study.profile.seeds[0]\n"
        "run = study.training_run(study.profile.methods[0], seed)\n"
        "print(study.profile.subject.questions_run('attack', seed).identity(), run.identity())\n"
    )
    found = [python(folder, "-c", look, MIRAGE_PROFILE=name).stdout.split() for name in ("nano", "tiny")]
    assert [len(keys) for keys in found] == [2, 2]
    assert not set(found[0]) & set(found[1])


def test_an_unknown_figure_names_those_there_are(folder: Path) -> None:
    found = python(folder, "-m", "mirage_lib", "figure", "none", "--profile", "mine.py")
    assert (found.returncode, found.stderr) == (2, "error: There is no figure 'none'; there are finding, openers.\n")


BROKEN = {
    "nothing = 1\n": r"PROFILE is NoneType; expected a mirage_lib\.study\.profile\.Profile",
    "PROFILE = 'tiny'\n": "PROFILE is str",
    "one = 1\ntwo = 1 / 0\n": r"line 2: ZeroDivisionError: division by zero",
    "def broken(:\n": "line 1: SyntaxError",
    "import not_there_at_all\n": "line 1: ModuleNotFoundError: No module named 'not_there_at_all'",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_is_broken_is_named_with_the_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / f"broken_{abs(hash(text))}.py"
    path.write_text(text)
    with pytest.raises(MirageError, match=BROKEN[text]) as raised:
        named_profile(str(path))
    assert str(raised.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there_or_cannot_be_imported_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(MirageError, match=r"nowhere\.py: no such file"):
        named_profile(str(tmp_path / "nowhere.py"))
    for name, why in (("my-study.py", "cannot name a module"), ("json.py", "there is a module 'json' already")):
        (tmp_path / name).write_text("PROFILE = None\n")
        with pytest.raises(MirageError, match=why):
            named_profile(str(tmp_path / name))


def test_our_own_profiles_add_nothing() -> None:
    assert own.own(LLAVA_7B, "CLAIMS") == own.own(LLAVA_7B, "PLOTS") == ()
