"""Replies: what the model itself would say, however batched, stopped or resumed; errors are fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.objectives import IGNORED, SFT, answer_logits
from mirage_lib.models.tiny import TinyShape, tiny_vlm
from mirage_lib.models.train import Settings, fit
from mirage_lib.models.vlm import VLM, encode
from mirage_lib.world.questions import KINDS, World, vocabulary
from mirage_lib.world.scenes import render
from mirage_lib.world.training_data import general_data

SMALL = TinyShape(vision_width=16, vision_layers=2, width=32, layers=2, heads=2)
ROWS = general_data(World(0), 24, dict.fromkeys(KINDS, 1.0), seed=0)
SHORT = Decoding(max_new_tokens=12, batch=5)  # 5 batches of the 24 examples
SAMPLED = dataclasses.replace(SHORT, temperature=1.5, seed=3)
THREADS = torch.get_num_threads()


class Stop(Exception):
    """What ends a run from outside."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLM]:
    """A model that has learned to speak in the world's sentences, most of them wrong."""
    torch.set_num_threads(1)
    vlm = tiny_vlm(vocabulary(), seed=0, render=render, shape=SMALL)
    yield fit(vlm, SFT(), {"train": ROWS}, Settings(steps=60, batch=12, lr=1e-2), tmp_path_factory.mktemp("trained"))
    torch.set_num_threads(THREADS)


