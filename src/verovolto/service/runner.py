"""Runs the queue: a thread a worker process, which is replaced when it dies, is cancelled, or takes too long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import IO

from verovolto.core.parallel import one_thread_each
from verovolto.core.workdir import lock
from verovolto.scanning.request import ScanRequest
from verovolto.service.jobs import TRIES, Job, Jobs, State, expired
from verovolto.service.metrics import Metrics
from verovolto.service.settings import KnownDetector, ServiceSettings, open_detectors
from verovolto.service.uploads import Uploads
from verovolto.service.worker import ScanTask, Work, work_until_alone

_LOOK_S = 0.2
_JANITOR_S = 60.0
_STOP_S = 5.0
_FULL_DISK_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ended: `done`, `cancelled`, `died`, or `failed` with a code and what to say."""

    kind: str
    code: str = ""
    detail: str = ""


class WorkerProcess:
    """One process that scans; it is started for the first task."""

    def __init__(self, work: Work) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._lifeline, far = context.Pipe()
        self._process = context.Process(target=work_until_alone, args=(theirs, far, work), daemon=True)
        with one_thread_each():
            self._process.start()
        theirs.close()
        far.close()
        self._stopped = False

    @property
    def alive(self) -> bool:
        """Whether it takes another task."""
        return not self._stopped and self._process.is_alive()

    def run(
        self,
        task: ScanTask,
        *,
        limit_s: float,
        cancelled: Callable[[], bool],
        on_progress: Callable[[float, int], None],
    ) -> Outcome:
        """Do a task; afterwards the process is alive unless it died or was stopped.

        Args:
            task: for it.
            limit_s: wall-clock seconds after which it is cut off.
            cancelled: asked several times a second.
            on_progress: called with files done, and all.
        """
        end = time.monotonic() + limit_s
        try:
            self._pipe.send(task)
            while True:
                if cancelled():
                    self.stop()
                    return Outcome(kind="cancelled")
                if time.monotonic() > end:
                    self.stop()
                    return Outcome(
                        kind="failed", code="time-limit", detail=f"it was cut off after {limit_s:g} s"
                    )
                wait([self._pipe, self._process.sentinel], timeout=_LOOK_S)
                while self._pipe.poll():
                    message = self._pipe.recv()
                    if message[0] != "progress":
                        return Outcome(
                            kind=message[0], **dict(zip(("code", "detail"), message[1:], strict=False))
                        )
                    on_progress(*message[1:])
                if not self._process.is_alive() and not self._pipe.poll():
                    raise EOFError
        except (EOFError, OSError):
            self.stop()
            return Outcome(kind="died", code="worker-died", detail=f"exit code {self._process.exitcode}")

    def stop(self) -> None:
        """End it, whatever it does."""
        self._stopped = True
        self._process.kill()
        self._process.join(_STOP_S)
        self._pipe.close()
        self._lifeline.close()


