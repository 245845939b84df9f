"""The examiner's report: everything that such a document needs, and blanks for what is people's."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.report.scans import everything, scan_of, suspect
from verovolto.calibration.thresholds import Missed, share_interval
from verovolto.report.scan_output import LIMITS, build_examiner_report, validation


def test_all_parts_are_there() -> None:
    html = build_examiner_report(everything(), command="verovolto scan 'a b.mp4'").html
    for number, title in enumerate(
        ("Items", "Propositions", "Method", "Validation of the detector", "Findings", "What was not examined", "Limits",
         "To do it again", "Conclusion and signatures"), 1,
    ):  # fmt: skip
        assert f"<h2>{number}. {title}</h2>" in html
    assert "verovolto scan &#39;a b.mp4&#39;" in html and "drawn &lt;b&gt;" in html
    for blank in ("Case", "Question", "Examiner", "Reviewer", "Examiner, date, signature"):
        assert f"<th>{blank}</th><td></td>" in html
    assert all(limit in html.replace("&#39;", "'") for limit in LIMITS)
    assert "243 of 250" in html and "note.txt" in html and "@page" in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)  # it fetches nothing


def test_nobody_is_shown_where_nobody_may_be() -> None:
    shown = build_examiner_report(scan_of(suspect()), command="x").html
    hidden = build_examiner_report(scan_of(suspect()), command="x", hide_faces=True).html
    assert "image/jpeg" in shown and "image/jpeg" not in hidden and "mosaics" in hidden


def test_what_nobody_knows_is_said() -> None:
    assert "nobody knows" in build_examiner_report(scan_of(suspect()), command="x").html
    known = {"swap": Missed(missed=0, of=10)}
    assert (
        "0 % to 31 %, if all were independent"
        in build_examiner_report(scan_of(suspect(), missed=known), command="x").html
    )


def test_the_interval_of_missed_fakes_counts_people() -> None:
    base = scan_of(suspect(), missed={"swap": Missed(missed=50, of=100)}).operating_point
    [alone] = [line for name, line in validation(base) if "swap" in name]
    [grouped] = [line for name, line in validation(replace(base, fake_clusters=10)) if "swap" in name]
    assert "40 % to 60 %, if all were independent" in alone
    assert "19 % to 81 %, of 10 groups of people" in grouped


@pytest.mark.parametrize(("hits", "of"), [(0, 1), (1, 1), (3, 10), (250, 250)])
def test_the_interval_holds_the_share(hits: int, of: int) -> None:
    low, high = share_interval(hits, of)
    assert 0 <= low <= hits / of <= high <= 1
