"""Kept scans go on after a kill: nothing twice, nothing lost, in whatever pieces they are made."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import full_disk
from tests.faces.bright import POISON, BrightSquares, clip
from tests.scanning import drawn
from tests.scanning.drawn import BrightScanner, film, network, photo, walk
from verovolto.core.errors import InputError
from verovolto.scanning import parts, run
from verovolto.scanning.parts import Parts, file_of, operating_point_of
from verovolto.scanning.request import Shard
from verovolto.scanning.result import Scan
from verovolto.scanning.run import scan_files
from verovolto.scanning.to_folder import Kept, count_kept, read_scan, scan_to_folder

Keep = Callable[..., Kept]
OPTIONS = ("shard", "workers", "execute", "on_progress")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    network().save(folder)
    return folder


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Six files: a video, four photos, two of them of the same bytes, and one that is nothing."""
    folder = tmp_path / "media"
    folder.mkdir()
    film(folder / "1.mp4", walk(6))
    for number in (2, 3, 4):
        photo(folder / f"{number}.png", [(4 + number, 4, 30), (50, 30, 40)])
    (folder / "5.mp4").write_text("no video")
    (folder / "6.png").write_bytes((folder / "2.png").read_bytes())
    return folder


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch, detector: Path, tmp_path: Path) -> Keep:
    """Scan for squares into a folder; `looked` lists what was opened."""
    monkeypatch.setattr(run, "open_detector", lambda name: BrightSquares())

    def kept(*paths: Path, out: Path = tmp_path / "out", **given: Any) -> Kept:
        options = {name: given.pop(name) for name in tuple(given) if name in OPTIONS}
        settings = drawn.settings(**given)
        return scan_to_folder(detector, paths, out, settings, **{"workers": 0, **options})

    return kept


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded."""
    seen: list[str] = []
    real = run.scan_file

    def noted(path: Path, *rest: Any, **given: Any) -> Any:
        seen.append(path.name)
        return real(path, *rest, **given)

    monkeypatch.setattr(run, "scan_file", noted)
    return seen


def files_of(scan: Scan) -> list[dict[str, Any]]:
    return [file.to_dict() for file in scan.files]


def test_what_is_kept_is_what_a_scan_says(
    keep: Keep, media: Path, detector: Path, tmp_path: Path, looked: list[str]
) -> None:
    whole = scan_files(detector, [media], drawn.settings())
    looked.clear()
    assert keep(media) == Kept(files=6, already=0, failed=1)
    assert looked == ["1.mp4", "2.png", "3.png", "4.png", "5.mp4"], (
        "of two files of the same bytes one is scanned"
    )
    found = read_scan(tmp_path / "out")
    values, wanted = found.to_dict(), whole.to_dict()
    for each in (values, wanted):
        del each["run"], each["digest"], each["detector"]["path"]
    assert values == wanted and not found.complete
    assert [file_of(file).to_dict() for file in wanted["media"]] == wanted["media"]
    assert operating_point_of(wanted["promise"]).to_dict() == wanted["promise"]


def test_rows_have_what_people_ask_for(keep: Keep, media: Path, tmp_path: Path) -> None:
    keep(media)
    rows = Parts(folder=tmp_path / "out").table().to_pylist()
    assert [Path(row["path"]).name for row in rows] == [f"{number}.{'mp4' if number in (1, 5) else 'png'}"
                                                        for number in range(1, 7)]  # fmt: skip
    video, bad, copy = rows[0], rows[4], rows[5]
    result = json.loads(video["result"])
    assert (video["medium"], video["frames"], video["faces"], video["error"]) == ("video", 6, 1, None)
    assert video["score"] == result["tracks"][0]["score"] and video["p_value"] == result["p_value"]
    assert video["seconds"] > 0 and video["sha256"] == result["sha256"]
    assert bad["status"] == "unreadable" and "text file" in bad["error"] and bad["verdict"] is None
    assert copy["sha256"] == rows[1]["sha256"] and copy["seconds"] == 0 and copy["score"] == rows[1]["score"]
    assert json.loads(copy["result"])["path"] == copy["path"]


def test_a_second_run_opens_what_failed_alone(
    keep: Keep, media: Path, tmp_path: Path, looked: list[str]
) -> None:
    keep(media)
    looked.clear()
    assert keep(media) == Kept(files=6, already=5, failed=1) and looked == ["5.mp4"]
    (media / "5.mp4").write_bytes((media / "3.png").read_bytes())
    assert keep(media).failed == 0
    assert read_scan(tmp_path / "out").complete and not list((tmp_path / "out").rglob("failed/*"))


def test_a_file_that_changed_is_scanned_anew(
    keep: Keep, media: Path, tmp_path: Path, looked: list[str]
) -> None:
    keep(media)
    looked.clear()
    photo(media / "3.png", [(10, 10, 50)])
    os.utime(media / "4.png", (1, 1))
    assert keep(media).already == 3 and looked == ["3.png", "5.mp4"], "4.png was only touched"
    rows = Parts(folder=tmp_path / "out").table(["faces"]).to_pylist()
    assert [row["faces"] for row in rows] == [1, 2, 1, 2, 0, 2]
    assert len(list((tmp_path / "out/parts").rglob("*.parquet"))) == 6


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_killed_anywhere_it_goes_on(
    keep: Keep, media: Path, tmp_path: Path, looked: list[str], at: int, half: bool
) -> None:
    """`half`: while the file of a row is written; otherwise between two of them."""
    whole = tmp_path / "whole"
    keep(media, out=whole)
    child = os.fork()
    if not child:
        _die_writing(at, half=half)
        keep(media)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    done = len(list((tmp_path / "out/parts").rglob("[!.]*.parquet")))
    assert done == at - half and bool(list((tmp_path / "out").rglob(".*.part"))) == half
    counts = count_kept(tmp_path / "out")
    assert counts.not_reached == 6 - done and not counts.complete
    looked.clear()
    assert keep(media).already == done - (done > 4)
    kept = files_of(read_scan(tmp_path / "out"))
    assert kept == files_of(read_scan(whole)) and len(kept) == 6
    assert len(looked) == len(set(looked)) == 6 - done + (done > 4) - (done < 6), "nothing is scanned twice"


def _die_writing(at: int, *, half: bool) -> None:
    """Let the process be killed at a row."""
    write, count = parts._write, iter(range(1, 100))
    rename = Path.replace

    def deadly(part: Path, row: Any) -> None:
        if next(count) == at:
            if half:
                Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
            write(part, row)
            Path.replace = rename  # type: ignore[method-assign]
            os.kill(os.getpid(), signal.SIGKILL)
        write(part, row)

    parts._write = deadly


def test_shards_together_are_the_whole(keep: Keep, media: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    keep(media, out=whole)
    runs = [keep(media, shard=Shard(number=number, of=4)) for number in (4, 2, 1)]
    assert [each.files for each in runs] == [1, 2, 2]
    part = read_scan(tmp_path / "out")
    assert part.not_reached == 1 and not part.complete, "a shard is missing"
    keep(media, shard=Shard(number=3, of=4))
    assert files_of(read_scan(tmp_path / "out")) == files_of(read_scan(whole))
    assert keep(media, shard=Shard(number=7, of=9)) == Kept(files=0, already=0, failed=0)


def test_processes_may_be_killed_by_a_file(
    keep: Keep, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(media / "0 poison.mp4", ground=POISON, frames=2)
    monkeypatch.setattr(run, "Scanner", BrightScanner)
    heard: list[tuple[int, int]] = []
    kept = keep(media, workers=2, on_progress=lambda *at: heard.append(at))
    assert kept.failed == 2 and heard == [(done, 7) for done in range(8)]
    row = Parts(folder=tmp_path / "out").table(["error", "sha256"]).to_pylist()[0]
    assert "killed twice (SIGKILL" in row["error"] and row["sha256"]


def test_another_scan_in_the_folder_is_refused(keep: Keep, media: Path, tmp_path: Path) -> None:
    keep(media)
    with pytest.raises(
        InputError, match=r"a scan that was begun with other settings: false_alarm 0.05, now 0.1"
    ):
        keep(media, false_alarm=0.1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with pytest.raises(InputError, match="holds something else than a scan"):
        keep(media, out=tmp_path / "mine")
    with pytest.raises(InputError, match="holds no scan"):
        read_scan(tmp_path / "mine")


def test_a_full_disk_ends_it_and_it_goes_on(
    keep: Keep, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(media, shard=Shard(number=1, of=3))
    with monkeypatch.context() as full:
        full.setattr(parts, "atomic_path", full_disk(tmp_path))
        with pytest.raises(OSError, match="No space left"):
            keep(media)
    assert keep(media).already == 2 and len(read_scan(tmp_path / "out").files) == 6


def test_a_damaged_part_is_named(keep: Keep, media: Path, tmp_path: Path) -> None:
    keep(media)
    part = next((tmp_path / "out/parts").glob("[0-9a-f][0-9a-f]/*"))
    part.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="damaged part"):
        read_scan(tmp_path / "out")
    part.unlink()
    keep(media)
    assert len(read_scan(tmp_path / "out").files) == 6


def test_interrupted_it_says_how_much_is_done(keep: Keep, media: Path) -> None:
    def stopped(jobs: Any, work: Any, *, workers: int) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt, match="0 of 6 files are done; the same command goes on"):
        keep(media, execute=stopped)
