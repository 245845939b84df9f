"""Work that is kept and continued: folders of one piece of work and of one process, steps done once, arrays in chunks.

Whatever was killed is started again by the same command. A folder states the settings it was begun with and refuses
others; each step leaves its result in a file that appears whole, and is not done again where that file is.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from verovolto import __version__
from verovolto.core.errors import DataError, InputError
from verovolto.core.files import atomic_path, check_out, read_json_object, write_json
from verovolto.core.parallel import run_jobs

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

CHUNK = 64
"""Rows of an array that are computed and kept together."""
LOCK, RESULT = "lock", "result.json"

Value = TypeVar("Value")
Kept = TypeVar("Kept", np.float16, np.float32, np.uint8)
"""What rows consist of, in as few bytes as they need."""
Rows = Callable[[range], NDArray[Kept]]
"""Computes the rows of a range, `[len(range), ...]`; the same whatever was computed before."""


def differences(recorded: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that are recorded otherwise: by name, `1, now 2`."""
    return {
        name: f"{recorded.get(name)}, now {value}"
        for name, value in settings.items()
        if recorded.get(name) != value
    }


def record_or_verify(
    path: Path,
    settings: Mapping[str, Any],
    *,
    what: str = "work of other settings: {}",
    hint: str = "give another folder, or delete it",
    values: bool = False,
) -> None:
    """Record in `path` what the folder's work is made of, or verify that it was recorded so.

    Args:
        path: a JSON file in the folder.
        settings: JSON; keys that are recorded beside these do not matter.
        what: what the folder holds otherwise, `{}` standing for the settings that differ.
        hint: what to do then.
        values: name the values that differ, too.

    Raises:
        InputError: the folder holds other work, or `path` cannot be read.
    """
    if not path.is_file():
        write_json(path, settings)
        return
    if other := differences(read_json_object(path), settings):
        named = (
            "; ".join(f"{name} {values}" for name, values in other.items()) if values else ", ".join(other)
        )
        raise InputError(f"{path.parent} holds {what.format(named)}", hint=hint)


def claim(
    out: Path, name: str, settings: Mapping[str, Any], *, what: str, clear: Callable[[], None] | None = None
) -> None:
    """Make `out` the folder of one piece of work, or go on with it where it is.

    Args:
        out: the folder; a new or empty one is claimed by the file `name`.
        name: the JSON file in it that records the settings.
        settings: JSON.
        what: what the folder is to hold, in words: `a demonstration`.
        clear: deletes earlier work, which is then begun anew, whatever its settings were.

    Raises:
        InputError: `out` cannot be written, holds something else, or was begun with other settings.
    """
    check_out(out)
    record = out / name
    if not record.is_file():
        other = out.exists() and any(not each.name.startswith(f".{name}.") for each in out.iterdir())
        if other and not record.is_file():  # still: another process may claim it for the same work just now
            raise InputError(
                f"{out} is not empty and holds something else than {what}", hint="give a new folder"
            )
    elif clear is not None:
        clear()
        write_json(record, settings)
    record_or_verify(
        record,
        settings,
        what=f"{what} that was begun with other settings: {{}}",
        hint="give the same flags, another --out, or --force to begin anew",
        values=True,
    )


def lock(folder: Path, *, refused: str, hint: str) -> IO[bytes]:
    """Keep other processes out of a folder until what is returned is closed, or the process ends, however it does.

    Args:
        folder: that is there; the file `lock` in it stays.
        refused: what to say where another process has the lock.
        hint: what to do then.

    Raises:
        InputError: another process has it.
    """
    handle = (folder / LOCK).open("wb")
    try:
        _lock(handle)
    except OSError as error:
        handle.close()
        raise InputError(refused, hint=hint) from error
    return handle


def _lock(handle: IO[bytes]) -> None:
    if sys.platform == "win32":
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def compute_once(
    path: Path,
    compute: Callable[[], Value],
    *,
    read: Callable[[Path], Value | None],
    write: Callable[[Value, Path], object],
) -> Value:
    """A value that is computed once and kept in a file.

    Args:
        path: The file.
        compute: Gives the value where there is none to use.
        read: Reads it; None where what the file holds is of no use.
        write: Writes it to the path given, which then becomes `path`.
    """
    if path.is_file() and (kept := read(path)) is not None:
        return kept
    value = compute()
    with atomic_path(path) as part:
        write(value, part)
    return value


