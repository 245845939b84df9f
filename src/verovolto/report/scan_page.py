"""The page of a scan: its verdicts and the key frames behind them, in one self-contained HTML file."""

from __future__ import annotations

import io
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from verovolto import __version__
from verovolto.report import galleries, scan_figures
from verovolto.report import scan_text as words
from verovolto.report.html import Page, data_uri, environment
from verovolto.scanning.result import PICTURED, FileResult, KeyFrame, OperatingPoint, Scan, TrackResult

FILES = PICTURED
"""Files that get a section of their own, the most severe first."""
TRACKS = 12
"""Faces of one file that get pictures, the smallest p-values first."""

TONES = {
    "suspect": "suspect",
    "no sign found": "nosign",
    "cannot tell": "unknown",
    words.UNREADABLE: "unknown",
}
"""Style of each verdict. None is green: no verdict clears anybody."""
_BOX, _BOX_EDGE = (221, 107, 32), (26, 32, 44)
_CONTEXT = 360  # pixels of its longer side
_PARTS = ("torch", "torchvision", "av", "pillow", "numpy")


def build_scan_page(scan: Scan, *, command: str, hide_faces: bool = False) -> Page:
    """Fill the template. The figures are the timelines, `timeline_NN` by the place of the file on the page.

    Args:
        scan: with the pictures of its tracks (`ScanSettings.pictures`), or without.
        command: how to run it again.
        hide_faces: every picture becomes a mosaic in which nobody is recognisable; that of the whole frame too, since
            it may show people whom no detector found.
    """
    ranked, total = by_severity(scan.files), len(scan.files) + scan.not_reached
    figures: dict[str, bytes] = {}
    sections = [
        _section(file, place, scan, figures, hide=hide_faces) for place, file in enumerate(ranked[:FILES], 1)
    ]
    templates = environment()
    templates.filters["printable"] = words.printable
    html = templates.get_template("scan.html.j2").render(
        version=__version__,
        title=f"Scan of {words.number(total, 'file')}",
        lead=words.headline(scan.files[0]) if total == len(scan.files) == 1 else words.counts_line(scan),
        tone=_tone(ranked[0]) if ranked else "unknown",
        operating_point=words.operating_point_lines(scan.operating_point),
        closing=words.CLOSING,
        counts=Counter(words.verdict_of(file) for file in scan.files),
        tones=TONES if total > 1 else {},
        not_reached=words.number(scan.not_reached, "file") if scan.not_reached else None,
        rows=[_row(file, place) for place, file in enumerate(ranked, 1)] if len(ranked) > 1 else [],
        sections=sections,
        left=len(ranked) - len(sections),
        unreadable=[(file.path, words.listed(file.problems)) for file in scan.files if file.verdict is None],
        hide_faces=hide_faces,
        about=_about(scan),
        command="\n".join(words.printable(line) for line in command.split("\n")),
    )
    return Page(html=html, figures=figures)


def by_severity(files: Sequence[FileResult]) -> list[FileResult]:
    """The files that have a verdict, the most severe first, then by p-value, then as they came."""
    return sorted((file for file in files if file.verdict is not None), key=lambda file: file.severity)


def _tone(of: FileResult | TrackResult) -> str:
    return TONES[of.verdict or words.UNREADABLE]


def _row(file: FileResult, place: int) -> dict[str, Any]:
    """A line of the table of all files."""
    return {
        "place": place if place <= FILES else None,
        "path": file.path,
        "verdict": words.verdict_of(file),
        "tone": _tone(file),
        "p": "–" if file.p_value is None else words.p_figure(file.p_value),
        "faces": f"{len(file.judged)} of {words.faces_seen(file)}",
        "why": words.why(file),
    }


def _section(
    file: FileResult, place: int, scan: Scan, figures: dict[str, bytes], *, hide: bool
) -> dict[str, Any]:
    """The section of a file; its timeline is added to `figures`."""
    judged = sorted(file.judged, key=lambda track: (_p(track), track.id))
    shown = judged[:TRACKS]
    top = galleries.top_of(
        [
            key_frame.anomaly_map
            for track in shown
            for key_frame in track.key_frames
            if key_frame.anomaly_map is not None
        ]
    )
    timeline = _timeline(file, judged, scan.operating_point)
    if timeline is not None:
        figures[f"timeline_{place:02d}"] = timeline
    return {
        "place": place,
        "path": file.path,
        "tone": _tone(file),
        "headline": words.headline(file),
        "facts": words.facts(file),
        "damage": words.damage_line(file),
        "timeline": None if timeline is None else data_uri(timeline),
        "faces": [_face(track, file, scan, top, hide=hide) for track in shown],
        "more": [words.p_figure(_p(track)) for track in judged[TRACKS:]],
        "unjudged": "; ".join(words.unjudged_lines(file)),
    }


