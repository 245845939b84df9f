"""Processes that die. This file imports nothing heavy: it is imported by every process it starts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from verovolto.core.parallel import how_it_ended, run_jobs


def double(number: int) -> int:
    return 2 * number


def environment(name: str) -> str | None:
    return os.environ.get(name)


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_once(path: Path) -> str:
    if path.exists():
        path.unlink()
        os._exit(7)
    return path.name


def fail_at_three(number: int) -> int:
    if number == 3:
        raise OSError(28, "No space left on device", "somewhere")
    return number


def sleep_long(pidfile: Path) -> None:
    pidfile.write_text(str(os.getpid()))
    time.sleep(60)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_job_is_done_once(workers: int) -> None:
    done = list(run_jobs(range(10), double, workers=workers))
    assert sorted((each.job, each.result) for each in done) == [(n, 2 * n) for n in range(10)]
    assert not any(each.died for each in done)


def test_processes_see_one_thread() -> None:
    before = dict(os.environ)
    [done] = run_jobs(["OMP_NUM_THREADS"], environment, workers=1)
    assert done.result == "1" and dict(os.environ) == before


def test_a_job_that_kills_its_process_is_tried_twice_and_the_rest_goes_on() -> None:
    done = {each.job: each for each in run_jobs(range(8), die_at_three, workers=2)}
    assert sorted(done) == list(range(8))
    assert "killed twice (SIGKILL, perhaps out of memory)" in (done[3].died or "")
    assert [done[n].result for n in range(8) if n != 3] == [0, 1, 2, 4, 5, 6, 7]


def test_a_process_lost_once_costs_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    paths[1].touch()
    done = list(run_jobs(paths, die_once, workers=1))
    assert sorted(str(each.result) for each in done) == ["a", "b"] and not any(each.died for each in done)


def test_an_error_comes_through_with_its_file() -> None:
    with pytest.raises(OSError) as caught:
        list(run_jobs(range(5), fail_at_three, workers=1))
    assert (caught.value.errno, caught.value.filename) == (28, "somewhere")


def test_jobs_are_taken_as_there_is_room() -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    running = run_jobs(endless(), double, workers=2)
    assert next(running).result in (0, 2)
    running.close()
    assert len(taken) <= 4


def test_leaving_stops_the_processes(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"

    def jobs() -> Iterator[Path]:
        yield pidfile
        while not (pidfile.exists() and pidfile.read_text()):
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(jobs(), sleep_long, workers=2))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pidfile.read_text()), 0)


@pytest.mark.parametrize(
    ("code", "word"), [(-9, "SIGKILL"), (-11, "SIGSEGV"), (-99, "signal 99"), (3, "code 3")]
)
def test_an_end_is_told_in_words(code: int, word: str) -> None:
    assert word in how_it_ended(code)