def compute_chunks(
    count: int,
    rows: Rows[Kept],
    folder: Path,
    *,
    chunk: int | None = None,
    name: str = "{:07d}.npy",
    what: str = "rows",
    workers: int = 0,
    on_progress: Callable[[int], None] = lambda done: None,
) -> NDArray[Kept]:
    """Rows 0 to `count - 1`, `[count, ...]`, of an array; chunks that lie in `folder` are taken from there.

    Args:
        count: rows, 1 or more.
        rows: computes some; it must pickle where there are workers, who have one thread each.
        folder: where chunks are kept.
        chunk: rows to a file, by default `CHUNK`; a killed run loses those that it was at.
        name: of a chunk's file, by the number of its first row.
        what: the rows, for messages.
        workers: processes; 0 for none but this one.
        on_progress: called with how many more rows are done.

    Raises:
        DataError: a process died twice at one chunk, or a file in the folder is damaged.
    """
    step = chunk or CHUNK
    parts = [range(start, min(start + step, count)) for start in range(0, count, step)]
    paths = {part: folder / name.format(part.start) for part in parts}
    todo = [part for part in parts if not paths[part].exists()]
    on_progress(count - sum(map(len, todo)))
    for finished in run_jobs(todo, _Chunk(rows=rows, folder=folder, name=name), workers=workers):
        if finished.died is not None:
            raise DataError(
                f"no {what} {finished.job.start + 1} to {finished.job.stop} for {folder}: {finished.died}",
                hint="what is done is kept: the same command goes on; try fewer --workers",
            )
        on_progress(len(finished.job))
    return np.concatenate([_read_chunk(paths[part], len(part), what) for part in parts])


@dataclass(frozen=True, kw_only=True)
class _Chunk(Generic[Kept]):
    """Computes a chunk and keeps it in its file; picklable."""

    rows: Rows[Kept]
    folder: Path
    name: str

    def __call__(self, part: range) -> None:
        with atomic_path(self.folder / self.name.format(part.start)) as path, path.open("wb") as file:
            np.save(file, self.rows(part))


def _read_chunk(path: Path, rows: int, what: str) -> NDArray[Any]:
    try:
        chunk = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="delete it and run again") from error
    if len(chunk) != rows:
        raise DataError(f"{path} is no block of {rows} {what}", hint="delete it and run again")
    return np.asarray(chunk)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished step: its folder, its result, and the key of what it was made of."""

    name: str
    folder: Path
    key: str
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps that are done once, a folder each below `folder`."""

    folder: Path

    def take(
        self,
        name: str,
        work: Callable[[Path], dict[str, Any]],
        *,
        inputs: Mapping[str, Any],
        after: tuple[Done, ...] = (),
    ) -> Done:
        """Do `work` in the step's folder, unless a result of the same inputs is there.

        Args:
            name: of the step and its folder.
            work: given the folder, returns what `result.json` keeps. That file is written last, so a step that was
                killed is done again.
            inputs: settings that the step depends on (JSON).
            after: steps whose results it reads; when one of them changes, so does this step's key.
        """
        place = self.folder / name
        made_of = {
            "version": __version__,
            "settings": dict(inputs),
            "after": {done.name: done.key for done in after},
        }
        key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        before = read_json_object(place / RESULT) if (place / RESULT).is_file() else {}
        if before.get("key") == key:
            return Done(name=name, folder=place, key=key, result=before["result"])
        print(f"{name} …", flush=True)
        place.mkdir(parents=True, exist_ok=True)
        result = work(place)
        finish(place / RESULT, {"step": name, "key": key, "made_of": made_of, "result": result})
        return Done(name=name, folder=place, key=key, result=result)

    def has(self, name: str) -> bool:
        """Whether a step of this name was done, of whatever inputs."""
        return (self.folder / name / RESULT).is_file()


def finish(path: Path, value: dict[str, Any]) -> None:
    """Write the result of a step: from now on it is done."""
    write_json(path, value)
