"""Ask a model: its replies to examples, in batches, greedy or sampled, resumable.

Every ``Reply`` records its attempt and seed. Each batch is written as soon as it is done, so a stopped run
continues with the next one. A picture that cannot be read becomes an error in its reply and does not end the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm.auto import tqdm

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply, read, write
from mirage_lib.models.vlm import VLM, encode_prompts


@dataclass(frozen=True)
class Decoding:
    """How replies are made."""

    max_new_tokens: int = 256
    temperature: float = 0.0  # 0 is greedy
    attempts: int = 1  # replies per example; more than one needs a temperature above 0
    seed: int = 0  # of the sampling
    batch: int = 16  # examples answered together

    def __post_init__(self) -> None:
        if self.attempts > 1 and self.temperature <= 0:
            raise MirageError("Decoding: several greedy attempts would be equal; set a temperature above 0.")


def replies(
    vlm: VLM,
    examples: Sequence[Example],
    decoding: Decoding,
    out: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Reply]:
    """One reply per example and attempt: all first attempts in the order of the examples, then all second ones.

    A greedy model is asked the same question about the same picture only once. With ``out``, finished batches are kept
    there and reused; only the rest is generated. The same call with the same ``decoding`` gives the same replies,
    however often it was stopped.
    """
    groups, made = _alike(examples, decoding), list[Reply]()
    length = {i: len(same[0].prompt) for i, same in enumerate(groups)}
    order = sorted(length, key=lambda i: length[i])  # similar lengths together: less padding
    chunks = [order[i : i + decoding.batch] for i in range(0, len(order), decoding.batch)]
    jobs = [(attempt, n, chunk) for attempt in range(decoding.attempts) for n, chunk in enumerate(chunks)]
    with tqdm(total=len(jobs), desc="replies", unit="batch", delay=2, leave=False, disable=progress is not None) as bar:
        for done, (attempt, n, chunk) in enumerate(jobs, start=1):
            part = out / f"part-{attempt:02d}-{n:05d}.parquet" if out else None
            rows = [groups[i][0] for i in chunk]
            made += _kept(part, rows, vlm.name, decoding) or _answer(vlm, rows, decoding, attempt, n, part)
            bar.update()
            if progress:
                progress(done, len(jobs))
    others = {same[0].id: same[1:] for same in groups if len(same) > 1}
    made += [replace(reply, example_id=one.id) for reply in made for one in others.get(reply.example_id, ())]
    place = {example.id: i for i, example in enumerate(examples)}
    return sorted(made, key=lambda reply: (reply.attempt, place[reply.example_id]))


def _alike(examples: Sequence[Example], decoding: Decoding) -> list[list[Example]]:
    """Examples that get one reply together: the same question about the same picture, if the model is greedy."""
    if decoding.temperature > 0:
        return [[one] for one in examples]
    groups: dict[tuple[str, str], list[Example]] = {}
    for one in examples:
        groups.setdefault((one.image, one.prompt), []).append(one)
    return list(groups.values())


def _kept(part: Path | None, rows: Sequence[Example], model: str, decoding: Decoding) -> list[Reply]:
    """The batch's replies from an earlier try; none if the examples, model, temperature or seed differ."""
    if part is None or not part.is_file():
        return []
    kept = read(part, Reply)
    same = [(reply.example_id, reply.model, reply.temperature, reply.seed) for reply in kept]
    return kept if same == [(example.id, model, decoding.temperature, decoding.seed) for example in rows] else []


def _answer(
    vlm: VLM, rows: Sequence[Example], decoding: Decoding, attempt: int, batch: int, part: Path | None
) -> list[Reply]:
    """Answer one batch and write it; rows whose picture cannot be read get an error instead of a text."""
    readable, errors = [], {}
    for example in rows:
        try:
            if example.image:
                vlm.render(example.image)
            readable.append(example)
        except (MirageError, OSError) as error:
            errors[example.id] = f"{type(error).__name__}: {error}"
    texts = _generate(vlm, readable, decoding, [decoding.seed, attempt, batch]) if readable else {}
    made = []
    for example in rows:
        text, count, finished = texts.get(example.id, ("", 0, False))
        settings = {"temperature": decoding.temperature, "seed": decoding.seed}
        error = errors.get(example.id, "")
        made.append(
            Reply(example.id, vlm.name, attempt, **settings, text=text, n_tokens=count, finished=finished, error=error)
        )
    if part is not None:
        part.parent.mkdir(parents=True, exist_ok=True)
        fresh = part.with_suffix(".tmp")
        write(made, Reply, fresh)
        fresh.replace(part)  # so the file is complete or not there at all
    return made


@torch.no_grad()
def _generate(
    vlm: VLM, rows: Sequence[Example], decoding: Decoding, salt: Sequence[int]
) -> dict[str, tuple[str, int, bool]]:
    """Text, token count and whether the model ended by itself, by example id.

    A batch that does not fit the accelerator's memory is answered in halves. Raises MirageError if a single
    prompt does not fit.
    """
    device = vlm.model.device
    try:
        inputs = {name: value.to(device) for name, value in encode_prompts(vlm, rows).items()}
        sampling = {"do_sample": decoding.temperature > 0}
        if decoding.temperature > 0:
            sampling |= {"temperature": decoding.temperature, "top_k": 0, "top_p": 1.0}
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(sum(number * 1_000_003**i for i, number in enumerate(salt)) % 2**63)
            tokens = vlm.model.generate(**inputs, max_new_tokens=decoding.max_new_tokens, **sampling)
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        if len(rows) == 1:
            raise MirageError(f"{rows[0].id}: one prompt alone does not fit the accelerator's memory.") from error
        half = len(rows) // 2
        first, second = rows[:half], rows[half:]
        return _generate(vlm, first, decoding, [*salt, 1]) | _generate(vlm, second, decoding, [*salt, 2])
    tokenizer = vlm.processor.tokenizer
    answers = {}
    for example, row in zip(rows, tokens[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
        finished = tokenizer.eos_token_id in row
        row = row[: row.index(tokenizer.eos_token_id) + 1] if finished else row
        answers[example.id] = (tokenizer.decode(row, skip_special_tokens=True).strip(), len(row), finished)
    return answers
