"""Scans that wait, run and are over: a folder each, in which `job.json` appears whole at every change of state.

So a server that is killed at any moment finds its queue as it was. What was running then runs again.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from verovolto.core.files import write_json
from verovolto.media.provenance import utc
from verovolto.service.problems import Problem

State = Literal["queued", "running", "done", "failed", "cancelled"]
OVER: tuple[State, ...] = ("done", "failed", "cancelled")
TRIES = 3
"""Times that a scan is begun before it is held to be what ends workers or servers."""
RETRY_AFTER_S = 10
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(kw_only=True)
class Job:
    """One scan. All but `progress` is on disk.

    Attributes:
        id: random, 32 hexadecimal digits: who knows it may see the scan.
        sequence: order in which scans were asked for.
        files: id and name of each input.
        options: as they were asked for.
        state: see `State`.
        tries: how often it was begun.
        created_utc: when it was asked for.
        started_utc: when it was begun last.
        finished_utc: when it was over.
        error: `code` and `detail` of one that failed.
        key: its `Idempotency-Key`.
        progress: files done, shares included, and all.
    """

    id: str
    sequence: int
    files: list[dict[str, str]]
    options: dict[str, Any]
    state: State = "queued"
    tries: int = 0
    created_utc: str = ""
    started_utc: str | None = None
    finished_utc: str | None = None
    error: dict[str, str] | None = None
    key: str | None = None
    progress: tuple[float, int] = (0.0, 0)

    def to_dict(self) -> dict[str, Any]:
        """What is written."""
        return {name: value for name, value in vars(self).items() if name != "progress"}


class Jobs:
    """All scans in a folder. Every method may be called from any thread."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._jobs: dict[str, Job] = {}
        self._keys: dict[str, str] = {}
        self._changed = threading.Condition()
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    def folder(self, job: Job) -> Path:
        """Where its results lie."""
        return self._folder / job.id

    def get(self, job_id: str) -> Job | None:
        """The scan of this id."""
        return self._jobs.get(job_id)

    def of_key(self, key: str | None) -> Job | None:
        """The scan that was asked for with this `Idempotency-Key`."""
        return self._jobs.get(self._keys.get(key or "", ""))

    def add(
        self,
        files: list[dict[str, str]],
        options: dict[str, Any],
        key: str | None,
        *,
        check: Callable[[], object] = lambda: None,
    ) -> Job:
        """Queue a scan. The same key gives the same scan again.

        Args:
            files: id and name of each input.
            options: as they were asked for.
            key: the `Idempotency-Key`, if any.
            check: raises where an input is missing; `delete_unused` cannot run between it and the queueing.

        Raises:
            Problem: the queue is full, or the key was used for another scan.
        """
        with self._changed:
            there = self.of_key(key)
            if there is not None:
                if (there.files, there.options) != (files, options):
                    raise Problem("key-reused", "the key belongs to a scan of other files or options")
                return there
            check()
            if len(self.queued()) >= self._limit:
                raise Problem(
                    "queue-full",
                    f"{self._limit} scans are waiting already",
                    headers={"Retry-After": str(RETRY_AFTER_S)},
                )
            sequence = 1 + max((job.sequence for job in self._jobs.values()), default=0)
            job = Job(
                id=secrets.token_hex(16), sequence=sequence, files=files, options=options, key=key,
                created_utc=utc(time.time()),
            )  # fmt: skip
            write_json(self.folder(job) / "job.json", job.to_dict())
            self._jobs[job.id] = job
            if key:
                self._keys[key] = job.id
            self._changed.notify_all()
            return job

    def queued(self) -> list[Job]:
        """Those that wait, in their order."""
        return sorted(self.of_state("queued"), key=lambda job: job.sequence)

    def of_state(self, *states: State) -> list[Job]:
        """Those in these states."""
        return [job for job in list(self._jobs.values()) if job.state in states]

    def place(self, job: Job) -> int | None:
        """Its place in the queue, from 1; None unless it waits."""
        if job.state != "queued":
            return None
        return 1 + sum(other.sequence < job.sequence for other in self.queued())

    def take(self, timeout: float) -> Job | None:
        """The next one, now running; None where none comes in time."""
        with self._changed:
            if not self.queued():
                self._changed.wait(timeout)
            waiting = self.queued()
            if not waiting:
                return None
            job = waiting[0]
            self._change(job, state="running", tries=job.tries + 1, started_utc=utc(time.time()))
            job.progress = (0.0, len(job.files))
            return job

    def note_progress(self, job: Job, done: float, total: int) -> None:
        """Say how far it is."""
        job.progress = (done, total)

    def finish(self, job: Job, state: State, error: Mapping[str, str] | None = None) -> None:
        """It is over, or, having died, waits again."""
        with self._changed:
            if job.state in OVER:  # cancelled meanwhile
                return
            over = utc(time.time()) if state in OVER else None
            self._change(job, state=state, error=None if error is None else dict(error), finished_utc=over)

    def give_back(self, job: Job) -> None:
        """It waits again, and was no try: the server was stopped on purpose."""
        with self._changed:
            if job.state not in OVER:  # cancelled meanwhile
                self._change(job, state="queued", tries=job.tries - 1, started_utc=None)

    def cancel(self, job: Job) -> None:
        """Let it not go on. The process that scans it is stopped by who runs it."""
        self.finish(job, "cancelled")

    def remove(self, job: Job) -> None:
        """Forget a scan that is over, with its results."""
        with self._changed:
            self._jobs.pop(job.id, None)
            if job.key:
                self._keys.pop(job.key, None)
            self.delete_results(job)

    def delete_results(self, job: Job) -> None:
        """Delete the folder of a scan."""
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def delete_unused(self, files: Iterable[str], delete: Callable[[str], None]) -> None:
        """Have those inputs deleted that no scan waits for or is reading; none is queued meanwhile."""
        with self._changed:
            in_use = {file["id"] for job in self.of_state("queued", "running") for file in job.files}
            for digest in files:
                if digest not in in_use:
                    delete(digest)

    def wake(self) -> None:
        """Let those who wait in `take` look around."""
        with self._changed:
            self._changed.notify_all()

    def _change(self, job: Job, **changes: Any) -> None:
        """Written first: what a full disk cannot hold has not happened."""
        write_json(self.folder(job) / "job.json", job.to_dict() | changes)
        for name, value in changes.items():
            setattr(job, name, value)
        self._changed.notify_all()

    def _load(self) -> None:
        """Read what there is; what was running waits again, in its place."""
        for folder in self._folder.iterdir():
            try:
                written = json.loads((folder / "job.json").read_text(encoding="utf-8"))
                job = Job(**written)
            except (OSError, ValueError, TypeError):
                if _ID.fullmatch(
                    folder.name
                ):  # no client knows it: killed before it was written, or while deleting
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            if not _ID.fullmatch(job.id) or job.id != folder.name:
                continue
            self._jobs[job.id] = job
            if job.key:
                self._keys[job.key] = job.id
            if job.state == "running":
                self._again(job)

    def _again(self, job: Job) -> None:
        if job.tries < TRIES:
            self.finish(job, "queued")
        else:
            detail = f"it was begun {job.tries} times, and the server ended each time"
            self.finish(job, "failed", {"code": "worker-died", "detail": detail})


def expired(job: Job, seconds: float) -> bool:
    """Whether a scan was over longer ago than that."""
    if job.state not in OVER or job.finished_utc is None:
        return False
    return job.finished_utc < utc(time.time() - seconds)
