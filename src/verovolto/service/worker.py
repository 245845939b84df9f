"""What a worker process does: tasks in, progress and results out, until its parent is gone."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image

from verovolto.core.errors import VerovoltoError
from verovolto.core.files import atomic_path, write_json, write_text
from verovolto.detectors.base import Detector, load_detector
from verovolto.report.scan_output import ScanOutput
from verovolto.report.scan_page import scan_view
from verovolto.report.scan_text import text_result
from verovolto.scanning.evidence import detector_evidence
from verovolto.scanning.request import ScanRequest
from verovolto.scanning.result import Scan

RESULT, REPORT, BUNDLE = "result.json", "report/report.html", "bundle.zip"
VIEW, TEXT, PICTURES = "view.json", "result.txt", "pictures"
"""What lies in the folder of a scan: what the command writes, and what the page shows besides."""


@dataclass(frozen=True, kw_only=True)
class ScanTask:
    """A scan for a worker: what is asked for, the folder of its results, and whether faces are hidden."""

    request: ScanRequest
    folder: Path
    no_faces: bool = False


OnProgress: TypeAlias = Callable[[float, int], None]
Work: TypeAlias = Callable[[ScanTask, OnProgress], None]


def scan_task(task: ScanTask, on_progress: OnProgress) -> None:
    """Scan, and write what `verovolto scan` would: `result.json`, `report/` and `bundle.zip`, the JSON last.

    The command recorded is the one that gives the same with files of these names.
    """
    asked = ScanOutput(json=RESULT, report=Path("report"), bundle=Path(BUNDLE), hide_faces=task.no_faces)
    command = shlex.join([*task.request.words(), *asked.words()])
    scan = task.request.run(pictures=True, command=command, load=load_once, on_progress=on_progress)
    written = ScanOutput(report=task.folder / "report", bundle=task.folder / BUNDLE, hide_faces=task.no_faces)
    written.write(scan, command)
    write_view(scan, task.folder, hide_faces=task.no_faces)
    ScanOutput(json=str(task.folder / RESULT)).write(scan, command)


def load_once(folder: Path) -> Detector:
    """The detector of a folder, kept for the next scan while the folder has the same digest."""
    return _loaded(folder, detector_evidence(folder)["digest"])


@lru_cache(maxsize=2)
def _loaded(folder: Path, digest: str | None) -> Detector:
    return load_detector(folder)


def write_view(scan: Scan, folder: Path, *, hide_faces: bool) -> None:
    """What the page shows besides the JSON: texts as the report has them, pictures as files."""
    pictures: dict[str, bytes] = {}

    def show(pixels: Any) -> str:
        name = f"{len(pictures):04d}.jpg"
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=85)
        pictures[name] = out.getvalue()
        return name

    view = scan_view(scan, show=show, hide_faces=hide_faces)
    for name, content in pictures.items():
        with atomic_path(folder / PICTURES / name) as part:
            part.write_bytes(content)
    write_json(folder / VIEW, view)
    write_text(folder / TEXT, "\n".join(text_result(scan)) + "\n")


def work_until_alone(pipe: Connection, lifeline: Connection, work: Work) -> None:
    """The main function of a worker process.

    `lifeline` is a pipe that nobody writes to: its other end closes when the parent dies, however it dies, and this
    process ends with it; a scan that went on alone would race with the one that the next server starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    torch.set_num_threads(1)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        answer = _answer(task, work, pipe)
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return


def _die_with_parent(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _answer(task: ScanTask, work: Work, pipe: Connection) -> tuple[Any, ...]:
    """`("done",)`, or `("failed", code, detail)`."""
    try:
        work(task, lambda done, total: pipe.send(("progress", float(done), int(total))))
    except VerovoltoError as error:
        return "failed", "scan-refused", str(error)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return "failed", "disk-full" if full else "internal", error.strerror or type(error).__name__
    except Exception as error:
        return "failed", "internal", f"{type(error).__name__}: {error}"
    return ("done",)


def read_view(folder: Path) -> dict[str, Any]:
    """What `write_view` wrote."""
    view: dict[str, Any] = json.loads((folder / VIEW).read_text(encoding="utf-8"))
    return view