@pytest.fixture
def calls(trained: VLM, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of prompts in every call of the model's ``generate`` while the test runs."""
    sizes: list[int] = []
    generate = trained.model.generate

    def counted(**inputs: Any) -> torch.Tensor:
        sizes.append(len(inputs["input_ids"]))
        return generate(**inputs)

    monkeypatch.setattr(trained.model, "generate", counted)
    return sizes


def stop_at(batch: int) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if done == batch:
            raise Stop

    return tell


def texts(rows: list[Reply]) -> list[str]:
    return [reply.text for reply in rows]


# --- greedy -----------------------------------------------------------------------------------


def test_greedy_replies_are_what_the_model_finds_likeliest(trained: VLM) -> None:
    said = [reply for reply in replies(trained, ROWS, SHORT) if reply.finished]
    assert len(said) > len(ROWS) / 2
    asked = {example.id: example for example in ROWS}
    part = encode(trained, [dataclasses.replace(asked[reply.example_id], answers=(reply.text,)) for reply in said])
    with torch.no_grad():
        likeliest = answer_logits(trained.model, part).argmax(-1)
    known = part["labels"] != IGNORED
    assert torch.equal(likeliest[known], part["labels"][known])
    assert [reply.n_tokens for reply in said] == known.sum(-1).tolist(), "the end token is counted"


def test_the_model_under_test_says_different_things(trained: VLM) -> None:
    said = texts(replies(trained, ROWS, SHORT))
    assert len(set(said)) > 5
    right = [text == example.answers[0] for text, example in zip(said, ROWS, strict=True)]
    assert sum(right) > len(ROWS) / 4


@pytest.mark.parametrize("batch", [1, 7, 24, 100])
def test_batching_does_not_change_greedy_replies(trained: VLM, batch: int) -> None:
    assert replies(trained, ROWS, dataclasses.replace(SHORT, batch=batch)) == replies(trained, ROWS, SHORT)


def test_the_seed_does_not_change_greedy_replies(trained: VLM) -> None:
    assert texts(replies(trained, ROWS, dataclasses.replace(SHORT, seed=9))) == texts(replies(trained, ROWS, SHORT))


def test_replies_come_in_the_order_of_the_examples(trained: VLM) -> None:
    lengths = [len(example.prompt) for example in ROWS]
    assert lengths != sorted(lengths), "batches are made by length: these examples must not be in that order"
    for rows in (ROWS, ROWS[::-1]):
        assert [reply.example_id for reply in replies(trained, rows, SHORT)] == [example.id for example in rows]


def test_a_reply_tells_how_it_was_made(trained: VLM) -> None:
    (reply,) = replies(trained, ROWS[:1], dataclasses.replace(SHORT, seed=4))
    assert (reply.model, reply.attempt, reply.temperature, reply.seed, reply.error) == (trained.name, 0, 0.0, 4, "")
    assert "<eos>" not in reply.text
    assert reply.text == reply.text.strip()


def test_a_reply_cut_by_the_limit_is_unfinished(trained: VLM) -> None:
    whole = replies(trained, ROWS, SHORT)
    cut = replies(trained, ROWS, dataclasses.replace(SHORT, max_new_tokens=2))
    assert {(reply.n_tokens, reply.finished) for reply in cut} == {(2, False)}
    assert all(long.text.startswith(short.text) for long, short in zip(whole, cut, strict=True))


def test_no_examples_no_replies(trained: VLM) -> None:
    assert replies(trained, [], SHORT) == []


# --- sampled ----------------------------------------------------------------------------------


def test_sampled_replies_follow_from_the_seed(trained: VLM) -> None:
    torch.manual_seed(1)
    one = replies(trained, ROWS, SAMPLED)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert replies(trained, ROWS, SAMPLED) == one
    assert torch.equal(before, torch.get_rng_state()), "the caller's own chance has moved on"
    other = replies(trained, ROWS, dataclasses.replace(SAMPLED, seed=4))
    assert texts(other) != texts(one)
    assert {reply.seed for reply in other} == {4}


def test_attempts_are_numbered_and_differ(trained: VLM) -> None:
    said = replies(trained, ROWS, dataclasses.replace(SAMPLED, attempts=3))
    ids = [example.id for example in ROWS]
    assert [(reply.attempt, reply.example_id) for reply in said] == [(n, one) for n in range(3) for one in ids]
    tries = [texts(said[n * len(ROWS) : (n + 1) * len(ROWS)]) for n in range(3)]
    assert tries[0] != tries[1] != tries[2] != tries[0]
    assert said[: len(ROWS)] == replies(trained, ROWS, SAMPLED), "the first attempt is that of a single one"


def test_batches_are_sampled_apart(trained: VLM) -> None:
    rows = [dataclasses.replace(ROWS[0], id=str(number)) for number in range(10)]
    said = texts(replies(trained, rows, dataclasses.replace(SAMPLED, batch=1)))
    assert len(set(said)) > 1, "every batch drew the same numbers"


def test_several_greedy_attempts_are_refused() -> None:
    with pytest.raises(MirageError, match=r"greedy.*temperature above 0"):
        Decoding(attempts=2)


# --- stopped and resumed ----------------------------------------------------------------------


@pytest.mark.parametrize("decoding", [SHORT, dataclasses.replace(SAMPLED, attempts=2)], ids=["greedy", "sampled"])
def test_a_stopped_run_answers_only_what_is_missing(
    trained: VLM, calls: list[int], tmp_path: Path, decoding: Decoding
) -> None:
    whole = replies(trained, ROWS, decoding)
    total = len(calls)
    calls.clear()
    with pytest.raises(Stop):
        replies(trained, ROWS, decoding, tmp_path, stop_at(2))
    assert len(calls) == 2
    calls.clear()
    told: list[tuple[int, int]] = []
    assert replies(trained, ROWS, decoding, tmp_path, lambda *args: told.append(args)) == whole
    assert len(calls) == total - 2
    assert told == [(done, total) for done in range(1, total + 1)]
    calls.clear()
    assert replies(trained, ROWS, decoding, tmp_path) == whole
    assert calls == []
    sorted(tmp_path.iterdir())[1].unlink()
    assert replies(trained, ROWS, decoding, tmp_path) == whole
    assert len(calls) == 1


def test_no_half_written_parts_are_left(trained: VLM, tmp_path: Path) -> None:
    replies(trained, ROWS, SHORT, tmp_path / "new" / "folder")
    assert {path.suffix for path in (tmp_path / "new" / "folder").iterdir()} == {".parquet"}


def test_parts_of_other_examples_are_not_taken(trained: VLM, calls: list[int], tmp_path: Path) -> None:
    replies(trained, ROWS[:10], SHORT, tmp_path)
    calls.clear()
    said = replies(trained, ROWS[10:20], SHORT, tmp_path)
    assert calls == [5, 5]
    assert said == replies(trained, ROWS[10:20], SHORT)


# --- pictures that cannot be read, memory that is too small ------------------------------------


def broken(error: Exception, *addresses: str) -> Callable[[str], Image.Image]:
    def draw(address: str) -> Image.Image:
        if address in addresses:
            raise error
        return render(address)

    return draw


@pytest.mark.parametrize(
    "error", [OSError("truncated file"), MirageError("no such picture"), FileNotFoundError("gone")]
)
def test_a_picture_that_cannot_be_read_is_an_error_of_its_reply(
    trained: VLM, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    good = replies(trained, ROWS, SHORT)
    monkeypatch.setattr(trained, "render", broken(error, ROWS[3].image))
    bad = [i for i, example in enumerate(ROWS) if example.image == ROWS[3].image]
    for i, reply in enumerate(replies(trained, ROWS, SHORT)):
        if i in bad:
            assert reply.error == f"{type(error).__name__}: {error}"
            assert (reply.text, reply.n_tokens, reply.finished) == ("", 0, False)
        else:
            assert reply == good[i]


def test_a_batch_without_any_readable_picture_asks_nothing(
    trained: VLM, calls: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    addresses = [example.image for example in ROWS[:3]]
    monkeypatch.setattr(trained, "render", broken(OSError("unplugged"), *addresses))
    said = replies(trained, ROWS[:3], SHORT, tmp_path)
    assert [reply.error for reply in said] == ["OSError: unplugged"] * 3
    assert calls == []
    assert replies(trained, ROWS[:3], SHORT, tmp_path) == said


def test_a_fault_of_the_code_is_not_hidden_in_a_reply(trained: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "render", broken(TypeError("a fault"), ROWS[3].image))
    with pytest.raises(TypeError, match="a fault"):
        replies(trained, ROWS, SHORT)


def narrow(trained: VLM, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Memory for ``room`` prompts at once."""
    generate = trained.model.generate

    def tight(**inputs: Any) -> torch.Tensor:
        if len(inputs["input_ids"]) > room:
            raise torch.cuda.OutOfMemoryError("too small")
        return generate(**inputs)

    monkeypatch.setattr(trained.model, "generate", tight)


def test_a_batch_too_large_for_memory_is_answered_in_halves(
    trained: VLM, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replies(trained, ROWS, SHORT)
    calls.clear()
    narrow(trained, monkeypatch, room=2)
    assert replies(trained, ROWS, SHORT) == whole
    assert calls
    assert max(calls) <= 2


def test_one_prompt_too_large_for_memory_is_explained(trained: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(trained, monkeypatch, room=0)
    rows: list[Example] = ROWS[:2]
    with pytest.raises(MirageError, match=r"one prompt alone does not fit"):
        replies(trained, rows, SHORT)
