"""Kept work goes on where it was, and is never mixed with other work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verovolto.core.errors import DataError, InputError
from verovolto.core.workdir import Steps, claim, compute_chunks, compute_once, lock, record_or_verify


def test_settings_are_recorded_once_and_verified_afterwards(tmp_path: Path) -> None:
    record = tmp_path / "settings.json"
    record_or_verify(record, {"seed": 1, "size": 8})
    record_or_verify(record, {"seed": 1})
    with pytest.raises(InputError, match=r"holds work of other settings: seed \(give another folder"):
        record_or_verify(record, {"seed": 2, "size": 8})
    with pytest.raises(InputError, match=r"a run with seed 1, now 2; size 8, now 9 "):
        record_or_verify(record, {"seed": 2, "size": 9}, what="a run with {}", values=True)
    record.write_text("[")
    with pytest.raises(InputError, match="not a readable JSON"):
        record_or_verify(record, {"seed": 1})


def test_a_folder_is_claimed_gone_on_with_and_begun_anew(tmp_path: Path) -> None:
    out, cleared = tmp_path / "out", []
    claim(out, "run.json", {"seed": 1}, what="a run")
    (out / "result").touch()
    claim(out, "run.json", {"seed": 1}, what="a run")
    with pytest.raises(InputError, match="a run that was begun with other settings: seed 1, now 2"):
        claim(out, "run.json", {"seed": 2}, what="a run")
    claim(out, "run.json", {"seed": 2}, what="a run", clear=lambda: cleared.append(out))
    assert cleared == [out] and json.loads((out / "run.json").read_text()) == {"seed": 2}


def test_a_folder_is_one_process_s_until_it_ends_or_gives_it_free(tmp_path: Path) -> None:
    said = {"refused": "somebody works here", "hint": "wait"}
    with lock(tmp_path, **said), pytest.raises(InputError, match=r"somebody works here \(wait\)"):
        lock(tmp_path, **said)
    killed = (
        "import os, pathlib, sys; from verovolto.core.workdir import lock;"
        "held = lock(pathlib.Path(sys.argv[1]), refused='', hint=''); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False).returncode == 9
    lock(tmp_path, **said).close()


def test_a_folder_of_other_things_is_refused_and_nothing_of_it_cleared(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(InputError, match="not empty and holds something else than a run"):
        claim(tmp_path, "run.json", {}, what="a run", clear=lambda: pytest.fail("cleared"))


def test_a_value_is_computed_where_there_is_none_to_use(tmp_path: Path) -> None:
    path, computed = tmp_path / "value", []

    def get(least: int) -> int:
        return compute_once(
            path,
            lambda: computed.append(least) or least,  # type: ignore[func-returns-value]
            read=lambda kept: value if (value := int(kept.read_text())) >= least else None,
            write=lambda value, part: part.write_text(str(value)),
        )

    assert [get(3), get(2), get(4), get(4)] == [3, 3, 4, 4] and computed == [3, 4]


@pytest.mark.parametrize("killed_at", [0, 1, 2])
def test_chunks_go_on_where_they_were(tmp_path: Path, killed_at: int) -> None:
    def rows(part: range) -> np.ndarray:
        if part.start == 4 * killed_at and not (tmp_path / "second").exists():
            raise KeyboardInterrupt
        return np.arange(part.start, part.stop, dtype=np.float32)[:, None]

    done: list[int] = []
    given: dict[str, Any] = {"chunk": 4, "name": "part-{:02d}.npy"}
    with pytest.raises(KeyboardInterrupt):
        compute_chunks(10, rows, tmp_path, **given)
    (tmp_path / "second").touch()
    array = compute_chunks(10, rows, tmp_path, **given, on_progress=done.append)
    assert array[:, 0].tolist() == list(range(10)) and array.dtype == np.float32
    assert done[0] == 4 * killed_at and sum(done) == 10
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == [
        "part-00.npy",
        "part-04.npy",
        "part-08.npy",
    ]


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    compute_chunks(6, lambda part: np.zeros(len(part), np.uint8), tmp_path, chunk=4)
    last = tmp_path / "0000004.npy"
    np.save(last, np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"0000004\.npy is no block of 2 rows"):
        compute_chunks(6, lambda part: np.zeros(len(part), np.uint8), tmp_path, chunk=4)
    last.write_bytes(last.read_bytes()[:20])
    with pytest.raises(DataError, match=r"0000004\.npy cannot be read"):
        compute_chunks(6, lambda part: np.zeros(len(part), np.uint8), tmp_path, chunk=4)


def test_a_step_is_done_again_when_what_it_is_made_of_changes(tmp_path: Path) -> None:
    steps, done = Steps(folder=tmp_path), []

    def take(first: int, second: int) -> None:
        def work(folder: Path) -> dict[str, Any]:
            done.append(folder.name)
            return {}

        before = steps.take("first", work, inputs={"seed": first})
        steps.take("second", work, inputs={"seed": second}, after=(before,))

    take(1, 1)
    take(1, 1)
    assert done == ["first", "second"]
    take(1, 2)
    assert done[2:] == ["second"]
    take(2, 2)
    assert done[3:] == ["first", "second"]
