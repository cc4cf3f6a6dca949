"""Makes every run of a study in parallel worker processes, with one progress bar.

``make_all`` returns which runs were found, made or failed. A failed run stops only the runs that need it. Call it
again, and it goes on where it stopped.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import torch
from tqdm.auto import tqdm

from mirage_lib.core.errors import MirageError
from mirage_lib.core.store import Store
from mirage_lib.study.profile import Profile
from mirage_lib.study.study import BASE, Study

log = logging.getLogger(__name__)

Task = tuple[str, int]  # method and seed


@dataclass
class Outcome:
    """What became of a study's runs."""

    found: list[Task] = field(default_factory=list)
    made: list[Task] = field(default_factory=list)
    failed: dict[Task, str] = field(default_factory=dict)  # with the reason


def default_workers() -> int:
    """One worker per processor that this process may use, at most 8; one worker if there is a GPU."""
    if torch.cuda.is_available():
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, allowed)


def make_all(study: Study, workers: int | None = None) -> Outcome:
    """Make every model of the profile for every seed, and its verdicts, unless they are in the store.

    Bases come first; a method waits for its base. A failed run raises nothing, but is in ``Outcome.failed``. If no run
    can be made at all, raises MirageError that lists everything missing.
    """
    study.profile.subject.ready(computing=False)
    names = [BASE, *(method.name for method in study.profile.methods)]
    outcome, todo = Outcome(), []
    for task in ((name, seed) for name in names for seed in study.profile.seeds):
        (outcome.found if study.found(*task) else todo).append(task)
    if not todo:
        return outcome
    study.profile.subject.ready()
    context = multiprocessing.get_context("spawn")
    count = min(workers or default_workers(), len(todo))
    with context.Manager() as manager, _Bar(study.profile, todo) as bar:
        told = manager.Queue()
        settings = (study.profile, str(study.store.root), study.store.remake_damaged, told)
        with ProcessPoolExecutor(count, context, _begin) as pool:
            try:
                for task, error in _schedule(pool, settings, todo, bar, told):
                    if error:
                        outcome.failed[task] = error
                    else:
                        outcome.made.append(task)
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
    return outcome


def _schedule(
    pool: ProcessPoolExecutor, settings: Any, todo: list[Task], bar: _Bar, told: Any
) -> Iterator[tuple[Task, str]]:
    """Submit the bases, and each base's methods when it is done. Yields every task with its error, "" if none."""
    bases = {seed for name, seed in todo if name == BASE}
    waiting = {seed: [task for task in todo if task[0] != BASE and task[1] == seed] for seed in bases}
    ready = [(name, seed) for name, seed in todo if name == BASE or seed not in bases]
    running: dict[Future, Task] = {}
    while ready or running:
        for task in ready:
            running[_submit(pool, settings, task)] = task
        ready = []
        done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
        bar.drain(told)
        for future in done:
            task = running.pop(future)
            error = _reason(future)
            bar.finish(task)
            yield task, error
            if task[0] == BASE:
                after = waiting.pop(task[1])
                if error:
                    for other in after:
                        yield other, "not made, because the base model of its seed was not."
                else:
                    ready += after


def _submit(pool: ProcessPoolExecutor, settings: Any, task: Task) -> Future:
    try:
        return pool.submit(_work, settings, task)
    except BrokenProcessPool as error:  # a worker died since the last check, and the pool takes no more tasks
        broken: Future = Future()
        broken.set_exception(error)
        return broken


def _reason(future: Future) -> str:
    try:
        future.result()
    except MirageError as error:
        return str(error)
    except BrokenProcessPool:
        return "its worker process died, perhaps for lack of memory; call again with fewer --workers."
    except Exception as error:  # an error in one run must not end the others; its trace is logged
        log.exception("A run failed.")
        return f"{type(error).__name__}: {error}"
    return ""


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers when it is interrupted


def _work(settings: Any, task: Task) -> None:
    profile, root, remake_damaged, told = settings
    study = Study(profile, Store(root, remake_damaged), lambda name, done, total: told.put((task, name, done, total)))
    study.make(*task)


class _Bar:
    """One bar over all tasks. Its unit is a tuning step; other work counts as many steps as take the same time."""

    def __init__(self, profile: Profile, todo: list[Task]) -> None:
        self.profile, self.work = profile, profile.subject.work()
        self.sizes = {task: sum(self._stages(task).values()) for task in todo}
        self.seen: dict[Task, dict[str, float]] = {task: {} for task in todo}
        self.bar = tqdm(
            total=sum(self.sizes.values()),
            desc=f"{len(todo)} runs",
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} gone, about {remaining} to go {postfix}",
            delay=1,
        )

    def _stages(self, task: Task) -> dict[str, float]:
        """The size of each stage, by the first word of the name that a worker reports."""
        if task[0] != BASE:
            return {
                "tune": float(self.profile.method(task[0]).settings.steps),
                **self._kinds(*self.profile.subject.parts),
            }
        return self._kinds("vision", BASE, *self.profile.subject.parts)

    def _kinds(self, *names: str) -> dict[str, float]:
        return {name: self.work[name] for name in names if name in self.work}

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def drain(self, told: Any) -> None:
        """Read what the workers have reported since the last call."""
        try:
            while True:
                task, name, done, total = told.get_nowait()
                stage = name.split()[0]
                self.seen[task][stage] = self._stages(task).get(stage, 0.0) * done / total
                self.bar.set_postfix_str(f"({name})", refresh=False)
        except queue.Empty:
            self._show()

    def finish(self, task: Task) -> None:
        """Count a task as done."""
        self.seen[task] = {"all": self.sizes[task]}
        self._show()

    def _show(self) -> None:
        gone = sum(min(self.sizes[task], sum(parts.values())) for task, parts in self.seen.items())
        self.bar.update(gone - self.bar.n)
