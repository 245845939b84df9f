"""The results of a scan as text, for the terminal and the page alike. Pure functions.

No sentence ever says that a face is real: what is not suspect has shown no sign, no more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.cells import cell_len

from verovolto.calibration.likelihood_ratio import LikelihoodRatio
from verovolto.media.provenance import Provenance
from verovolto.scanning.result import VERDICTS, FileResult, OperatingPoint, Scan, TrackResult
from verovolto.scanning.to_folder import KeptCounts

CLOSING = (
    "Nothing here says that a face is real: “no sign found” means that this detector, which misses some forgeries, "
    "found no sign of one."
)
P_MEANING = (
    "p: how often a real face like those calibrated on scores as high, times the number of faces judged; small means "
    "unlike them. It is not the probability of a forgery."
)
UNREADABLE, NOT_REACHED = "not scanned", "not reached"
PATH_CELLS = 44
"""Width of the table's file names, in cells of a terminal; what is longer loses its middle."""


def verdict_of(file: FileResult) -> str:
    """The verdict in one word or two; of a file that could not be scanned, that it was not."""
    return file.verdict or UNREADABLE


def headline(file: FileResult) -> str:
    """The verdict on a file in one sentence, with its p-value, or the reason why there is none."""
    if file.verdict is None:
        return f"{UNREADABLE}: {listed(file.problems)}"
    if file.verdict == "cannot tell":
        return f"cannot tell: {reasons_text(file.reasons)}"
    if file.verdict == "suspect":
        return f"suspect: {_suspects(file)}"
    return f"no sign found: {_nobody(file)}{_left_out(file)}"


def damage_line(file: FileResult) -> str | None:
    """What of the file is missing; None where it is whole, or could not be read at all."""
    if file.status != "damaged":
        return None
    return f"Damaged: {listed(file.problems)}. What could be decoded was judged."


def facts(file: FileResult) -> str:
    """`video · 640 × 480 px · 0:30 · 61 frames looked at · 1 face judged`; what is not known is left out."""
    parts = [
        file.medium,
        f"{file.width} × {file.height} px" if file.width and file.height else None,
        clock(file.duration_s) if file.duration_s is not None else None,
        f"{number(file.frames, 'frame')} looked at" if file.medium == "video" else None,
        f"{number(len(file.judged), 'face')} judged",
    ]
    return " · ".join(part for part in parts if part)


def track_lines(
    track: TrackResult,
    file: FileResult,
    operating_point: OperatingPoint,
    domain: Mapping[str, Sequence[float]],
) -> list[str]:
    """The lines on a judged track.

    Args:
        track: of a person.
        file: the photo or video of the track.
        operating_point: of the scan.
        domain: lowest and highest value of each condition among the faces calibrated on, where measured.
    """
    lines = [rule_line(track, operating_point, len(file.judged))]
    if track.likelihood_ratio is not None:
        lines.append(likelihood_line(track.likelihood_ratio))
    if track.reasons:
        lines.append(f"Nothing can be told: {reasons_text(track.reasons)}.")
    if file.medium == "video":
        passed = ", ".join(f"{n} {reason}" for reason, n in track.rejected.items())
        judged = f"Seen in {number(track.seen, 'frame')}, judged in {len(track.frame_scores)}"
        lines.append(f"{judged}; passed over: {passed}." if passed else f"{judged}.")
    if track.conditions:
        conditions = (_condition(name, value, domain) for name, value in track.conditions.items())
        lines.append(f"Conditions: {'; '.join(conditions)}.")
    return lines


def rule_line(track: TrackResult, operating_point: OperatingPoint, people: int) -> str:
    """How the p-value of a judged track came about; `people` are the judged tracks of its file."""
    n = len(track.frame_scores)
    how = {
        "one face": "one face was judged, and its p-value is taken as it is",
        "twice the mean": f"twice the mean of the p-values of its {n} judged frames, which holds however they "
        "depend on each other",
        "mean score": f"the mean score of its {n} judged frames set against single faces of each source calibrated on, "
        "whose scores spread as much or more than such a mean",
        "videos": f"the mean score of its {n} judged frames set against those of {operating_point.videos} "
        "held-out videos",
        None: "not judged",
    }[track.rule]
    others = f"; times {people}, the number of faces judged, it is {p_text(track.p_adjusted)}"
    return f"{p_text(track.p_value)}: {how}{others if people > 1 else ''}."


