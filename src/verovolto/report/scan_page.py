"""The page of a scan: its verdicts and the key frames behind them, in one self-contained HTML file."""

from __future__ import annotations

import io
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from verovolto import __version__
from verovolto.report import scan_text as words
from verovolto.report.html import (
    GRID,
    INK,
    MUTED,
    REAL,
    Canvas,
    Page,
    anomaly_map,
    data_uri,
    environment,
    framed,
    png,
    side_by_side,
    top_of,
)
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

Show = Callable[[np.ndarray], str]
"""Keeps a picture, uint8 `[h, w, 3]`, and gives the address by which a page finds it."""

COLOURS = ("#1a202c", "#6b46c1", "#b83280", "#0f766e", "#975a16", "#2b6cb0")
"""Of the tracks, in turn; orange and red are left to the verdicts."""
MARKERS = "osD^vP"
SHOWN = 12
"""Tracks drawn with a colour of their own and a name; the rest are thin and grey."""


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
        _section(
            file, place, scan, figures, lambda pixels: picture_uri(pixels, hide=hide_faces), hide=hide_faces
        )
        for place, file in enumerate(ranked[:FILES], 1)
    ]
    templates = environment()
    templates.filters["printable"] = words.printable
    html = templates.get_template("scan.html.j2").render(
        version=__version__,
        title=f"Scan of {words.number(total, 'file')}",
        lead=words.headline(scan.files[0]) if total == len(scan.files) == 1 else words.counts_line(scan),
        tone=_tone(ranked[0]) if ranked else "unknown",
        operating_point=words.worth_lines(scan),
        closing=words.CLOSING,
        counts=Counter(words.verdict_of(file) for file in scan.files),
        tones=TONES if total > 1 else {},
        not_reached=words.number(scan.not_reached, "file") if scan.not_reached else None,
        rows=(_row(file, place) for place, file in enumerate(ranked, 1)) if len(ranked) > 1 else (),
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


def scan_view(scan: Scan, *, show: Show, hide_faces: bool = False) -> dict[str, Any]:
    """What a page of a scan says, as JSON values: that of the service is made of it.

    Args:
        scan: with the pictures of its tracks, or without.
        show: keeps the pictures.
        hide_faces: see `build_scan_page`.
    """
    place = {id(file): number for number, file in enumerate(scan.files)}
    ranked = by_severity(scan.files)
    return {
        "lead": words.headline(scan.files[0]) if len(scan.files) == 1 else words.counts_line(scan),
        "tone": _tone(ranked[0]) if ranked else "unknown",
        "operating_point": words.worth_lines(scan),
        "closing": words.CLOSING,
        "files": [
            {
                **_texts(file),
                "medium": place[id(file)],
                "kind": file.medium,
                "verdict": words.verdict_of(file),
                "faces": _faces(file, scan, show, hide=hide_faces),
            }
            for file in ranked
        ],
        "unreadable": [
            {"medium": place[id(file)], "path": file.path, "why": words.listed(file.problems)}
            for file in scan.files
            if file.verdict is None
        ],
        "about": [[key, value] for key, value in _about(scan)],
    }


def _texts(file: FileResult) -> dict[str, Any]:
    """What is said of a file as a whole."""
    return {
        "path": file.path,
        "tone": _tone(file),
        "headline": words.headline(file),
        "facts": words.facts(file),
        "damage": words.damage_line(file),
        "provenance": words.provenance_line(file.provenance),
        "unjudged": "; ".join(words.unjudged_lines(file)),
    }


def _ranked(file: FileResult) -> list[TrackResult]:
    """The judged tracks, smallest p-values first."""
    return sorted(file.judged, key=lambda track: (_p(track), track.id))


def _faces(file: FileResult, scan: Scan, show: Show, *, hide: bool) -> list[dict[str, Any]]:
    """What is shown of the tracks that get pictures; their anomaly maps share one colour scale."""
    shown = _ranked(file)[:TRACKS]
    maps = [key_frame.anomaly_map for track in shown for key_frame in track.key_frames]
    top = top_of([each for each in maps if each is not None])
    return [_face(track, file, scan, top, show, hide=hide) for track in shown]


def _section(
    file: FileResult, place: int, scan: Scan, figures: dict[str, bytes], show: Show, *, hide: bool
) -> dict[str, Any]:
    """The section of a file; its timeline is added to `figures`."""
    judged = _ranked(file)
    timeline = _timeline(file, judged, scan.operating_point)
    if timeline is not None:
        figures[f"timeline_{place:02d}"] = timeline
    return {
        **_texts(file),
        "place": place,
        "timeline": None if timeline is None else data_uri(timeline),
        "faces": _faces(file, scan, show, hide=hide),
        "more": [words.p_figure(_p(track)) for track in judged[TRACKS:]],
    }


def _timeline(
    file: FileResult, judged: Sequence[TrackResult], operating_point: OperatingPoint
) -> bytes | None:
    """The figure of a video of which at least two frames were judged; else None."""
    scored = [*judged, *(track for track in file.tracks if track.p_value is None and track.frame_scores)]
    frames = {frame_score.frame for track in scored for frame_score in track.frame_scores}
    if file.medium != "video" or len(frames) < 2:
        return None
    return timeline(scored, operating_point, file.duration_s)


def _p(track: TrackResult) -> float:
    return 1.0 if track.p_value is None else track.p_value


def _face(
    track: TrackResult, file: FileResult, scan: Scan, top: float, show: Show, *, hide: bool
) -> dict[str, Any]:
    """What the page shows of a judged track."""
    video = file.medium == "video"
    return {
        "track": track.id,
        "title": f"Face {track.id}" + (f", {words.span(track)}" if video else ""),
        "verdict": track.verdict,
        "tone": _tone(track),
        "lines": words.track_lines(track, file, scan.operating_point, scan.settings.get("domain", {})),
        "cards": [_card(key_frame, top, show, video=video, hide=hide) for key_frame in track.key_frames],
    }


def _card(key_frame: KeyFrame, top: float, show: Show, *, video: bool, hide: bool) -> dict[str, Any]:
    """A key frame: the frame with the face marked, and the strip of crop, anomaly map and both."""
    frame_score = key_frame.frame_score
    when = f"{words.clock(frame_score.time_s, tenths=True)} · frame {frame_score.frame} · " if video else ""
    return {
        "context": show(_context(key_frame, hide=hide)),
        "strip": show(_strip(key_frame, top, hide=hide)),
        "caption": f"{when}score {frame_score.score:.4g} · p\u00a0=\u00a0{words.p_figure(frame_score.p_value)}",
        "time_s": frame_score.time_s,
    }


def _strip(key_frame: KeyFrame, top: float, *, hide: bool) -> np.ndarray:
    """Crop, anomaly map and the one over the other, side by side; the crop alone where there is no map."""
    crop = _decoded(key_frame.crop)
    cells = [crop]
    if key_frame.anomaly_map is not None:
        coloured = anomaly_map(key_frame.anomaly_map, top)
        over = np.asarray(
            Image.fromarray(coloured).resize((crop.shape[1], crop.shape[0]), Image.Resampling.BICUBIC)
        )
        cells += [coloured, (0.5 * crop + 0.5 * over).round().astype(np.uint8)]
    return side_by_side([framed(cell, hide=hide) for cell in cells], gap=4)


def _context(key_frame: KeyFrame, *, hide: bool) -> np.ndarray:
    """The whole frame made small, with the box of the face drawn in."""
    frame = _decoded(key_frame.context)
    height, width = frame.shape[:2]
    scale = min(1.0, _CONTEXT / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(framed(frame, hide=hide, size=size))
    x0, y0, x1, y1 = (edge * scale for edge in key_frame.context_box)
    draw = ImageDraw.Draw(picture)
    for grown, colour, line in ((1, _BOX_EDGE, 4), (0, _BOX, 2)):  # a dark rim, to be seen on any ground
        draw.rectangle((x0 - grown, y0 - grown, x1 + grown, y1 + grown), outline=colour, width=line)
    return np.asarray(picture)


def _decoded(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


def picture_uri(pixels: np.ndarray, *, hide: bool) -> str:
    """As a `data:` address. JPEG keeps a page of many faces small; a mosaic is smaller, and exact, as PNG."""
    if hide:
        return data_uri(png(pixels))
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


def timeline(
    tracks: Sequence[TrackResult], operating_point: OperatingPoint, duration_s: float | None = None
) -> bytes:
    """The score of every judged frame against seconds, a line a track, broken where the track was not seen.

    Behind them the range of the held-out real faces, and the threshold for a single face. `tracks` come with those
    that matter most first; of those that have a score but no p-value the lines are dotted.
    """
    with Canvas(8.6, 3.0) as canvas:
        axes = canvas.axes
        axes.axhspan(
            operating_point.low,
            operating_point.high,
            color=REAL,
            alpha=0.09,
            linewidth=0,
            label="held-out real faces",
        )
        rate = words.percent(operating_point.false_alarm)
        axes.axhline(
            operating_point.threshold,
            color=INK,
            linestyle="--",
            linewidth=1.2,
            label=f"{rate} threshold, one face",
        )
        for place, track in enumerate(tracks):
            times, scores = with_gaps(track)
            named = place < SHOWN
            axes.plot(
                times,
                scores,
                color=COLOURS[place % len(COLOURS)] if named else MUTED,
                marker=MARKERS[(place // len(COLOURS)) % len(MARKERS)],
                markersize=3.2 if named else 1.5,
                linewidth=1.3 if named else 0.6,
                linestyle="-" if track.p_value is not None else ":",
                label=f"face {track.id}" if named else None,
            )
        if duration_s:
            axes.set_xlim(-0.02 * duration_s, 1.02 * duration_s)
        axes.xaxis.set_major_formatter(lambda seconds, _: words.clock(seconds, tenths=(duration_s or 0) < 8))
        axes.grid(color=GRID)
        axes.set(xlabel="time", ylabel=f"{operating_point.score}\n(higher = more likely fake)")
        canvas.figure.legend(loc="outside upper left", ncols=6)
    return canvas.png


def with_gaps(track: TrackResult) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and scores `[n]` of a track, NaN between two frames that lie three usual steps apart or more."""
    times = np.array([frame_score.time_s for frame_score in track.frame_scores])
    scores = np.array([frame_score.score for frame_score in track.frame_scores])
    steps = np.diff(times)
    if not steps.size:
        return times, scores
    gaps = np.flatnonzero(steps > 3 * np.median(steps)) + 1
    return np.insert(times, gaps, np.nan), np.insert(scores, gaps, np.nan)
