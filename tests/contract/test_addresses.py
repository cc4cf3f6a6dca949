"""No page shows an old result for new code: what a step's address follows from, and what it does not.

Every module that a step depends on is edited in a copy of the library, one after the other, and so is every module that
it does not depend on. The library that runs is never touched.
"""

from __future__ import annotations

import ast
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirage_lib.claims.word_attribution import weights_run
from mirage_lib.core import fingerprint as fingerprint_module
from mirage_lib.core.fingerprint import PACKAGE, closure, data_files, fingerprint
from mirage_lib.core.run import Input, Run, defined
from mirage_lib.core.store import Store
from mirage_lib.explorer.content import content_run
from mirage_lib.study.profiles import LLAVA_NANO, NANO
from mirage_lib.study.study import Study

MODULES = sorted(PACKAGE.rglob("*.py"))
INITS = [path for path in MODULES if path.name == "__init__.py"]


def below(run: Input) -> Iterator[Run]:
    """A run and all the runs that go into it."""
    if not isinstance(run, Run):
        return
    yield run
    ahead: list = list(run.inputs.values())
    while ahead:
        one = ahead.pop()
        if isinstance(one, dict):
            ahead += one.values()
        elif isinstance(one, list | tuple):
            ahead += one
        elif isinstance(one, Run):
            yield from below(one)


def roots(run: Run) -> set[Path]:
    """The files that define what a run is made with."""
    return {Path(str(sys.modules[one.__module__].__file__)) for one in (run.make, *defined(dict(run.inputs)))}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Path]]:
    """Every step of both kinds of study by the name of its function, with the files that its address begins from."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "vlguard").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIRAGE_DATA", str(folder))
        found: dict[str, set[Path]] = {}
        for profile in (NANO, LLAVA_NANO):
            study, seed = Study(profile, Store(folder / "runs")), profile.seeds[0]
            study._ready = True  # nothing is made here, so nothing has to be there
            names = [method.name for method in profile.methods]
            ends = [study.part_runs(name, seed, part)["verdicts"] for name in names for part in profile.subject.parts]
            ends.append(content_run(study))
            ends += [weights_run(study, "posthoc", seed)] if profile is NANO else []
            for run in (one for end in ends for one in below(end)):
                found.setdefault(f"{run.make.__module__.removeprefix('mirage_lib.')}.{run.make.__name__}", set())
                found[f"{run.make.__module__.removeprefix('mirage_lib.')}.{run.make.__name__}"] |= roots(run)
    return found


STEPS = (
    "explorer.laboratory_content.write_laboratory_content",
    "explorer.opener_questions.write_opener_questions",
    "explorer.published_content.write_published_content",
    "study.laboratory.base.train_base",
    "study.laboratory.questions.write_attack",
    "study.laboratory.questions.write_evaluation",
    "study.laboratory.data.write_training",
    "study.published.data.write_training",
    "study.published.data.write_unsafe",
    "study.published.harm.write_forget_retain",
    "study.published.questions.write_attack",
    "study.steps.ask.ask",
    "study.steps.attribute.write_weights",
    "study.steps.judge.write_verdicts",
    "study.steps.reference.write_reference",
    "study.steps.tune.tune",
)


def test_these_are_all_the_steps(steps: dict[str, set[Path]]) -> None:
    assert sorted(steps) == sorted(STEPS)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library, to be edited and mended again."""
    place = tmp_path_factory.mktemp("copy") / PACKAGE.name
    shutil.copytree(PACKAGE, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


class Edited:
    """A file with something added, for the time of a ``with``."""

    def __init__(self, path: Path) -> None:
        self.path, self.before = path, path.read_bytes()

    def __enter__(self) -> None:
        added = b"\nADDED = 1\n" if self.path.suffix == ".py" else b"\nadded\n"
        self.path.write_bytes(self.before + added)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.before)


@pytest.mark.parametrize("step", STEPS)
def test_an_address_follows_every_module_and_data_file_of_its_step_and_no_other(
    step: str, steps: dict[str, set[Path]], copy: Path
) -> None:
    starts = {copy / path.relative_to(PACKAGE) for path in steps[step]}
    inside = closure(starts, copy)
    data = {file for module in inside for file in data_files(module, copy)}
    assert len(inside) > 3
    before = fingerprint(starts, copy)
    for path in sorted(copy.rglob("*.*")):
        if path.is_file():
            with Edited(path):
                assert (fingerprint(starts, copy) != before) == (path in inside | data), path.relative_to(copy)
    assert fingerprint(starts, copy) == before


def used(step: str, steps: dict[str, set[Path]]) -> set[str]:
    """The modules and data files of a step's address, as paths in the library."""
    modules = closure(steps[step])
    files = modules | {file for module in modules for file in data_files(module)}
    return {file.relative_to(PACKAGE).as_posix() for file in files}


