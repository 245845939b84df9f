"""The page of a scan is whole, self-contained and escaped; hidden faces are hidden, and nobody is cleared."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.report import scans
from tests.report.test_scan_text import Drawn, made, results, unproven
from verovolto.report import scan_page
from verovolto.report.html import CELL, MOSAIC, Page
from verovolto.report.scan_page import FILES, TONES, TRACKS, build_scan_page, by_severity, timeline, with_gaps
from verovolto.report.scan_text import CLOSING, UNREADABLE
from verovolto.scanning.result import VERDICTS, FileResult, Scan

COMMAND = "verovolto scan 'a b' --report out"


def built(*media: FileResult, hide: bool = False) -> Page:
    return build_scan_page(scans.scan_of(*media), command=COMMAND, hide_faces=hide)


def text_of(html: str) -> str:
    """What a reader sees."""
    bare = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def pictures(html: str, kind: str = "context|strip") -> list[np.ndarray]:
    """The pictures of faces on the page, `[h, w, 3]` each; timelines are no such pictures."""
    alts = {
        "context": "The frame with the face marked",
        "strip": "Crop and anomaly map",
        "timeline": "Score of every",
    }
    wanted = "|".join(alts[one] for one in kind.split("|"))
    found = re.findall(rf'src="data:image/\w+;base64,([^"]+)" alt="(?:{wanted})', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in found]


def colours(image: np.ndarray) -> int:
    return len(np.unique(image.reshape(-1, 3), axis=0))


def sections(html: str) -> list[str]:
    """The names of the media that have a section, in order."""
    return [unescape(one) for one in re.findall(r'<h3 class="name">(.*?)</h3>', html)]


def test_a_full_page(tmp_path: Path) -> None:
    page = build_scan_page(scans.everything(), command=COMMAND)
    report = page.write(tmp_path / "out")
    html = report.read_text(encoding="utf-8")
    assert html == page.html and {one.stem for one in (tmp_path / "out" / "figures").iterdir()} == set(
        page.figures
    )
    assert sections(html) == ["odd.mp4", "plain.mp4", "still.png", "torn.mp4", "small.mp4", "empty.mp4"]
    text = text_of(html)
    for said in (
        "1 suspect, 3 no sign found, 2 cannot tell, 1 not scanned, of 7 files",
        "Suspect: the face at 0:00–0:03 is unlike the real faces",
        "Cannot tell: too small",
        "Cannot tell: no face found",
        "12 of 40 frames are missing",
        "of 250 known fakes (method not recorded) 97 % pass",
        "note.txt a text file, not a photo or a video",
        "Not judged: 1 face, 3 frames: too small; 2 doubtful detections, 1–2 frames each.",
        "sharpness 1.5 (1 to 3 among the faces calibrated on)",
        "drawn <b>",
        "scale 1.3",
        COMMAND,
        CLOSING,
    ):
        assert said in text, said
    assert len(pictures(html, "context")) == len(pictures(html, "strip")) == 2 + 2 + 2 + 1


def test_nothing_is_fetched() -> None:
    html = build_scan_page(scans.everything(), command=COMMAND).html
    assert re.findall(r'(?:src|href)="(?!data:image/(?:png|jpeg);base64,|#)', html) == []
    assert "url(" not in html and "@import" not in html and "<script" not in html and "http" not in html
    anchors = re.findall(r'href="#([^"]+)"', html)
    assert anchors and all(html.count(f'id="{one}"') == 1 for one in anchors)


@settings(max_examples=25)
@given(st.lists(results, max_size=3))
def test_nobody_is_cleared(media: list[Drawn]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_page, "timeline", lambda *given: b"png")  # drawing takes long, and says nothing
        text = text_of(built(*map(made, media)).html)
    assert unproven(text) and CLOSING in text


def test_no_verdict_is_green() -> None:
    assert set(TONES) == {*VERDICTS, UNREADABLE}
    html = built(scans.ordinary()).html
    assert "good" not in re.findall(r'class="([^"]+)"', html)
    assert '<section class="verdict nosign">' in html


@pytest.mark.parametrize(
    "path", ["<script>alert(1)</script>.mp4", '"><img src=x onerror=y>.png', "{{ 7*7 }}.jpg"]
)
def test_hostile_names_are_escaped(path: str) -> None:
    page = built(scans.ordinary(path), replace(scans.unreadable(path), problems=(path,)), scans.small(path))
    assert "<script" not in page.html and "<img src=x" not in page.html
    assert text_of(page.html).count(path) == 6, "in the table, its sections, and with its problem"


def test_names_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    page = build_scan_page(scans.scan_of(scans.ordinary("a\udcff\u202e.mp4")), command="scan a\udcff.mp4")
    assert "a\\udcff\\u202e.mp4" in page.write(tmp_path).read_text(encoding="utf-8")


def test_hidden_pictures_show_nobody() -> None:
    media = (scans.suspect(), scans.medium("still.png", scans.judged(frames=1), video=False))
    clear, hidden = built(*media), built(*media, hide=True)
    tiles = MOSAIC**2
    contexts, strips = pictures(hidden.html, "context"), pictures(hidden.html, "strip")
    assert len(contexts) == len(pictures(clear.html, "context")) > 0 and len(strips) == len(contexts)
    assert all(colours(one) <= tiles + 2 for one in contexts), "tiles, and the two colours of the box"
    assert all(colours(one) <= 3 * tiles + 1 for one in strips), (
        "tiles of crop, map and both, and the white between"
    )
    for cell in (strip[:, at * (CELL + 4) :][:, :CELL] for strip in strips for at in range(3)):
        assert colours(cell) <= tiles
    shown = set(re.findall(r"base64,([^\"]+)", clear.html)) & set(re.findall(r"base64,([^\"]+)", hidden.html))
    assert len(shown) == 1, "the timeline alone is the same on both"
    assert "hidden behind a mosaic" in hidden.html and "hidden behind a mosaic" not in clear.html
    assert all(colours(one) > 500 for one in pictures(clear.html)), "the pictures were worth hiding"


def test_the_face_is_marked() -> None:
    [context] = pictures(built(scans.suspect(pictures=1), hide=True).html, "context")
    orange = (context == scan_page._BOX).all(axis=2)
    rows, columns = np.flatnonzero(orange.any(axis=1)), np.flatnonzero(orange.any(axis=0))
    assert (rows[0], rows[-1]) == (10, 70) and columns[-1] == 60, "as the box says, cut at the border"


def test_anomaly_maps_of_a_medium_share_a_scale() -> None:
    faint, strong = scans.judged(0, 0.2, level=0.1, pictures=1), scans.judged(1, 0.3, level=1.0, pictures=1)
    together = pictures(built(scans.medium("a.mp4", faint, strong)).html, "strip")
    alone = pictures(built(scans.medium("a.mp4", faint)).html, "strip")
    anomaly_map = slice(CELL + 4, 2 * CELL + 4)
    assert together[0][:, anomaly_map].mean() < together[1][:, anomaly_map].mean() / 2
    assert alone[0][:, anomaly_map].mean() > together[0][:, anomaly_map].mean() * 2


def test_a_detector_without_maps_shows_crops_alone() -> None:
    [strip] = pictures(built(scans.suspect(pictures=1, anomaly_map=False)).html, "strip")
    assert strip.shape == (CELL, CELL, 3)


def test_without_pictures_there_are_words() -> None:
    html = built(scans.suspect(pictures=0)).html
    assert pictures(html) == [] and "twice the mean" in html


@pytest.mark.parametrize(
    "media",
    [
        (),
        (scans.unreadable("a"),),
        (scans.unreadable("a"), scans.unreadable("b")),
        (scans.medium("a.mp4"),),
        (scans.small(),),
        (scans.medium("a.png", scans.judged(frames=1), video=False),),
        (replace(scans.medium("a.mp4"), width=None, height=None, duration_s=None, frames=0),),
    ],
    ids=["nothing", "unreadable", "all unreadable", "no face", "not judged", "a photo", "no frames"],
)
def test_little_is_shown_too(media: tuple[FileResult, ...], tmp_path: Path) -> None:
    page = built(*media)
    text = text_of(page.write(tmp_path).read_text())
    assert page.figures == {} and not (tmp_path / "figures").exists()
    assert CLOSING in text and all(one.path in text for one in media)
    assert len(sections(page.html)) == sum(one.verdict is not None for one in media)
    assert ("Not scanned" in text) == any(one.verdict is None for one in media)


def test_timelines_are_of_videos_with_two_judged_frames() -> None:
    still = scans.medium("a.png", scans.judged(0, frames=1), scans.judged(1, frames=1), video=False)
    short = scans.medium("b.mp4", scans.judged(0, frames=1), scans.judged(1, frames=1))
    outside = scans.judged(0, frames=3)
    outside = replace(
        outside, p_value=None, p_adjusted=None, rule=None, verdict="cannot tell", reasons=("dark",)
    )
    assert built(still, short).figures == {}
    page = built(still, short, scans.suspect(frames=2), scans.medium("c.mp4", outside))
    assert list(page.figures) == ["timeline_01", "timeline_04"], "named by their place; what scored is drawn"
    assert len(pictures(page.html, "timeline")) == 2


def test_a_timeline_breaks_where_nobody_was_seen() -> None:
    track = scans.judged(frames=8)
    gone = replace(track, frame_scores=(*track.frame_scores[:3], *track.frame_scores[7:]))
    times, scores = with_gaps(gone)
    assert np.isnan(times).tolist() == np.isnan(scores).tolist() == [False] * 3 + [True, False]
    assert not np.isnan(with_gaps(track)[0]).any() and len(with_gaps(scans.judged(frames=1))[0]) == 1


def test_many_tracks_are_drawn() -> None:
    tracks = [scans.judged(number, frames=2, pictures=0) for number in range(30)]
    drawn = timeline(tracks, scans.operating_point(), 8.0)
    assert Image.open(io.BytesIO(drawn)).size[0] > 800
    assert timeline(tracks, scans.operating_point(), 8.0) == drawn, "the same bytes"
    assert timeline(tracks[:1], scans.operating_point()) != drawn


def test_the_likeliest_tracks_are_shown_and_the_rest_counted() -> None:
    p_values = np.random.default_rng(0).permutation(np.linspace(0.02, 0.9, TRACKS + 3))
    face_pool = [scans.judged(number, p, pictures=1, frames=1) for number, p in enumerate(p_values)]
    html = built(scans.medium("crowd.png", *face_pool, video=False)).html
    shown = [int(one) for one in re.findall(r"<h4>Face (\d+)", html)]
    assert shown == list(np.argsort(p_values))[:TRACKS] and len(pictures(html, "strip")) == TRACKS
    assert "3 more faces judged, not shown here, with larger p-values (0.775 to 0.9 each on its own)" in html


def test_a_thousand_media() -> None:
    faces = [scans.judged(0, (i + 1) / 1001, frames=1, pictures=1) for i in range(998)]
    media = [scans.medium(f"{i}.png", face, video=False) for i, face in enumerate(faces)]
    media += [scans.suspect("odd.mp4", frames=1, pictures=1), scans.small()]
    html = built(*media).html
    assert sections(html) == ["odd.mp4", *(f"{i}.png" for i in range(FILES - 1))]
    assert len(pictures(html)) == 2 * FILES
    assert html.count('<tr><td class="long">') == 1000
    assert f"Pictures are shown for the first {FILES} files of this table only" in html


@given(st.lists(results, max_size=8))
def test_the_gravest_come_first(drawn: list[Drawn]) -> None:
    media = [*map(made, drawn)]
    graded = by_severity(media)
    places = [VERDICTS.index(one.verdict) for one in graded if one.verdict is not None]
    assert places == sorted(places) and len(places) == sum(one.verdict is not None for one in media)
    for verdict in VERDICTS:
        p = [one.p_value for one in graded if one.verdict == verdict and one.p_value is not None]
        assert p == sorted(p)


def test_a_scan_that_was_stopped_says_so() -> None:
    scan = replace(scans.scan_of(scans.ordinary()), not_reached=3)
    text = text_of(build_scan_page(scan, command=COMMAND).html)
    assert "Scan of 4 files" in text and "1 no sign found, 3 not reached, of 4 files" in text
    assert "stopped before its end: 3 files were not looked at" in text


def test_the_same_scan_gives_the_same_page() -> None:
    scan: Scan = scans.everything()
    assert build_scan_page(scan, command=COMMAND) == build_scan_page(scan, command=COMMAND)
