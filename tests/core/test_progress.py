"""Progress is shown on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import pytest

from verovolto.core.progress import LINE_EVERY, ProgressDisplay, track


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_lines_are_sparse(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with ProgressDisplay(get_time=clock) as progress:
        on_progress = progress.task("scoring", 3000)
        for _ in range(3000):
            clock.now += 0.05
            on_progress(1)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert not out and len(lines) == 150 // LINE_EVERY
    assert lines[0] == "scoring: 601 of 3,000, 20/s, 0:02:00 left"
    assert lines[-1] == "scoring: 3,000 of 3,000, 20/s, took 0:02:30"


@pytest.mark.parametrize("total", [10, None])
def test_what_is_short_prints_nothing(capsys: pytest.CaptureFixture[str], total: int | None) -> None:
    clock = Clock()
    with ProgressDisplay(get_time=clock) as progress:
        number = progress.add_task("scanning", total=total)
        for done in range(11):
            clock.now += 1
            progress.update(number, completed=done)
    assert capsys.readouterr() == ("", "")


def test_what_was_done_before_does_not_count_as_speed(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with ProgressDisplay(get_time=clock) as progress:
        number = progress.add_task("training", total=1000)
        progress.advance(number, 900)
        for done in range(10):
            clock.now += 10
            progress.update(number, completed=901 + done, note="loss 7")
    assert "training: 903 of 1,000, 0.10/s, 0:16:10 left, loss 7" in capsys.readouterr().err


def test_items_come_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), "letters")) == list(track("abc", "letters", quiet=True)) == list("abc")
    assert capsys.readouterr() == ("", "")
