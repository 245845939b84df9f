"""A service whose detector takes bright squares for faces: fast, and worker processes can import it.

    python -m tests.service.stand_in FOLDER PORT [TOKEN]      # a server of its own, to be killed

What a file is called steers its scan: `slow` takes a minute, `deadly` kills the process, `full` meets a full disk.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from tests.faces.bright import RULE, BrightSquares
from tests.scanning.drawn import by_brightness
from verovolto.scanning import run
from verovolto.service.app import create_app
from verovolto.service.settings import ServiceSettings
from verovolto.service.worker import OnProgress, ScanTask, scan_task

RULE_FILE = "rule.json"


def work(task: ScanTask, on_progress: OnProgress) -> None:
    """What a worker process does, with squares for faces."""
    run.open_detector = lambda name: BrightSquares()
    names = " ".join(task.request.names.values())
    if "deadly" in names:
        os.kill(os.getpid(), signal.SIGKILL)
    if "full" in names:
        raise OSError(errno.ENOSPC, "No space left on device")
    if "bug" in names:
        raise RuntimeError("a bug")
    for step in range(600 if "slow" in names else 0):
        on_progress(step / 600, 1)
        time.sleep(0.1)
    assert task.request.detector is not None
    crop = str(task.request.detector.parent / RULE_FILE)
    scan_task(replace(task, request=replace(task.request, crop=crop, smallest=8.0)), on_progress)


def settings_in(folder: Path, **given: Any) -> ServiceSettings:
    """Settings of a service that keeps everything in a folder."""
    if not (folder / RULE_FILE).exists():
        by_brightness().save(folder / "bright")
        (folder / RULE_FILE).write_text(json.dumps(RULE.to_dict()))
    return ServiceSettings(
        **{"folder": folder / "service", "detectors": {"bright": folder / "bright"}, "work": work, **given}
    )


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    token = sys.argv[3] if len(sys.argv) > 3 else None
    app = create_app(settings_in(folder, port=port, token=token))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
