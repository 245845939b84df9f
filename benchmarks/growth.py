"""How cost, memory and size grow with the work: rows evaluated, reported, scanned; minutes of video scanned.

    python benchmarks/growth.py [--jobs evaluation report scanned epoch] [--rows 1000 10000 100000 1000000]
        [--resamples 1000] [--video FILE] [--minutes 1 10]

Each figure is that of a process of its own: seconds of CPU and by the clock, and the most memory (VmHWM, Linux) less
what it had before. *evaluation*: all figures of a table of drawn scores with one trivial statistic, eight rows a
person; the size of its `metrics.json`. *report*: the page of such an evaluation, drawn, and its size (it does not
depend on the resamples: fifty). *scanned*: page and JSON of the scan of so many photographs of one face each, as many
of them with pictures as a scan keeps. *epoch*: the order of an epoch, as training draws it. *scan*: the video again and
again, without coding it anew, by the default detector at 2 frames/s. *per*: CPU for a row (in microseconds) or for a
second of video; where growth is linear it stays as it is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from scan import high_water, looped
from verovolto.core.files import write_json
from verovolto.data.decode import encode_jpeg
from verovolto.data.face_batch import epoch_order
from verovolto.data.score_table import ScoreTable
from verovolto.detectors.base import load_detector
from verovolto.detectors.io import detector_folder
from verovolto.evaluation.evaluate import evaluate_scores
from verovolto.evaluation.preflight import EvaluationSettings
from verovolto.evaluation.run import evaluate_table
from verovolto.media.provenance import FileFacts, Fingerprint
from verovolto.report.evaluation_page import ReportData, build
from verovolto.report.scan_page import build_scan_page
from verovolto.scanning.result import (
    PICTURED,
    FileResult,
    FrameScore,
    KeyFrame,
    OperatingPoint,
    Scan,
    TrackResult,
)
from verovolto.scanning.run import open_context
from verovolto.scanning.scan_file import scan_file
from verovolto.scanning.settings import ScanSettings

PER_PERSON = 8


def drawn_scores(rows: int) -> ScoreTable:
    """Half of the rows fakes, which score a little higher; people are real or fake as a whole."""
    random = np.random.default_rng(0)
    person = np.arange(rows) // PER_PERSON
    fake = person % 2 == 1
    values = random.normal(size=(2, rows)).astype(np.float32)
    table = pa.table(
        {
            "label": np.where(fake, "fake", "real"),
            "status": np.full(rows, "ok"),
            "target_identity": [f"p{number}" for number in person],
            "source_video": [f"v{number}" for number in np.arange(rows)],
            "score": values[0] + 0.5 * fake,
            "bytes": values[1],
        }
    )
    return ScoreTable(table=table, scores=("score",), baselines=("bytes",))


def evaluation(rows: int, resamples: int) -> dict[str, Any]:
    scores = drawn_scores(rows)
    with _Cost() as cost:
        found = evaluate_scores(scores, resamples=resamples)
    size = len(json.dumps(found, default=str)) / 1024
    return {"rows": rows, **cost.figures(rows), "metrics_kib": round(size, 1)}


def report(rows: int, _resamples: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "scores.parquet"
        pq.write_table(drawn_scores(rows).table, table)
        evaluation = evaluate_table(table, settings=EvaluationSettings(score="score", resamples=50))
        with _Cost() as cost:
            page = build(ReportData.of(evaluation, Path(folder)))
    return {"rows": rows, **cost.figures(rows), "page_kib": kib(page.html)}


def scanned(rows: int, _resamples: int) -> dict[str, Any]:
    given = drawn_scan(rows)
    with _Cost() as cost:
        page = build_scan_page(given, command="verovolto scan")
        with tempfile.TemporaryDirectory() as folder:
            write_json(Path(folder) / "result.json", given.to_dict())
            size = (Path(folder) / "result.json").stat().st_size / 1024
    return {"rows": rows, **cost.figures(rows), "page_kib": kib(page.html), "json_kib": round(size, 1)}


def kib(text: str) -> float:
    return round(len(text.encode()) / 1024, 1)


def drawn_scan(files: int) -> Scan:
    """Photographs of one judged face each, one in twenty suspect; the most severe have pictures, of noise."""
    random = np.random.default_rng(0)
    crop, context = (
        encode_jpeg(torch.from_numpy(random.integers(0, 256, (3, *size), dtype=np.uint8)))
        for size in ((224, 224), (360, 480))
    )
    results = []
    for number, p_value in enumerate(np.sort(random.random(files)).tolist()):
        score = FrameScore(
            frame=0, time_s=0.0, score=-p_value, p_value=p_value, box=(100.0, 80.0, 220.0, 240.0)
        )
        key_frame = KeyFrame(
            frame_score=score, crop=crop, anomaly_map=None, context=context, context_box=score.box
        )
        track = TrackResult(
            id=0, verdict="suspect" if p_value < 0.05 else "no sign found", p_value=p_value, p_adjusted=p_value,
            score=score.score, rule="one face", seen=1, start_s=0.0, end_s=0.0, frame_scores=(score,),
            key_frames=(key_frame,) if number < PICTURED else (),
        )  # fmt: skip
        facts = FileFacts(fingerprint=Fingerprint(sha256=f"{number:064x}", bytes=80_000, modified_utc=""))
        results.append(
            FileResult(
                path=f"photographs/{number:08d}.jpg", medium="photo", verdict=track.verdict, p_value=p_value,
                width=480, height=360, frames=1, tracks=(track,), facts=facts,
            )
        )  # fmt: skip
    point = OperatingPoint(
        false_alarm=0.05, score="score", threshold=-0.05, low=-1.0, high=0.0, faces=1000, clusters=1000,
        cluster="identity", videos=None, missed={},
    )  # fmt: skip
    return Scan(files=tuple(results), operating_point=point, detector={"name": "drawn"}, settings={})


def epoch(rows: int, _resamples: int) -> dict[str, Any]:
    blocks = np.arange(rows) // 64
    with _Cost() as cost:
        order = epoch_order(blocks, seed=0, epoch=1)
    assert len(order) == rows
    return {"rows": rows, **cost.figures(rows)}


def scan(video: Path, minutes: float) -> dict[str, Any]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = looped(video, Path(folder) / f"long{video.suffix}", 60 * minutes)
        context = open_context(load_detector(detector_folder()), ScanSettings(pictures=True))
        with _Cost() as cost:
            result = scan_file(path, context)
    if not result.duration_s:
        raise SystemExit(f"{video}: {result.problems}")
    return {"minutes": minutes, **cost.figures(result.duration_s, 1.0), "peak_mib": cost.peak}


class _Cost:
    """Seconds of CPU and MiB of memory of what is done within."""

    def __enter__(self) -> _Cost:
        self._cpu, self._clock, self._before = time.process_time(), time.perf_counter(), high_water()
        return self

    def __exit__(self, *_error: object) -> None:
        self.cpu, self.clock = time.process_time() - self._cpu, time.perf_counter() - self._clock
        self.peak = high_water()

    def figures(self, work: float, unit: float = 1e6) -> dict[str, float]:
        added = round(self.peak - self._before, 1)
        seconds = {"cpu_s": round(self.cpu, 2), "clock_s": round(self.clock, 2)}
        return seconds | {"per": round(self.cpu / work * unit, 4), "added_mib": added}


JOBS = {"evaluation": evaluation, "report": report, "scanned": scanned, "epoch": epoch}


def alone(job: Callable[..., dict[str, Any]], *words: Any) -> dict[str, Any]:
    """What a job finds in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(job, words)


def rows_of(given: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in given.jobs:
        for rows in given.rows:
            yield name, alone(JOBS[name], rows, given.resamples)
    if given.video is not None:
        for minutes in given.minutes:
            yield "scan", alone(scan, given.video, minutes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0])
    for what, found in rows_of(parser.parse_args()):
        print(f"{what:12}" + "  ".join(f"{key} {value}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
