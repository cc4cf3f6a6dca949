"""The lists of dependencies agree: ranges in pyproject, a tested set, the same for conda users, and their use."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LISTS = ("pyproject.toml", "constraints.txt", "environment.yml")
JAVASCRIPT = ("book/assets/package.json", "book/assets/package-lock.json", "book/assets/.npmrc")
WORKFLOW = ".github/workflows/pages.yml"


def direct() -> dict[str, Requirement]:
    """What the library, the book, the tests and the notebooks' editor ask for by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["book"], *extras["test"], *extras["lab"]]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def exact(lines: list[str]) -> dict[str, str]:
    """Name -> version of lines that must all read ``name==version``."""
    pins: dict[str, str] = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)", line)
        assert match, f"{line!r} is not an exact pin, name==version with a plain version"
        name = canonicalize_name(match[1])
        assert name not in pins, f"{name} is pinned twice"
        pins[name] = match[2]
    return pins


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return exact([line for line in lines if line and not line.startswith("#")])


def conda() -> list[str]:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    return pip


@pytest.mark.parametrize("name", sorted(direct()))
def test_each_direct_dependency_is_pinned_inside_its_range(name: str) -> None:
    pins = constraints()
    assert name in pins, f"{name} is in pyproject.toml but not in constraints.txt"
    assert pins[name] in direct()[name].specifier, f"{name}=={pins[name]} is outside pyproject's {direct()[name]}"


def test_conda_users_get_the_tested_versions() -> None:
    pip = conda()
    assert "-e ." in pip
    pins, tested = exact([line for line in pip if line != "-e ."]), constraints()
    assert pins == {name: tested[name] for name in direct()}


def test_conda_python_is_one_we_support() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (python,) = [entry for entry in entries if isinstance(entry, str) and entry.startswith("python=")]
    assert python.removeprefix("python=") in Requirement(f"python{project['requires-python']}").specifier


@pytest.mark.parametrize("name", [*LISTS, *JAVASCRIPT, WORKFLOW, "Makefile", ".ci/run"])
def test_no_list_names_a_download_address(name: str) -> None:
    text = (ROOT / name).read_text()
    found = re.search(r"https?://|git\+|file:|index-url|find-links", text)
    assert not found, f"{name} names a place to download from: {found[0]!r}. Leave that to each user's pip."


def test_a_pin_that_is_no_pin_is_noticed() -> None:
    for line in ("torch>=2", "torch==2.13.0+cpu", "torch @ file:wheel"):
        with pytest.raises(AssertionError, match="exact pin"):
            exact([line])


def steps() -> list[dict]:
    """The steps of the workflow that publishes the book, job after job."""
    jobs = yaml.safe_load((ROOT / WORKFLOW).read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_the_published_book_is_built_as_the_readme_says() -> None:
    command = "make book SEEDS=5"
    assert command in (ROOT / "README.md").read_text()
    commands = [step.get("run", "") for step in steps()]
    assert commands.count(command) == 1
    (tests,) = [step for step in steps() if "pytest" in step.get("run", "")]
    assert tests["env"]["MIRAGE_BOOK_HTML"] == "_build/html"
    uploads = [i for i, step in enumerate(steps()) if "upload-pages-artifact" in step.get("uses", "")]
    assert commands.index(command) < steps().index(tests) < uploads[0], "what is published has been tested"
    assert steps()[uploads[0]]["with"]["path"] == "_build/html"


def test_the_published_book_takes_its_address_from_where_it_is_published() -> None:
    job = yaml.safe_load((ROOT / WORKFLOW).read_text())["jobs"]["build"]
    assert job["env"]["MIRAGE_REPOSITORY"] == "${{ github.server_url }}/${{ github.repository }}"
    built = [step for step in job["steps"] if step.get("run", "").startswith("make book")]
    assert built[0]["env"]["MIRAGE_BASEURL"] == "${{ steps.pages.outputs.base_url }}"


def test_actions_are_official_and_of_a_major_version() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert len(used) >= 5
    assert [name for name in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", name)] == []


def test_the_check_of_every_change_insists_on_a_browser() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert text.index("export MIRAGE_BROWSER=required") < text.index('bash -c "$command"')
    assert text.rstrip().endswith(
        "MIRAGE_BOOK_HTML=_build/html .venv/bin/python -m pytest -n 2 --dist loadfile tests/book"
    )