def _timeline(
    file: FileResult, judged: Sequence[TrackResult], operating_point: OperatingPoint
) -> bytes | None:
    """The figure of a video of which at least two frames were judged; else None."""
    scored = [*judged, *(track for track in file.tracks if track.p_value is None and track.frame_scores)]
    frames = {frame_score.frame for track in scored for frame_score in track.frame_scores}
    if file.medium != "video" or len(frames) < 2:
        return None
    return scan_figures.timeline(scored, operating_point, file.duration_s)


def _p(track: TrackResult) -> float:
    return 1.0 if track.p_value is None else track.p_value


def _face(track: TrackResult, file: FileResult, scan: Scan, top: float, *, hide: bool) -> dict[str, Any]:
    """What the page shows of a judged track."""
    return {
        "title": f"Face {track.id}" + (f", {words.span(track)}" if file.medium == "video" else ""),
        "verdict": track.verdict,
        "tone": _tone(track),
        "lines": words.track_lines(track, file, scan.operating_point, scan.settings.get("domain", {})),
        "cards": [
            _card(key_frame, top, video=file.medium == "video", hide=hide) for key_frame in track.key_frames
        ],
    }


def _card(key_frame: KeyFrame, top: float, *, video: bool, hide: bool) -> dict[str, str]:
    """A key frame: the frame with the face marked, and the strip of crop, anomaly map and both."""
    frame_score = key_frame.frame_score
    when = f"{words.clock(frame_score.time_s, tenths=True)} · frame {frame_score.frame} · " if video else ""
    return {
        "context": _picture(_context(key_frame, hide=hide), hide=hide),
        "strip": _picture(_strip(key_frame, top, hide=hide), hide=hide),
        "caption": f"{when}score {frame_score.score:.4g} · p\u00a0=\u00a0{words.p_figure(frame_score.p_value)}",
    }


def _strip(key_frame: KeyFrame, top: float, *, hide: bool) -> np.ndarray:
    """Crop, anomaly map and the one over the other, side by side; the crop alone where there is no map."""
    crop = _decoded(key_frame.crop)
    cells = [crop]
    if key_frame.anomaly_map is not None:
        anomaly_map = galleries.anomaly_map(key_frame.anomaly_map, top)
        over = np.asarray(
            Image.fromarray(anomaly_map).resize((crop.shape[1], crop.shape[0]), Image.Resampling.BICUBIC)
        )
        cells += [anomaly_map, (0.5 * crop + 0.5 * over).round().astype(np.uint8)]
    return galleries.side_by_side([galleries.framed(cell, hide=hide) for cell in cells], gap=4)


def _context(key_frame: KeyFrame, *, hide: bool) -> np.ndarray:
    """The whole frame made small, with the box of the face drawn in."""
    frame = _decoded(key_frame.context)
    height, width = frame.shape[:2]
    scale = min(1.0, _CONTEXT / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(galleries.framed(frame, hide=hide, size=size))
    x0, y0, x1, y1 = (edge * scale for edge in key_frame.context_box)
    draw = ImageDraw.Draw(picture)
    for grown, colour, line in ((1, _BOX_EDGE, 4), (0, _BOX, 2)):  # a dark rim, to be seen on any ground
        draw.rectangle((x0 - grown, y0 - grown, x1 + grown, y1 + grown), outline=colour, width=line)
    return np.asarray(picture)


def _decoded(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


def _picture(pixels: np.ndarray, *, hide: bool) -> str:
    """As a `data:` address. JPEG keeps a page of many faces small; a mosaic is smaller, and exact, as PNG."""
    if hide:
        return data_uri(galleries.png(pixels))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return data_uri(out.getvalue(), "jpeg")


def _about(scan: Scan) -> list[tuple[str, Any]]:
    """Where the results come from, as names and values."""
    about: Mapping[str, Any] = scan.detector.get("about", {})
    versions = ", ".join(f"{part} {metadata.version(part)}" for part in _PARTS)
    return [
        ("detector", scan.detector.get("name")),
        ("detector's folder", scan.detector.get("path")),
        *((key.replace("_", " "), value) for key, value in about.items()),
        ("score", f"{scan.operating_point.score}, higher = more likely fake"),
        ("threshold of one face", f"{scan.operating_point.threshold:.4g}"),
        ("scores calibrated on", f"{scan.operating_point.low:.4g} to {scan.operating_point.high:.4g}"),
        *((key.replace("_", " "), value) for key, value in scan.settings.items()),
        ("versions", f"verovolto {__version__}, Python {platform.python_version()}, {versions}"),
    ]
