"""What is said of a scan follows from it, and never clears anybody."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.report import scans
from verovolto.calibration.thresholds import Missed
from verovolto.faces.crop import NO_FACE, TOO_BLURRED, TOO_SMALL, UNCERTAIN
from verovolto.report import scan_text as words
from verovolto.scanning.result import OUTSIDE_DOMAIN, VERDICTS, FileResult, OperatingPoint, Scan, Verdict

_CLAIMED = (
    "real|genuine|authentic|trustworthy|original|unmanipulated|unaltered|untouched|not (?:a )?(?:deep)?fake"
)
CLAIM = re.compile(
    rf"\b(?:is|are|was|were|be|been|looks?|seems?|appears?|as|proven?|verified|confirmed|probably|likely|surely) "
    rf"(?:to be |an? |the |probably |likely )*(?:{_CLAIMED})(?! faces)\b|\bauthenticity\b|\bpassed the\b",
    re.IGNORECASE,
)
"""Wording that would clear a face."""


def unproven(text: str) -> bool:
    """Whether the text clears nobody; the sentence that says so itself, and that of the promise, are left out."""
    return CLAIM.search(text.replace(words.CLOSING, "").replace("are all unaltered and like", "")) is None


@pytest.mark.parametrize(
    "claim",
    ["The face is real.", "this video looks authentic", "are genuine", "is likely real", "is not fake"],
)
def test_a_claim_would_be_found(claim: str) -> None:
    assert not unproven(claim)


REASONS = (TOO_SMALL, TOO_BLURRED, UNCERTAIN, f"{OUTSIDE_DOMAIN}: sharpness below x")
p_values = st.floats(1e-5, 1.0)
Face = tuple[Verdict | None, float, int, str]
Drawn = tuple[list[Face], bool, bool, bool]
faces = st.tuples(st.sampled_from([*VERDICTS, None]), p_values, st.integers(1, 4), st.sampled_from(REASONS))
results = st.tuples(st.lists(faces, max_size=4), st.booleans(), st.booleans(), st.booleans())


def made(drawn: Drawn) -> FileResult:
    """A medium with faces of these verdicts (None: not judged), a video, damaged, or not readable at all."""
    people, video, damaged, broken = drawn
    if broken and damaged:
        return scans.unreadable("a.mp4")
    tracks = []
    for number, (verdict, p, frames, reason) in enumerate(people):
        if verdict is None:
            tracks.append(scans.unjudged(number, reason, seen=frames))
            continue
        track = scans.judged(number, p, verdict=verdict, frames=frames, pictures=0, people=2)
        tracks.append(replace(track, reasons=(reason,) if verdict == "cannot tell" else ()))
    return scans.medium("a.mp4", *tracks, video=video, damage=("frames are missing",) if damaged else ())


def all_words(scan: Scan) -> list[str]:
    said = [
        *words.operating_point_lines(scan.operating_point),
        words.counts_line(scan),
        *words.text_result(scan),
    ]
    for one in scan.files:
        said += [
            words.headline(one),
            words.damage_line(one) or "",
            words.facts(one),
            *words.unjudged_lines(one),
        ]
        for track in one.judged:
            said += words.track_lines(track, one, scan.operating_point, {"sharpness": (1.0, 2.0)})
    return said


@given(st.lists(results, max_size=4), st.booleans())
def test_nobody_is_cleared(media: list[Drawn], known: bool) -> None:
    scan = scans.scan_of(*map(made, media), missed={"swap": Missed(missed=1, of=4)} if known else {})
    for line in all_words(scan):
        assert unproven(line), line


@given(results)
def test_the_headline_begins_with_the_verdict(drawn: Drawn) -> None:
    medium = made(drawn)
    head = words.headline(medium)
    assert head.startswith(f"{words.verdict_of(medium)}: ") and not head.endswith(": ")
    assert "\n" not in head
    if medium.verdict in ("suspect", "no sign found"):
        assert words.p_text(medium.p_value) in head


def test_headlines() -> None:
    unlike = "unlike the real faces this detector knows"
    assert words.headline(scans.suspect()) == f"suspect: the face at 0:00–0:03 is {unlike} (p = 0.012)"
    two = scans.medium(
        "a.mp4",
        scans.judged(0, 0.01, verdict="suspect", people=3),
        scans.judged(1, 0.011, verdict="suspect", people=3, frames=20),
        scans.judged(2, 0.7, people=3),
    )
    assert words.headline(two) == (
        f"suspect: 2 of 3 faces judged at 0:00–0:03 and 0:00–0:10 are {unlike} (smallest p = 0.03)"
    )
    one_of = scans.medium("a.png", two.tracks[0], two.tracks[2], video=False)
    assert words.headline(one_of) == (
        f"suspect: the face is {unlike} (p = 0.03, allowing for 2 faces judged)"
    ), "a photo has no times"
    with_small = scans.medium(
        "a.mp4", scans.judged(), scans.unjudged(1, TOO_SMALL), scans.unjudged(2, UNCERTAIN)
    )
    assert words.headline(with_small).endswith("(p = 0.4); 1 more face could not be judged")
    assert words.headline(scans.small()) == "cannot tell: too small"
    assert words.headline(scans.medium("a.mp4")) == f"cannot tell: {NO_FACE}"
    assert words.headline(scans.unreadable("a")) == "not scanned: a text file, not a photo or a video"


def test_damage_is_told_where_something_was_judged() -> None:
    torn = scans.medium("a.mp4", scans.judged(), damage=("12 of 40 frames are missing",))
    assert (
        words.damage_line(torn) == "Damaged: 12 of 40 frames are missing. What could be decoded was judged."
    )
    assert words.damage_line(scans.ordinary()) is None and words.damage_line(scans.unreadable("a")) is None


def test_the_rule_is_told() -> None:
    several, operating_point = scans.judged(frames=6), scans.operating_point()
    assert "twice the mean of the p-values of its 6 judged frames" in words.rule_line(
        several, operating_point, 1
    )
    assert "times" not in words.rule_line(several, operating_point, 1)
    assert "times 3, the number of faces judged" in words.rule_line(several, operating_point, 3)
    assert "one face was judged" in words.rule_line(scans.judged(frames=1), operating_point, 1)
    videos = words.rule_line(replace(several, rule="videos"), replace(operating_point, videos=120), 1)
    assert "120 held-out videos" in videos


def test_what_is_promised_and_what_is_not() -> None:
    none = words.operating_point_lines(scans.operating_point())
    assert "at most 5 %" in none[0] and "199 held-out real faces in 40 clusters by identity" in none[1]
    assert none[-1].startswith("Missed fakes: nothing is known.")
    known = words.operating_point_lines(
        scans.operating_point({"swap": Missed(missed=243, of=250), "other": Missed(missed=1, of=2)})
    )
    assert (
        "of 250 known fakes (swap) 97 % pass at this threshold (243; guessing would let 95 % pass)"
        in known[2]
    )
    assert "of 2 known fakes (other) 50 % pass" in known[3]
    assert "single faces" in known[4] and "was not measured" in known[4]
    loose = replace(scans.operating_point(), cluster="face", clusters=199, videos=12)
    assert "of whom no more is known, and on 12 videos" in words.operating_point_lines(loose)[1]


def test_what_was_flagged_of_sources_left_out_is_said() -> None:
    metadata = {"left_out": {"a": {"share": 0.031}, "b": {"share": 0.1}}}
    point = OperatingPoint.of(scans.KNOWN, 0.05, metadata)
    assert point.to_dict()["left_out"] == {"a": 0.031, "b": 0.1}
    (line,) = [each for each in words.operating_point_lines(point) if "does not know" in each]
    assert (
        "without one of its 2 sources of real faces, it called 3.1 % to 10 % of that source's faces suspect"
        in line
    )
    assert not any(
        "does not know" in each for each in words.operating_point_lines(OperatingPoint.of(scans.KNOWN, 0.05))
    )


def test_counts() -> None:
    assert words.counts_line(scans.everything()) == (
        "1 suspect, 3 no sign found, 2 cannot tell, 1 not scanned, of 7 files"
    )
    assert words.counts_line(scans.scan_of(scans.suspect())) == "1 suspect, of 1 file"


def test_tracks_that_were_not_judged_are_counted_by_kind() -> None:
    assert words.unjudged_lines(scans.small()) == [
        "1 face, 3 frames: too small",
        "2 doubtful detections, 1–2 frames each",
    ]
    photo = scans.medium("a.png", scans.unjudged(0, UNCERTAIN), scans.unjudged(1, UNCERTAIN), video=False)
    assert words.unjudged_lines(photo) == ["2 doubtful detections"]


def test_reasons_of_one_kind_share_its_name() -> None:
    said = words.reasons_text(["domain: too dark", "too small", "domain: too sharp", "domain: too dark"])
    assert said == "domain: too dark, too sharp; too small"


@given(p_values)
def test_p_values_are_never_shown_as_rarer_than_they_are(p: float) -> None:
    shown = float(words.p_figure(p))
    assert p * (1 - 1e-6) <= shown <= min(1.0, p * 1.11)


@pytest.mark.parametrize(
    ("p", "shown"),
    [(1.0, "1"), (0.05, "0.05"), (0.0501, "0.051"), (0.28345, "0.284"), (0.1, "0.1"), (0.001, "0.001")],
)
def test_p_values_in_words(p: float, shown: str) -> None:
    assert words.p_figure(p) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0 %"), (1e-5, "under 0.1 %"), (0.05, "5 %"), (0.005, "0.5 %"), (0.5, "50 %"), (0.996, "99.6 %"),
     (0.9999, "over 99.9 %"), (1, "100 %")],
)  # fmt: skip
def test_shares_are_not_rounded_to_none_or_all(share: float, shown: str) -> None:
    assert words.percent(share) == shown


@pytest.mark.parametrize(
    ("seconds", "tenths", "shown"),
    [(29.6, False, "0:29"), (3723.0, False, "1:02:03"), (59.97, True, "1:00.0"), (0.5, True, "0:00.5")],
)
def test_clock(seconds: float, tenths: bool, shown: str) -> None:
    assert words.clock(seconds, tenths) == shown


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_the_table_is_aligned_and_steers_no_terminal(paths: list[str]) -> None:
    scan = scans.scan_of(*(scans.ordinary(path, pictures=0) for path in paths))
    title, *lines = words.text_table(scan)
    place = title.index("verdict")
    for line in lines:
        assert line.isprintable()
        before, after = line.split("no sign found", 1) if "no sign found" not in line[:5] else ("", line)
        assert cell_len(before) == place and after.split() == ["0.4", "1/1"]


def test_the_table_says_why() -> None:
    lines = words.text_table(scans.everything())
    assert [line.split()[0] for line in lines] == [
        "file", "plain.mp4", "odd.mp4", "small.mp4", "note.txt", "empty.mp4", "still.png", "torn.mp4",
    ]  # fmt: skip
    assert lines[3].endswith("0/1    too small") and lines[4].endswith("a text file, not a photo or a video")
    assert "12 of 40 frames are missing" in lines[7] and lines[2].endswith("1/1")


def test_wide_names_are_aligned() -> None:
    lines = words.text_table(
        scans.scan_of(scans.ordinary("顔の動画.mp4"), scans.ordinary("e\u0301t\u0301e.mp4"))
    )
    assert len({cell_len(line[: line.index("no sign")]) for line in lines[1:]}) == 1


@given(st.text(), st.integers(8, 60))
def test_long_names_lose_their_middle(text: str, cells: int) -> None:
    name = words.printable(text)
    short = words.shortened(name, cells)
    assert cell_len(short) <= cells
    if short != name:
        head, tail = short.split("…", 1) if "…" not in name else (short[0], short[-1])
        assert name.startswith(head) and name.endswith(tail)


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\nb", "gpj.\u202eexe", "\udcff", "\x00", "\r"])
def test_hostile_names_are_written_out(hostile: str) -> None:
    shown = words.printable(hostile)
    assert shown.isprintable() and "\\" in shown
    shown.encode("utf-8")


def test_the_text_ends_with_what_it_does_not_say() -> None:
    scan = scans.everything()
    text = words.text_result(scan)
    assert text[: len(scan.files) + 1] == words.text_table(scan) and text[-1] == words.CLOSING
    assert set(words.operating_point_lines(scan.operating_point)) <= set(text) and words.P_MEANING in text


def test_where_nothing_was_scanned_nothing_is_promised() -> None:
    scan = replace(
        scans.everything(), files=(scans.unreadable("a.mp4"), scans.unreadable("b.jpg")), not_reached=0
    )
    assert words.text_result(scan) == [*words.text_table(scan), "", "2 not scanned, of 2 files"]