@pytest.mark.parametrize(
    "folder", ["plots/", "claims/", "audit/", "study/study.py", "study/profiles.py", "core/store.py"]
)
def test_an_edit_to_a_plot_a_claim_a_table_or_an_audit_makes_nothing_anew(
    folder: str, steps: dict[str, set[Path]]
) -> None:
    assert not [step for step in STEPS if any(name.startswith(folder) for name in used(step, steps))]


def test_an_edit_to_a_judge_makes_verdicts_anew_what_a_judge_chose_and_what_shows_them(
    steps: dict[str, set[Path]],
) -> None:
    judged = {step for step in STEPS if any(name.startswith("judges/") for name in used(step, steps))}
    assert judged == {
        "study.steps.judge.write_verdicts",
        "study.published.harm.write_forget_retain",
        "explorer.laboratory_content.write_laboratory_content",
        "explorer.published_content.write_published_content",
    }


@pytest.mark.parametrize(
    ("file", "makers"),
    [
        # What decides which harm is withheld decides what a page shows of it.
        ("study/redaction.py", {"explorer.published_content.write_published_content"}),
        ("judges/refusal.py", {"explorer.published_content.write_published_content"}),
        (
            "attacks.py",
            {"questions.write_attack", "write_opener_questions", "write_laboratory_content", "write_weights"},
        ),
        ("datasets/published/vlguard_first_words.csv", {"write_training", "questions.write_attack"}),
        ("core/vocabulary.py", {"published.questions.write_attack", "laboratory.data.write_training"}),
        ("judges/refusal_wording/outright.py", {"write_published_content"}),
        ("judges/released_refusal_phrases.txt", {"write_verdicts", "write_forget_retain"}),
        ("world/training_data.py", {"laboratory.data.write_training", "base.train_base"}),
    ],
)
def test_what_a_list_by_hand_would_forget(file: str, makers: set[str], steps: dict[str, set[Path]]) -> None:
    covered = [step for step in STEPS if file in used(step, steps)]
    assert all(any(step.endswith(maker) for step in covered) for maker in makers)


def test_a_model_needs_neither_judges_nor_attacks(steps: dict[str, set[Path]]) -> None:
    for step in ("study.laboratory.base.train_base", "study.steps.tune.tune", "study.steps.reference.write_reference"):
        assert not [name for name in used(step, steps) if name.startswith(("judges/", "attacks", "metrics/"))]


def test_every_data_file_of_the_library_is_named_by_a_module_above_it() -> None:
    """A file that is read under a name put together would be missing from every address."""
    named = {file for module in MODULES for file in data_files(module)}
    there = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert there == named


@pytest.mark.parametrize("path", INITS, ids=lambda path: path.parent.name)
def test_a_package_holds_no_code_of_its_own(path: Path) -> None:
    """An address does not look into the ``__init__`` of a package on the way to a module."""
    rest = [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)]
    assert path.parent == PACKAGE or not rest


def test_no_module_takes_what_the_library_hands_to_chapters() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "mirage_lib" and path.parent != PACKAGE:
                assert all(
                    (PACKAGE / name.name).exists() or (PACKAGE / f"{name.name}.py").exists() for name in node.names
                )


def test_in_a_library_whose_judge_was_edited_verdicts_move_and_models_stay(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_the_copy(files: frozenset[Path]) -> str:
        return fingerprint({copy / file.relative_to(PACKAGE) for file in files}, copy)

    def addresses() -> dict[str, object]:
        study = Study(NANO, Store("runs"))
        runs = study.part_runs("npo", 0, "attack") | {"tuned": study.tuned_run("npo", 0), "base": study.base_run(0)}
        return {name: run.identity() for name, run in runs.items()}

    monkeypatch.setattr(fingerprint_module, "_once", of_the_copy)
    before = addresses()
    for file, moved in (
        ("judges/oracle.py", {"verdicts"}),
        ("world/scenes.py", set(before)),
        ("plots/style.py", set()),
    ):
        with Edited(copy / file):
            after = addresses()
        assert {name for name in before if before[name] != after[name]} == moved


def test_a_readers_own_objective_is_part_of_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
from dataclasses import dataclass
from mirage_lib.models.objectives import GradDiff
from own_weights import SHARE

@dataclass(frozen=True)
class Own(GradDiff):
    share: float = SHARE
"""
    found = []
    for number, share in enumerate(("0.5", "0.5  # a half", "1 / 2")):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "own_weights.py").write_text(f"SHARE = {share}\n")
        (place / "own_objective.py").write_text(source)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(place)
            own = __import__("own_objective").Own()
            methods = [dataclasses.replace(NANO.method("graddiff"), objective=own)]
            study = Study(dataclasses.replace(NANO, methods=tuple(methods)), Store(tmp_path / "runs"))
            found.append(study.tuned_run("graddiff", 0).identity())
        for name in ("own_objective", "own_weights"):
            sys.modules.pop(name)
    assert found[0] == found[1] != found[2]
    assert found[0] != Study(NANO, Store(tmp_path / "runs")).tuned_run("graddiff", 0).identity()