def likelihood_line(ratio: LikelihoodRatio) -> str:
    """What a verdict weighs, in words first; its interval counts each person once."""
    return (
        f"What it weighs: {ratio.words} (likelihood ratio {_ratio(ratio.value)}, {_ratio(ratio.low)} to "
        f"{_ratio(ratio.high)}): {percent(ratio.fakes)} of {number(ratio.known, 'known fake')} look like this, and "
        f"{percent(ratio.reals)} of real files."
    )


def _ratio(value: float) -> str:
    """Two digits."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def provenance_line(provenance: Provenance | None) -> str | None:
    """What a file says of itself, which anybody can write; None where nothing is known of it."""
    if provenance is None:
        return None
    own = [
        provenance.camera and f"camera {provenance.camera}",
        provenance.software and f"software {provenance.software}",
        provenance.created and f"time {provenance.created}",
        "a position is in it" if provenance.has_position else None,
    ]
    parts = ["; ".join(part for part in own if part) or "nothing about camera, software or time"]
    c2pa = provenance.c2pa
    if c2pa is not None:
        more = ", ".join(part for part in (c2pa.signer, c2pa.made_by, c2pa.why) if part)
        nothing = ", which proves nothing" if c2pa.state == "none" else ""
        parts.append(f"C2PA: {c2pa.state}{nothing}{f' ({more})' if more else ''}")
    return printable(f"The file says of itself: {'. '.join(parts)}.")


def operating_point_lines(operating_point: OperatingPoint) -> list[str]:
    """What the verdicts promise, and what they do not: false alarms, and the share of known fakes missed."""
    return [*_false_alarms(operating_point), *_missed(operating_point)]


def worth_lines(scan: Scan) -> list[str]:
    """What the verdicts of a scan are worth: what p says where there is one, and what the verdicts promise."""
    any_p = any(file.p_value is not None for file in scan.files)
    return [*([P_MEANING] if any_p else []), *operating_point_lines(scan.operating_point)]


def counts_line(scan: Scan) -> str:
    """`1 suspect, 2 no sign found, 1 not scanned, of 4 files`; what does not occur is left out."""
    return _counted(Counter(verdict_of(file) for file in scan.files), scan.not_reached)


def _counted(verdicts: Counter[str], not_reached: int) -> str:
    counted = verdicts + Counter({NOT_REACHED: not_reached})
    shown = [f"{counted[word]} {word}" for word in (*VERDICTS, UNREADABLE, NOT_REACHED) if counted[word]]
    return f"{', '.join(shown)}, of {number(counted.total(), 'file')}" if shown else "no files"


def kept_lines(counts: KeptCounts, out: Path) -> list[str]:
    """What a folder of kept results holds, where it lies, and what its verdicts are worth."""
    verdicts = Counter({verdict or UNREADABLE: files for verdict, files in counts.verdicts.items()})
    return [
        _counted(verdicts, counts.not_reached),
        *operating_point_lines(counts.operating_point),
        CLOSING,
        f"results: {out.resolve()}/parts/*/*.parquet",
    ]


def text_table(scan: Scan) -> list[str]:
    """The results as an aligned table for a terminal, a line a file under a line of titles.

    Columns: file, verdict, p-value, faces judged of those seen (`faces_seen`), and why nothing can be told.
    Lines end where their text does. Names are as `printable` gives them: a name cannot steer a terminal.
    """
    rows = [("file", "verdict", "p", "faces", "why")]
    for file in scan.files:
        p = "–" if file.p_value is None else p_figure(file.p_value)
        faces = "–" if file.verdict is None else f"{len(file.judged)}/{faces_seen(file)}"
        rows.append((shortened(printable(file.path), PATH_CELLS), verdict_of(file), p, faces, why(file)))
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(padded(cell, wide) for cell, wide in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def text_result(scan: Scan) -> list[str]:
    """The whole text where there is no page: the table and the counts; with verdicts, what these are worth."""
    left_out = [f"left out: {printable(line)}" for line in scan.left_out]
    scanned = any(file.verdict is not None for file in scan.files)
    worth = [*worth_lines(scan), CLOSING] if scanned else []
    return [*text_table(scan), "", counts_line(scan), *left_out, *worth]


def why(file: FileResult) -> str:
    """Why nothing can be told, or what is damaged; empty where neither is so."""
    return "; ".join(part for part in (reasons_text(file.reasons), listed(file.problems)) if part)


def faces_seen(file: FileResult) -> int:
    """Tracks of the file without those of doubtful detections alone, which may be no faces."""
    return sum(not track.doubtful for track in file.tracks)


def unjudged_lines(file: FileResult) -> list[str]:
    """The tracks that have no p-value, a line a kind: `4 doubtful detections, 1–2 frames each`."""
    by_reasons: dict[tuple[str, ...], list[TrackResult]] = {}
    for track in file.tracks:
        if track.p_value is None:
            by_reasons.setdefault(track.reasons, []).append(track)
    return [_unjudged_line(tracks, video=file.medium == "video") for tracks in by_reasons.values()]


def reasons_text(reasons: Iterable[str]) -> str:
    """Reasons in one line; those of one kind (`kind: detail`) share its name."""
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kind, _, detail = reason.partition(": ")
        kinds.setdefault(kind, []).extend([detail] if detail else [])
    return "; ".join(
        f"{kind}: {', '.join(dict.fromkeys(details))}" if details else kind for kind, details in kinds.items()
    )


def listed(problems: Iterable[str]) -> str:
    """Problems in one line, each once, printable."""
    return "; ".join(dict.fromkeys(map(printable, problems)))


def p_text(p_value: float | None) -> str:
    """`p = 0.012`."""
    return "p unknown" if p_value is None else f"p = {p_figure(p_value)}"


def p_figure(p_value: float) -> str:
    """A p-value in (0, 1] to two digits below 0.1, else three, rounded up: never shown as rarer than it is."""
    digits = 3 - math.ceil(math.log10(p_value)) if p_value < 1 else 0
    digits -= p_value < 0.1
    up = math.ceil(p_value * 10**digits - 1e-9) / 10**digits
    return f"{up:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{up:g}"


def clock(seconds: float, tenths: bool = False) -> str:
    """Seconds from the start as `0:29`, `1:02:03`; with tenths `0:29.5`."""
    units = round(max(seconds, 0.0) * 10) if tenths else int(max(seconds, 0.0)) * 10
    minutes, rest = divmod(units, 600)
    hours, minutes = divmod(minutes, 60)
    shown = f"{rest // 10:02d}" + (f".{rest % 10}" if tenths else "")
    return f"{hours}:{minutes:02d}:{shown}" if hours else f"{minutes}:{shown}"


def span(track: TrackResult) -> str:
    """When a person of a video was seen: `0:00–0:29`."""
    start, end = clock(track.start_s), clock(track.end_s)
    return start if start == end else f"{start}–{end}"


def printable(text: str) -> str:
    """The text without characters that steer a terminal or turn the direction of writing: they are written out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
        for char in text
    )


