"""The parts of a running service, put together."""

from __future__ import annotations

import fcntl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from verovolto.core.errors import InputError
from verovolto.service.jobs import Jobs
from verovolto.service.metrics import Metrics
from verovolto.service.runner import Runner
from verovolto.service.settings import KnownDetector, ServiceSettings, open_detectors
from verovolto.service.uploads import Uploads


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
    lock: IO[str]
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
        detectors, lock = open_detectors(settings), _lock(settings.folder)
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
            lock=lock,
        )

    def close(self) -> None:
        """Stop what runs, and give the folder free."""
        self.stopping = True
        self.runner.stop()
        self.lock.close()


def _lock(folder: Path) -> IO[str]:
    """A lock that the system gives free when the process ends, however it does."""
    handle = (folder / "lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise InputError(f"another service uses {folder}", hint="give another --folder") from error
    return handle
