"""Jobs spread over processes that may die: what a lost process was at is tried once more, and the rest goes on.

A pool of the standard library gives up as a whole when one of its processes is killed, and cannot say whose fault
it was. Here every process has a pipe of its own and one job at a time.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar

TRIES = 2
"""Times that a job is given to a process before it is held to be what kills them."""
_STOP_S = 5.0
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Finished(Generic[J, R]):
    """A job that is over: its result, or why there is none (`died`, in words)."""

    job: J
    result: R | None
    died: str | None = None


class Execute(Protocol):
    """How jobs are spread: `run_jobs`, or the same over a cluster."""

    def __call__(
        self, jobs: Iterable[J], work: Callable[[J], R], /, *, workers: int
    ) -> Generator[Finished[J, R], None, None]:
        """Do `work` on every job, and yield them as they end."""


@dataclass(kw_only=True, eq=False)
class _Worker(Generic[J]):
    process: BaseProcess
    pipe: Connection
    job: J | None = None
    tried: int = 0


def run_jobs(
    jobs: Iterable[J], work: Callable[[J], R], *, workers: int
) -> Generator[Finished[J, R], None, None]:
    """Do `work` on every job in `workers` processes, one thread each, and yield them as they end, in any order.

    Jobs are taken from their iterable only when a process is free for them, so that it may be endless. `work` and
    the jobs must pickle; processes are spawned, and stopped when the iterator is closed or an error leaves it.
    With 0 workers everything happens in this process.

    A job whose process died is done again once, by a new process; if that dies too, the job comes back with
    `died`. What `work` raises is raised here.
    """
    if workers == 0:
        for job in jobs:
            yield Finished(job=job, result=work(job))
        return
    todo, again = iter(jobs), deque[tuple[J, int]]()
    crew: list[_Worker[J]] = []
    try:
        while True:
            _give(crew, todo, again, work, workers)
            if not any(worker.tried for worker in crew):
                return
            yield from _collect(crew, again)
    finally:
        for worker in crew:
            _dismiss(worker)


def _give(
    crew: list[_Worker[J]],
    todo: Iterator[J],
    again: deque[tuple[J, int]],
    work: Callable[[J], R],
    workers: int,
) -> None:
    """Hand a job to every process that has none; processes are started only as there are jobs for them."""
    idle = [worker for worker in crew if not worker.tried]
    while idle or len(crew) < workers:
        if again:
            job, tried = again.popleft()
        else:
            try:
                job, tried = next(todo), 0
            except StopIteration:
                return
        if idle:
            worker = idle.pop()
        else:
            worker = _start(work)
            crew.append(worker)
        worker.job, worker.tried = job, tried + 1
        # One that died while idle is noticed by its sentinel, and the job goes to another.
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.pipe.send(job)


def _collect(crew: list[_Worker[J]], again: deque[tuple[J, int]]) -> Iterator[Finished[J, Any]]:
    """Wait until something happens; yield what is over, take the dead off the crew."""
    busy = [worker for worker in crew if worker.tried]
    ready = set(wait([*(w.pipe for w in busy), *(w.process.sentinel for w in busy)]))
    for worker in busy:
        if not ready & {worker.pipe, worker.process.sentinel}:
            continue
        try:
            if not worker.pipe.poll():
                raise EOFError
            failed, value = worker.pipe.recv()
        except (EOFError, OSError):
            crew.remove(worker)
            yield from _bury(worker, again)
            continue
        job, worker.tried = worker.job, 0
        if failed:
            raise value
        yield Finished(job=job, result=value)  # type: ignore[arg-type]


def _bury(worker: _Worker[J], again: deque[tuple[J, int]]) -> Iterator[Finished[J, Any]]:
    """The job of a dead process: back into the queue, or over."""
    worker.process.join(_STOP_S)
    code = worker.process.exitcode
    worker.pipe.close()
    job: Any = worker.job
    if worker.tried < TRIES:
        again.append((job, worker.tried))
    else:
        yield Finished(job=job, result=None, died=how_it_ended(code))


def how_it_ended(code: int | None) -> str:
    """The end of a process in words; `code` is its exit code, negative for a signal."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", perhaps out of memory" if -code == signal.SIGKILL else ""
        return f"the process that read it was killed twice ({name}{hint})"
    return f"the process that read it ended twice (exit code {code})"


def _start(work: Callable[[J], R]) -> _Worker[J]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    with one_thread_each():
        process.start()
    theirs.close()  # the other end's death is seen only when nobody else holds it
    return _Worker(process=process, pipe=ours)


def _serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    """What a process does: jobs in, results out, until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (False, work(job))
        except Exception as error:
            answer = (True, error)
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return


def _dismiss(worker: _Worker[Any]) -> None:
    """Stop a process: an idle one ends by itself when its pipe is closed, a busy one is told to."""
    busy = bool(worker.tried)
    worker.pipe.close()
    if busy:
        worker.process.terminate()
    worker.process.join(_STOP_S)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes started meanwhile see one thread for linear algebra: libraries read it when they load."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
