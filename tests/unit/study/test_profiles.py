"""Profiles: found by name or from the environment, frozen, and fit to be an address."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.core.run import canonical
from mirage_lib.core.store import Store, key_of
from mirage_lib.study.profiles import NANO, PROFILES, TINY, Profile, named_profile
from mirage_lib.study.study import Study


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRAGE_PROFILE", raising=False)
    monkeypatch.delenv("MIRAGE_SEEDS", raising=False)


def test_the_usual_profile_is_the_books_own() -> None:
    assert named_profile() is TINY


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_found_by_name_and_by_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_profile(name) is PROFILES[name]
    assert PROFILES[name].name == name
    monkeypatch.setenv("MIRAGE_PROFILE", name)
    assert named_profile() is PROFILES[name]


def test_a_name_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_PROFILE", "tiny")
    monkeypatch.setenv("MIRAGE_SEEDS", "5")
    profile = named_profile("nano", 1)
    assert (profile.name, len(profile.seeds)) == ("nano", 1)


def test_an_empty_environment_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_PROFILE", "")
    monkeypatch.setenv("MIRAGE_SEEDS", "")
    assert named_profile() is TINY


@pytest.mark.parametrize("name", ["huge", "NANO", "nano "])
def test_an_unknown_profile_names_the_choices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MirageError) as given:
        named_profile(name)
    monkeypatch.setenv("MIRAGE_PROFILE", name)
    with pytest.raises(MirageError) as found:
        named_profile()
    for error in (given, found):
        assert repr(name) in str(error.value)
        assert "MIRAGE_PROFILE" in str(error.value)
        assert "choose one of nano, tiny, llava-nano, llava-7b" in str(error.value)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_number_of_seeds_is_honoured(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_SEEDS", str(count))
    for profile in (named_profile("nano"), named_profile("nano", count)):
        assert len(set(profile.seeds)) == count
        known = min(count, len(NANO.seeds))
        assert profile.seeds[:known] == NANO.seeds[:known], "fewer or more seeds find the runs there are"
        assert dataclasses.replace(profile, seeds=NANO.seeds) == NANO, "nothing but the seeds has changed"


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5", " 1"])
def test_a_bad_number_of_seeds_is_explained(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_SEEDS", count)
    with pytest.raises(MirageError, match=r"MIRAGE_SEEDS or --seeds is .*whole number of at least 1") as caught:
        named_profile("nano")
    assert repr(count) in str(caught.value)


@pytest.mark.parametrize("count", [0, -3])
def test_a_bad_number_of_seeds_from_the_caller_is_explained(count: int) -> None:
    with pytest.raises(MirageError, match="at least 1"):
        named_profile("nano", count)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_profile_can_be_an_address_and_travel(profile: Profile) -> None:
    hash(profile)
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.threads = 3  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.subject.shots = 3  # type: ignore[misc]
    json.dumps(canonical(profile.methods))
    assert pickle.loads(pickle.dumps(profile)) == profile
    addresses = {key_of("tuned", canonical(method)) for method in profile.methods}
    assert len(addresses) == len(profile.methods)


@pytest.mark.parametrize("profile", [NANO, TINY], ids=lambda profile: profile.name)
def test_every_method_and_seed_has_a_run_of_its_own(profile: Profile) -> None:
    study = Study(profile, Store("runs"))
    runs = [study.tuned_run(method.name, seed) for method in profile.methods for seed in profile.seeds]
    assert len({run.identity() for run in runs}) == len(profile.methods) * len(profile.seeds)
    assert len({study.base_run(seed).identity() for seed in profile.seeds}) == len(profile.seeds)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_names_are_addresses_and_objectives_tell_their_types_apart(profile: Profile) -> None:
    names = [method.name for method in profile.methods]
    assert len(set(names)) == len(names)
    assert "base" not in names
    assert len({method.title for method in profile.methods}) == len(names), "tables tell methods apart by title"
    assert len(set(profile.seeds)) == len(profile.seeds)
    for method in profile.methods:
        assert profile.method(method.name) is method
        assert canonical(method)["objective"]["type"] == type(method.objective).__name__


def test_an_unknown_method_names_the_choices() -> None:
    with pytest.raises(MirageError, match=r"Profile 'nano' has no method 'magic'; it has base, posthoc, .*rmu"):
        NANO.method("magic")


def test_the_reported_profile_has_a_bar_and_the_other_reports_nothing() -> None:
    assert TINY.reported
    assert TINY.subject.model.recipe.bar >= 0.9
    assert not NANO.reported
