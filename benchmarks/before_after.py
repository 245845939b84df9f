"""A former version and this one scan the same files in turn: seconds of CPU by stage, memory.

    git worktree add FORMER COMMIT
    python benchmarks/before_after.py FORMER --data DATA [--videos FOLDER] [--photos 40] [--rounds 3]

Each turn is a process of its own. FORMER is a checkout; the names of the package that `benchmarks/scan.py` uses have
to be the same in both. DATA holds photographs in `fairface`, and `ffpp-clips`, out of which a camera's 1080p is made
where no videos are given. What a version makes of the files is compared as well: verdicts, p-values, scores. A figure
is the median of the rounds; a ratio that of the rounds' ratios.

Writes `benchmarks/out/before_after.json`: `{"figures": {NAME: {before, now, ratio}}, "files", "other_verdicts",
"other_p_values", "other_faces", "score_difference", "rounds"}`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from scan import STAGES, Staged, by_stage, high_water, videos
from verovolto.core.files import write_json
from verovolto.detectors.base import load_detector
from verovolto.detectors.io import detector_folder
from verovolto.media import Video, open_media
from verovolto.scanning.result import TrackResult
from verovolto.scanning.run import open_context
from verovolto.scanning.scan_file import scan_file
from verovolto.scanning.settings import ScanSettings

OUT = Path(__file__).parent / "out" / "before_after.json"
SOURCE = Path(__file__).parents[1]

Judged = dict[str, Any]
"""What a scan makes of the people in a file: `verdicts`, `p_values`, `scores`."""


def one_round(folder: Path, photos: list[Path], detector: str | None) -> dict[str, Any]:
    """Figures of the version that this process imports, and what it makes of the files."""
    torch.set_num_threads(1)
    context = open_context(load_detector(detector_folder(detector)), ScanSettings())
    judged: dict[str, Judged] = {}
    figures: dict[str, float] = {}
    given = sorted(folder.iterdir())
    for path in (photos[0], given[0]):  # what the first scans load counts for none
        scan_file(path, context)
    for path in given:
        staged = by_stage(path, context)
        figures |= for_a_second(path, staged)
        judged[path.name] = judgement(staged.tracks)
    began = time.process_time()
    judged |= {path.name: judgement(scan_file(path, context).tracks) for path in photos}
    figures["a photograph"] = (time.process_time() - began) / len(photos)
    figures["most memory, MiB"] = high_water()
    return {"figures": figures, "judged": judged}


def for_a_second(path: Path, staged: Staged) -> dict[str, float]:
    """Seconds of CPU for a second of a video, by stage."""
    video = open_media(path)
    assert isinstance(video, Video) and video.info.duration_s
    spent = {name: taken / video.info.duration_s for name, taken in staged.spent.items()}
    spent["all"] = sum(spent.values())
    return {f"{path.stem}: {name}": spent[name] for name in (*STAGES, "all")}


def judgement(tracks: Sequence[TrackResult]) -> Judged:
    """What is compared of the people in a file."""
    return {
        "verdicts": [track.verdict for track in tracks],
        "p_values": [track.p_adjusted for track in tracks],
        "scores": [each.score for track in tracks for each in track.frame_scores],
    }


def in_turn(versions: dict[str, Path], words: list[str], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What each version finds in each round, in a process of its own."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in versions}
    for number in range(rounds):
        for name, checkout in versions.items():
            Console(stderr=True).print(f"round {number + 1} of {rounds}: {name}")
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "found.json"
                subprocess.run(
                    [sys.executable, __file__, *words, "--one-round", str(out)],
                    check=True,
                    env={**os.environ, "PYTHONPATH": str(checkout / "src")},
                )
                found[name].append(json.loads(out.read_text()))
    return found


def compare(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of all figures, their ratios, and what is not the same of the files."""
    before, now = ([each["figures"] for each in found[name]] for name in ("before", "now"))
    figures = {
        name: {
            "before": round(median(each[name] for each in before), 4),
            "now": round(median(each[name] for each in now), 4),
            "ratio": round(median(a[name] / b[name] for a, b in zip(before, now, strict=True)), 3),
        }
        for name in now[0]
    }
    pairs = [(found["before"][0]["judged"][name], one) for name, one in found["now"][0]["judged"].items()]
    same = [(a["scores"], b["scores"]) for a, b in pairs if len(a["scores"]) == len(b["scores"])]
    apart = [abs(a - b) for scores in same for a, b in zip(*scores, strict=True)]
    return {
        "figures": figures,
        "files": len(pairs),
        "other_verdicts": sum(a["verdicts"] != b["verdicts"] for a, b in pairs),
        "other_p_values": sum(a["p_values"] != b["p_values"] for a, b in pairs),
        "other_faces": len(pairs) - len(same),
        "score_difference": max(apart, default=0.0),
    }


def show(told: dict[str, Any]) -> None:
    table = Table("", "before", "now", "before / now")
    for name, each in told["figures"].items():
        table.add_row(name, f"{each['before']:,.3f}", f"{each['now']:,.3f}", f"{each['ratio']:.2f}")
    Console(width=100).print(table)
    print(
        f"{told['files']} files: {told['other_verdicts']} other verdicts, {told['other_p_values']} other p-values, "
        f"{told['other_faces']} with other faces; scores differ by {told['score_difference']:.2g} at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("former", type=Path, metavar="FORMER", help="checkout of the former version")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", help="folder of a detector; that of the package by default")
    parser.add_argument("--photos", type=int, default=40, help="photographs of fairface")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=Path, help="folder of videos to scan instead of 1080p")
    parser.add_argument("--one-round", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one_round is not None:
        photos = sorted((given.data / "fairface" / "real").iterdir())[: given.photos]
        write_json(given.one_round, one_round(given.videos, photos, given.detector))
        return
    if not (given.former / "src" / "verovolto").is_dir():
        raise SystemExit(f"{given.former} is no checkout: it has no src/verovolto")
    with tempfile.TemporaryDirectory() as made:
        if given.videos is None:
            videos(given.data, Path(made))
        words = [str(given.former), "--data", str(given.data), "--photos", str(given.photos),
                 "--videos", str(given.videos or made)]  # fmt: skip
        if given.detector is not None:
            words += ["--detector", given.detector]
        found = in_turn({"before": given.former, "now": SOURCE}, words, given.rounds)
    told = {**compare(found), "rounds": given.rounds}
    write_json(OUT, told)
    show(told)


if __name__ == "__main__":
    main()