def shortened(text: str, cells: int) -> str:
    """The text in at most `cells` cells; what is longer loses its middle to `…` and keeps more of its end."""
    if cell_len(text) <= cells:
        return text
    head = _fitting(text, (cells - 1) // 3)
    tail = _fitting(text[::-1], cells - 1 - cell_len(head))[::-1]
    return f"{head}…{tail}"


def padded(text: str, cells: int) -> str:
    """The text filled with spaces to so many cells, however wide its letters are."""
    return text + " " * (cells - cell_len(text))


def number(n: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def percent(share: float) -> str:
    """A share in [0, 1] in whole percent, with tenths where those say more; never rounded to none or all."""
    if 0 < share < 0.0005:
        return "under 0.1 %"
    if 0.9995 <= share < 1:
        return "over 99.9 %"
    shown = f"{100 * share:.1f}" if share < 0.1 or share >= 0.995 else f"{100 * share:.0f}"
    return f"{shown.removesuffix('.0')} %"


def _suspects(file: FileResult) -> str:
    suspects = [track for track in file.judged if track.verdict == "suspect"]
    unlike = "unlike the real faces this detector knows"
    p = p_text(file.p_value)
    if len(suspects) == 1:
        others = f", allowing for {len(file.judged)} faces judged" if len(file.judged) > 1 else ""
        return f"the face{_when(suspects, file)} is {unlike} ({p}{others})"
    return f"{len(suspects)} of {len(file.judged)} faces judged{_when(suspects, file)} are {unlike} (smallest {p})"


def _nobody(file: FileResult) -> str:
    judged = file.judged
    least = p_text(file.p_value)
    among = "among the faces this detector knows"
    if len(judged) == 1:
        return f"the face{_when(judged, file)} does not stand out {among} ({least})"
    return (
        f"none of {len(judged)} faces judged stands out {among} (smallest {least}, allowing for their number)"
    )


def _left_out(file: FileResult) -> str:
    left = faces_seen(file) - len(file.judged)
    return f"; {number(left, 'more face')} could not be judged" if left else ""


def _when(tracks: Sequence[TrackResult], file: FileResult) -> str:
    """` at 0:00–0:29 and 0:31–0:40` in a video, nothing in a photo."""
    if file.medium != "video":
        return ""
    spans = list(dict.fromkeys(span(track) for track in tracks))
    shown = spans if len(spans) <= 4 else [*spans[:3], "other times"]
    return " at " + " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _unjudged_line(tracks: Sequence[TrackResult], *, video: bool) -> str:
    """Tracks that share their reasons."""
    doubtful = tracks[0].doubtful
    many = number(len(tracks), "doubtful detection" if doubtful else "face")
    reasons = "" if doubtful else f": {reasons_text(tracks[0].reasons)}"
    if not video:
        return many + reasons
    low, high = min(track.seen for track in tracks), max(track.seen for track in tracks)
    long = number(low, "frame") if low == high else f"{low}–{high} frames"
    return f"{many}, {long}{' each' if len(tracks) > 1 else ''}{reasons}"


def _condition(name: str, value: float, domain: Mapping[str, Sequence[float]]) -> str:
    """`sharpness 1.6 (1.1 to 3.2 among the faces calibrated on)`."""
    shown = f"{name} {value:.3g}"
    if name not in domain:
        return shown
    return f"{shown} ({domain[name][0]:.3g} to {domain[name][1]:.3g} among the faces calibrated on)"


def _false_alarms(operating_point: OperatingPoint) -> list[str]:
    rate = percent(operating_point.false_alarm)
    lines = [
        f"False alarms: a file whose faces are all unaltered and like those calibrated on is called suspect with a "
        f"probability of at most {rate}, however many faces it holds.",
        f"Calibrated on {calibrated_text(operating_point)}.",
    ]
    if operating_point.clusters < operating_point.faces:
        lines[-1] += (
            " Faces of one cluster are alike, so that the rate is known less well than their number suggests."
        )
    if shares := operating_point.left_out.values():
        lines.append(
            f"Faces of a source that it does not know: made without one of its {len(shares)} sources of real faces, "
            f"it called {percent(min(shares))} to {percent(max(shares))} of that source's faces suspect, where at most "
            "5 % were promised."
        )
    return lines


def calibrated_text(operating_point: OperatingPoint) -> str:
    """`250 held-out real faces in 54 clusters by identity`."""
    videos = (
        ""
        if operating_point.videos is None
        else f", and on {number(operating_point.videos, 'video')} of them"
    )
    return f"{number(operating_point.faces, 'held-out real face')}{_clusters(operating_point)}{videos}"


def _clusters(operating_point: OperatingPoint) -> str:
    if operating_point.cluster == "face":
        return ", of whom no more is known"
    return f" in {number(operating_point.clusters, 'cluster')} by {operating_point.cluster}"


def _missed(operating_point: OperatingPoint) -> list[str]:
    if not operating_point.missed:
        return [
            "Missed fakes: nothing is known. No fakes were at hand when this detector was calibrated, so that nobody "
            "can say how many pass."
        ]
    chance = percent(1 - operating_point.false_alarm)
    lines = [
        f"Missed fakes: of {number(each.of, 'known fake')} ({printable(method)}) {percent(each.share)} pass at this "
        f"threshold ({each.missed}; guessing would let {chance} pass)."
        for method, each in operating_point.missed.items()
    ]
    return [
        *lines,
        "Missed fakes were measured on single faces of the calibration half; where frames of a video are judged "
        "together this was not measured.",
    ]


def _fitting(text: str, cells: int) -> str:
    """The longest beginning of the text that takes at most so many cells."""
    used = 0
    for at, char in enumerate(text):
        used += cell_len(char)
        if used > cells:
            return text[:at]
    return text
