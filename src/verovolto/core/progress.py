"""The one display of progress: what is done of how many, how fast, and the time left, on standard error.

Work that takes a while gets an `OnProgress`, or a `Task` where it consists of several counts, and knows nothing of
the display:

    with ProgressDisplay() as progress:
        convert(faces, on_progress=progress.task("converting", len(faces)))

Without a terminal there is a plain line now and then. Work whose count is known as a whole uses `progress.add_task`
and `progress.update(number, completed=..., total=..., note="loss 12")`; `note` stands at the end of the line.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from datetime import timedelta
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as _RichTask

LINE_EVERY = 30.0
"""Seconds between the lines that are printed where there is no terminal."""

OnProgress = Callable[[int], None]
"""Called with how many more are done."""
Task = Callable[[str, int], OnProgress]
"""Opens a count by its name and length."""
_Item = TypeVar("_Item")


class ProgressDisplay(Progress):
    """The display, a context manager; a line for each task.

    Args:
        lines: print lines where there is no terminal.
        get_time: the clock, seconds.
    """

    def __init__(self, *, lines: bool = True, get_time: Callable[[], float] | None = None) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        super().__init__(
            *columns,
            console=console,
            get_time=get_time,
            speed_estimate_period=60,
            disable=not console.is_terminal,
        )
        self._lines = lines and not console.is_terminal
        self._next_line: dict[TaskID, float] = {}
        self._shown: set[TaskID] = set()

    def stop(self) -> None:
        """See `rich.progress.Progress.stop`; where nothing is shown, no empty line either, as rich 14 prints."""
        if not self.disable:
            super().stop()

    def task(self, name: str, total: int) -> OnProgress:
        """Open a count; a `Task`."""
        number = self.add_task(name, total=total)
        return lambda done: self.advance(number, done)

    def add_task(self, description: str, *args: Any, **fields: Any) -> TaskID:
        """See `rich.progress.Progress.add_task`."""
        return super().add_task(description, *args, **{"note": "", **fields})

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Count on by `advance`."""
        super().advance(task_id, advance)
        self._line(task_id)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Set what is done or the total; see `rich.progress.Progress.update`."""
        super().update(task_id, **changes)
        self._line(task_id)

    def _line(self, task_id: TaskID) -> None:
        """Print a line where it is time for one, and at the end of what had any."""
        if not self._lines:
            return
        now, task = self.get_time(), self._tasks[task_id]
        due = self._next_line.setdefault(task_id, now + LINE_EVERY)
        ended = task.finished and task_id in self._shown
        if now < due and not ended:
            return
        (self._shown.discard if ended else self._shown.add)(task_id)
        self._next_line[task_id] = math.inf if task.finished else now + LINE_EVERY
        print(_text(task), file=sys.stderr, flush=True)


def track(items: Iterable[_Item], name: str, *, quiet: bool = False) -> Iterator[_Item]:
    """Yield `items` and show how many are done."""
    if quiet:
        yield from items
        return
    with ProgressDisplay() as progress:
        number = progress.add_task(name, total=len(items) if isinstance(items, Sized) else None)
        for item in items:
            yield item
            progress.advance(number)


class _Rate(ProgressColumn):
    def render(self, task: _RichTask) -> str:
        return _rate(task)


def _rate(task: _RichTask) -> str:
    speed = task.finished_speed or task.speed
    return f"{speed:,.{0 if speed >= 10 else 2}f}/s" if speed else ""


def _text(task: _RichTask) -> str:
    """`converting: 1,200 of 5,000, 85/s, 0:00:45 left`."""
    of = "" if task.total is None else f" of {task.total:,.0f}"
    parts = [f"{task.description}: {int(task.completed):,}{of}", _rate(task)]
    if task.finished:
        parts.append(f"took {timedelta(seconds=round(task.elapsed or 0))}")
    elif task.time_remaining is not None:
        parts.append(f"{timedelta(seconds=round(task.time_remaining))} left")
    return ", ".join(part for part in (*parts, task.fields["note"]) if part)
