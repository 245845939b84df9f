"""What `core.parallel.run_jobs` does, over the machines of a Ray cluster by Ray Data.

Paths go to the machines, never frames: each actor reads files itself, in one process of its own, so that a file that
kills its reader is found out as on one machine. Ray begins anew what a lost machine was at, so that work is done at
least once: it has to keep its results whole, and find them again (`scanning.to_folder`, `preparation.extract`).
"""

from __future__ import annotations

import logging
import os
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import ray
import ray.data

from verovolto.core.parallel import Finished, run_jobs

BLOCK = 8
"""Jobs that are sent, and begun anew, together."""
CPUS = 1

J = TypeVar("J")
R = TypeVar("R")


@contextmanager
def cluster(address: str | None = None) -> Iterator[int]:
    """Join a cluster, or begin one of this machine alone; gives its CPUs.

    Args:
        address: of its head; None for `RAY_ADDRESS`, else the cluster that this machine is part of, else a new one.
    """
    ray.init(
        address=address,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
    )
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def run_on_cluster(
    jobs: Iterable[J], work: Callable[[J], R], /, *, workers: int
) -> Generator[Finished[J, R], None, None]:
    """Do `work` on every job in at most `workers` processes of the cluster; see `core.parallel.run_jobs`.

    Every machine has to see the same files under the same paths, and to have the same packages.
    """
    todo = list(jobs)
    if not todo:
        return
    _keep_quiet()
    given = [{"number": number, "job": pickle.dumps(job)} for number, job in enumerate(todo)]
    remote = RemoteWork(work=pickle.dumps(work), folder=str(Path.cwd()))
    data = ray.data.from_items(given, override_num_blocks=-(-len(given) // BLOCK))
    done = data.map(
        JobActor,
        fn_constructor_args=(remote,),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(workers, 1)),
        num_cpus=CPUS,
    )
    over: set[int] = set()
    for row in done.iter_rows():
        number, (result, died, error) = row["number"], pickle.loads(row["answer"])
        if error is not None:
            raise error
        if number not in over:  # what was begun anew may come twice
            over.add(number)
            yield Finished(job=todo[number], result=result, died=died)


def _keep_quiet() -> None:
    """Ray's own bars and notes: the command has its own."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


@dataclass(kw_only=True)
class RemoteWork:
    """Work as bytes, so that only the process that does it loads what it needs."""

    work: bytes
    folder: str
    loaded: list[Callable[[Any], Any]] = field(default_factory=list)

    def __call__(self, job: bytes) -> Any:
        """Do it, in the folder that relative paths refer to."""
        if not self.loaded:
            os.chdir(self.folder)
            self.loaded.append(pickle.loads(self.work))
        return self.loaded[0](pickle.loads(job))


class JobActor:
    """An actor that does one job at a time, in a process that may die."""

    def __init__(self, work: RemoteWork) -> None:
        self._work = work
        self._given: deque[bytes] = deque()
        self._running = self._begin()

    def _begin(self) -> Iterator[Finished[bytes, Any]]:
        def given() -> Iterator[bytes]:
            while True:
                yield self._given.popleft()

        return run_jobs(given(), self._work, workers=1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The number of the job, and `(result, died, error)`."""
        self._given.append(row["job"])
        answer: tuple[Any, str | None, Exception | None]
        try:
            finished = next(self._running)
            answer = (finished.result, finished.died, None)
        except Exception as error:
            self._running = self._begin()
            answer = (None, None, error)
        return {"number": row["number"], "answer": pickle.dumps(answer)}