class Runner:
    """Takes scans off the queue and has them done; deletes what is old."""

    def __init__(self, settings: ServiceSettings, jobs: Jobs, uploads: Uploads, metrics: Metrics) -> None:
        self._settings, self._jobs, self._uploads, self._metrics = settings, jobs, uploads, metrics
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, name=f"scans-{number}", daemon=True)
            for number in range(settings.workers)
        ]
        self._threads.append(threading.Thread(target=self._clean, name="janitor", daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop; what runs is cut off and stays `running` on disk, to be done again by the next server."""
        self._stopping.set()
        self._jobs.wake()
        for thread in self._threads:
            thread.join(2 * _STOP_S)

    @property
    def ready(self) -> bool:
        """Whether scans are being done."""
        return not self._stopping.is_set() and all(thread.is_alive() for thread in self._threads)

    def delete_inputs(self, job: Job) -> None:
        """Delete the inputs of a scan that no other one waits for."""
        self._jobs.delete_unused([file["id"] for file in job.files], self._uploads.delete)

    def _serve(self) -> None:
        process: WorkerProcess | None = None
        while not self._stopping.is_set():
            try:
                job = self._jobs.take(timeout=1.0)
            except OSError:  # a full disk: it waits on
                _log.exception("a scan could not be begun")
                self._stopping.wait(_FULL_DISK_S)
                continue
            if job is None:
                continue
            try:
                if process is None or not process.alive:
                    process = WorkerProcess(self._settings.work)
                self._do(job, process)
            except Exception as error:  # whatever it is, neither this scan nor those that wait are lost by it
                _log.exception("a scan could not be done")
                self._finish(job, "failed", {"code": "internal", "detail": type(error).__name__})
        if process is not None:
            process.stop()

    def _do(self, job: Job, process: WorkerProcess) -> None:
        if job.options["detector"] not in self._settings.detectors:
            detail = f"the service has no detector {job.options['detector']!r} any more"
            self._finish(job, "failed", {"code": "scan-refused", "detail": detail})
            return
        began = time.monotonic()
        outcome = process.run(
            self._task(job),
            limit_s=self._settings.time_limit_s,
            cancelled=lambda: job.state == "cancelled" or self._stopping.is_set(),
            on_progress=lambda done, total: self._jobs.note_progress(job, done, total),
        )
        if outcome.kind == "cancelled":
            if job.state == "cancelled" and self._settings.inputs_kept_s is not None:
                self.delete_inputs(job)
            if self._jobs.get(job.id) is None:  # deleted while the process wrote its last
                self._jobs.delete_results(job)
            if job.state != "cancelled":
                self._jobs.give_back(job)  # the server stops: the next one does it
                return
        elif outcome.kind == "done":
            self._finish(job, "done")
        elif outcome.kind == "died" and job.tries < TRIES:
            self._finish(job, "queued")
        else:
            self._finish(job, "failed", {"code": outcome.code, "detail": outcome.detail})
        self._metrics.scan_ended("died" if outcome.kind == "died" else job.state, time.monotonic() - began)

    def _finish(self, job: Job, state: State, error: Mapping[str, str] | None = None) -> None:
        """Note the end of a scan; on a full disk try until there is room, since nobody else would."""
        while True:
            try:
                self._jobs.finish(job, state, error)
                return
            except OSError:
                _log.exception("the end of a scan could not be noted")
            if self._stopping.wait(_FULL_DISK_S):
                return  # it stays `running` on disk, and the next server does it again

    def _task(self, job: Job) -> ScanTask:
        paths = [self._uploads.path(file["id"]) for file in job.files]
        options = job.options
        return ScanTask(
            request=ScanRequest(
                paths=tuple(paths),
                names={path: file["name"] for path, file in zip(paths, job.files, strict=True)},
                detector=self._settings.detectors[options["detector"]],
                fps=options["fps"],
                false_alarm=options["false_alarm"],
                faces=options["faces"],
                max_megapixels=self._settings.max_megapixels,
            ),
            folder=self._jobs.folder(job),
            no_faces=options["no_faces"],
        )

    def _clean(self) -> None:
        while not self._stopping.wait(_JANITOR_S):
            try:
                self.clean()
            except OSError:
                _log.exception("old files could not be deleted")

    def clean(self) -> None:
        """Delete inputs and results that have been there for long enough."""
        if self._settings.inputs_kept_s is not None:
            self._jobs.delete_unused(self._uploads.older(self._settings.inputs_kept_s), self._uploads.delete)
        if self._settings.results_kept_s is not None:
            for job in self._jobs.of_state("done", "failed", "cancelled"):
                if expired(job, self._settings.results_kept_s):
                    self._jobs.remove(job)


@dataclass(kw_only=True)
class Service:
    """What every route needs.

    Attributes:
        settings: as the service was started.
        detectors: by name, the default one first.
        uploads: the inputs.
        jobs: the scans.
        runner: has them done.
        metrics: counts.
        lock: the folder's, held for as long as the service lives.
        arriving: uploads under way.
        stopping: whether streams should end.
    """

    settings: ServiceSettings
    detectors: Mapping[str, KnownDetector]
    uploads: Uploads
    jobs: Jobs
    runner: Runner
    metrics: Metrics
    lock: IO[bytes]
    arriving: int = 0
    stopping: bool = False

    @staticmethod
    def of(settings: ServiceSettings) -> Service:
        """Open the folder and the detectors; nothing runs yet.

        Raises:
            InputError: another service uses the folder.
            DetectorError: a detector is not there or damaged.
        """
        settings.folder.mkdir(parents=True, exist_ok=True)
        detectors = open_detectors(settings)
        held = lock(
            settings.folder, refused=f"another service uses {settings.folder}", hint="give another --folder"
        )
        uploads = Uploads(settings.folder / "uploads", most=settings.max_upload_bytes)
        jobs = Jobs(settings.folder / "scans", limit=settings.queue)
        metrics = Metrics(jobs)
        return Service(
            settings=settings,
            detectors=detectors,
            uploads=uploads,
            jobs=jobs,
            runner=Runner(settings, jobs, uploads, metrics),
            metrics=metrics,
            lock=held,
        )

    def close(self) -> None:
        """Stop what runs, and give the folder free."""
        self.stopping = True
        self.runner.stop()
        self.lock.close()
