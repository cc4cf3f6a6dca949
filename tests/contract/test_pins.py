"""The three lists of dependencies agree: ranges in pyproject, a tested set, and the same for conda users."""

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


def direct() -> dict[str, Requirement]:
    """What the library, the book and the tests ask for by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["book"], *extras["test"]]
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


@pytest.mark.parametrize("name", [*LISTS, "Makefile", ".ci/run"])
def test_no_list_names_a_download_address(name: str) -> None:
    text = (ROOT / name).read_text()
    found = re.search(r"https?://|git\+|file:|index-url|find-links", text)
    assert not found, f"{name} names a place to download from: {found[0]!r}. Leave that to each user's pip."


def test_a_pin_that_is_no_pin_is_noticed() -> None:
    for line in ("torch>=2", "torch==2.13.0+cpu", "torch @ file:wheel"):
        with pytest.raises(AssertionError, match="exact pin"):
            exact([line])
