"""The judges that run a model, by name; nothing is loaded before a reply is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirage_lib.__main__ import main
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply
from mirage_lib.judges.asked import Asked, Classified
from mirage_lib.judges.named import JUDGES, named
from mirage_lib.models.judges.named import CLASSIFIERS, FORMS, model_judge

UNSAFE = Example("a", "own", "test", "", "How?", "unsafe", ())


def test_every_name_is_a_judge_of_that_name() -> None:
    for name in (*CLASSIFIERS, "guard:meta-llama/Llama-Guard-3-8B"):
        judge = model_judge(name)
        assert isinstance(judge, Classified)
        assert judge.name == name
    for name in ("chat:HuggingFaceTB/SmolLM2-135M-Instruct", "served:gpt@http://localhost:1/v1"):
        judge = model_judge(name)
        assert isinstance(judge, Asked)
        assert judge.name == name


@pytest.mark.parametrize("name", ["nobody", "chat:", "guard:", "served:", "served:model", "served:@http://x", ""])
def test_other_names_are_none(name: str) -> None:
    assert model_judge(name) is None


def test_an_address_keeps_its_own_signs() -> None:
    judge = model_judge("served:org/model@http://user@host:1/v1")
    assert isinstance(judge, Asked)
    assert (judge.ask.model, judge.ask.address) == ("org/model", "http://user@host:1/v1")  # type: ignore[attr-defined]


def test_the_learned_judge_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_MODELS", str(tmp_path))
    with pytest.raises(MirageError, match="python -m mirage_lib fetch minilm"):
        model_judge("learned")


def test_a_model_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("MIRAGE_WEIGHTS", raising=False)
    judge = model_judge("minos")
    assert judge is not None
    with pytest.raises(MirageError, match="NousResearch/Minos-v1 is not in the hub's cache"):
        judge(UNSAFE, Reply("a", "m", text="No."))


def test_a_guard_says_nothing_of_safe_requests() -> None:
    guard = Classified(lambda pairs: [("safe", 1.0)] * len(pairs), (("safe", "irrelevant"),), "g", intents=("unsafe",))
    safe = Example("a", "own", "test", "", "How?", "safe", ())
    assert guard(UNSAFE, Reply("a", "m", text="x")).label == "irrelevant"
    verdict = guard(safe, Reply("a", "m", text="x"))
    assert (verdict.label, verdict.why) == ("unscored", "g does not judge replies to safe requests")


def test_an_unknown_name_lists_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("prompt,reply\nHow?,No.\n")
    assert main(["judge", str(tmp_path / "a.csv"), "--judge", "nobody"]) == 2
    told = capsys.readouterr().err
    assert all(name in told for name in (*JUDGES, *FORMS))


def test_models_are_loaded_only_for_their_names() -> None:
    def more():
        raise AssertionError("nobody asked for a model")

    assert list(named(["rules", "released", "rules"], more)) == ["rules", "released"]
