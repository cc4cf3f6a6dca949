"""Makes every run of a study on an executor, in waves: the bases first, each seed's models after its base, then extras.

``make_all`` takes any ``concurrent.futures`` executor; by default it starts one worker process per processor. Workers
say how far they are in small files below the store, so they need not share anything else. A failed run stops only the
runs that need it. Call it again, and it goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm.auto import tqdm

from mirage_lib.core.errors import MirageError
from mirage_lib.core.store import Store
from mirage_lib.study.profile import Profile
from mirage_lib.study.study import BASE, Study

log = logging.getLogger(__name__)

Task = tuple[str, int]  # method and seed
TOLD = ".progress"  # the folder of the store with a file for each task at work
PAUSE = 0.2  # seconds between two looks at it


@dataclass(frozen=True)
class Extra:
    """Work for one model beyond its verdicts, such as what the explorer shows of it."""

    title: str  # of the kind of work, e.g. "openers"
    task: Task  # the model that it needs
    make: Callable[[Study, str, int], object]  # a function of a module, so that a worker can import it
    size: float  # in tuning steps


@dataclass
class Outcome:
    """What became of a study's runs; extras are named only if they failed."""

    found: list[Task] = field(default_factory=list)
    made: list[Task] = field(default_factory=list)
    failed: dict[Task, str] = field(default_factory=dict)  # with the reason


def default_workers() -> int:
    """One worker per processor that this process may use, at most 8; one worker if there is a GPU."""
    if torch.cuda.is_available():
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, allowed)


def make_all(
    study: Study, workers: int | None = None, extras: Sequence[Extra] = (), executor: Executor | None = None
) -> Outcome:
    """Make every model of the profile for every seed, and its verdicts, unless they are in the store; then the extras.

    A failed run raises nothing, but is in ``Outcome.failed``. If no run can be made at all, raises MirageError that
    lists everything missing.
    """
    study.profile.subject.ready(computing=False)
    outcome, todo = Outcome(), []
    for task in ((name, seed) for name in study.names for seed in study.profile.seeds):
        (outcome.found if study.found(*task) else todo).append(task)
    if not todo and not extras:
        return outcome
    study.profile.subject.ready()
    jobs = [_Job(name, seed, Study.make, (BASE, seed) if name != BASE else None) for name, seed in todo]
    jobs += [_Job(*one.task, one.make, one.task, one.title, one.size) for one in extras]
    with _Bar(study, jobs) as bar, _pool(executor, min(workers or default_workers(), len(jobs))) as pool:
        for job, error in _schedule(pool, study, jobs, bar):
            if error:
                outcome.failed[job.task] = error
            elif not job.title:
                outcome.made.append(job.task)
    return outcome


@dataclass(frozen=True)
class _Job:
    name: str  # of the model
    seed: int
    make: Callable[[Study, str, int], object]
    needs: Task | None  # must be done before
    title: str = ""  # of an extra
    size: float = 0.0  # of an extra, in tuning steps

    @property
    def task(self) -> Task:
        return (f"{self.title} of {self.name}" if self.title else self.name), self.seed


@contextlib.contextmanager
def _pool(executor: Executor | None, workers: int) -> Iterator[Executor]:
    """The executor given, or worker processes that end with an interruption of this one."""
    if executor is not None:
        yield executor
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _schedule(pool: Executor, study: Study, jobs: list[_Job], bar: _Bar) -> Iterator[tuple[_Job, str]]:
    """Submit each job once what it needs is done. Yields every job with its error, "" if none."""
    waiting, running = list(jobs), dict[Future, _Job]()
    undone = {job.task for job in jobs}
    lost = dict[Task, str]()
    while waiting or running:
        for job in [job for job in waiting if job.needs not in undone]:
            waiting.remove(job)
            if job.needs in lost:
                undone.discard(job.task)
                lost[job.task] = f"not made, because {lost[job.needs]} of its seed was not."
                yield job, lost[job.task]
            else:
                running[_submit(pool, study, job)] = job
        done, _ = wait(running, timeout=PAUSE, return_when=FIRST_COMPLETED)
        bar.look()
        for future in done:
            job, error = running.pop(future), _reason(future)
            undone.discard(job.task)
            if error:
                lost[job.task] = "the base model" if job.name == BASE else job.name
            bar.finish(job)
            yield job, error


def _submit(pool: Executor, study: Study, job: _Job) -> Future:
    try:
        store = study.store
        return pool.submit(_work, study.profile, str(store.root), store.remake_damaged, job)
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


def _work(profile: Profile, root: str, remake_damaged: bool, job: _Job) -> None:
    """Do one job in a worker, and keep a file that says how far it is."""
    store = Store(root, remake_damaged)
    path, last = _told(store, job), 0.0
    path.parent.mkdir(parents=True, exist_ok=True)

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() > last + PAUSE:
            last = time.monotonic()
            with contextlib.suppress(OSError):  # a full disk is the store's to report
                path.write_text(json.dumps([stage, done, total]))

    try:
        job.make(Study(profile, store, tell), job.name, job.seed)
    finally:
        path.unlink(missing_ok=True)


def _told(store: Store, job: _Job) -> Path:
    return store.root / TOLD / f"{job.title or 'model'}-{job.name}-{job.seed}.json"


class _Bar:
    """One bar over all jobs. Its unit is a tuning step; other work counts as many steps as take the same time."""

    def __init__(self, study: Study, jobs: list[_Job]) -> None:
        self.profile, self.store, self.work = study.profile, study.store, study.profile.subject.work()
        self.jobs = {job.task: job for job in jobs}
        self.sizes = {job.task: sum(self._stages(job).values()) for job in jobs}
        self.seen: dict[Task, dict[str, float]] = {job.task: {} for job in jobs}
        self.bar = tqdm(
            total=sum(self.sizes.values()),
            desc=f"{len(jobs)} runs",
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} gone, about {remaining} to go {postfix}",
            delay=1,
        )

    def _stages(self, job: _Job) -> dict[str, float]:
        """The size of each stage, by the first word of the name that a worker reports."""
        if job.title:
            return {job.title: job.size}
        parts = self.profile.subject.parts
        if job.name == BASE:
            return self._kinds("vision", BASE, *parts)
        return {"tune": float(self.profile.method(job.name).settings.steps), **self._kinds(*parts)}

    def _kinds(self, *names: str) -> dict[str, float]:
        return {name: self.work[name] for name in names if name in self.work}

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def look(self) -> None:
        """Read what the workers have reported."""
        for task, job in self.jobs.items():
            with contextlib.suppress(OSError, ValueError):  # no file, or one that is being written
                name, done, total = json.loads(_told(self.store, job).read_text())
                stage = name.split()[0]
                self.seen[task][stage] = self._stages(job).get(stage, 0.0) * done / total
                self.bar.set_postfix_str(f"({name})", refresh=False)
        self._show()

    def finish(self, job: _Job) -> None:
        """Count a job as done."""
        self.seen[job.task] = {"all": self.sizes[job.task]}
        self._show()

    def _show(self) -> None:
        gone = sum(min(self.sizes[task], sum(parts.values())) for task, parts in self.seen.items())
        self.bar.update(gone - self.bar.n)
