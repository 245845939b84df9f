"""Jobs over a cluster of two nodes on this machine: whatever is killed, each comes back once."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra fleet is not installed")

from tests.faces.bright import RULE, BrightSquares, clip
from tests.fleet.work import deed
from tests.scanning import drawn
from tests.scanning.drawn import BrightScanner, network, photo
from verovolto import fleet
from verovolto.fleet import JobActor, RemoteWork, run_on_cluster
from verovolto.preparation.pipeline import prepare
from verovolto.scanning import run
from verovolto.scanning.to_folder import KeptFile, KeptScanner, read_scan, scan_to_folder

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    """A cluster of two nodes of one CPU each."""
    node = {"num_cpus": 1, "object_store_memory": 100 << 20}
    from ray.cluster_utils import Cluster  # after the module that sets how Ray starts

    nodes = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        nodes.add_node(**node)
        with fleet.cluster(nodes.address) as cpus:
            assert cpus == 2
            yield
    finally:
        nodes.shutdown()


@dataclass(frozen=True, kw_only=True)
class Deadly(KeptScanner):
    """Once, at the file `3.png`, it kills the actor that it works for, and itself."""

    notes: Path

    def __call__(self, job: KeptFile) -> bool:
        name = job.media.path.name
        if name == "3.png" and not (self.notes / "killed").exists():
            (self.notes / "killed").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(job)


def test_a_worker_is_killed_and_every_file_is_there_once(
    two_nodes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network().save(tmp_path / "detector")
    for number in range(12):
        photo(tmp_path / f"media/{number}.png", [(4 + number, 4, 30)])
    (tmp_path / "media/bad.mp4").write_text("no video")
    (tmp_path / "notes").mkdir()
    monkeypatch.setattr(run, "Scanner", BrightScanner)
    monkeypatch.setattr(run, "open_detector", lambda name: BrightSquares())
    monkeypatch.setattr(fleet, "BLOCK", 4)

    def execute(todo: Any, work: KeptScanner, /, *, workers: int) -> Any:
        deadly = Deadly(scanner=work.scanner, parts=work.parts, notes=tmp_path / "notes")
        return run_on_cluster(todo, deadly, workers=workers)

    out = tmp_path / "out"
    kept = scan_to_folder(
        tmp_path / "detector", [tmp_path / "media"], out, drawn.settings(), workers=2, execute=execute
    )
    assert (tmp_path / "notes/killed").exists() and (kept.files, kept.failed) == (13, 1)
    found = read_scan(out)
    names = [Path(file.path).name for file in found.files]
    assert sorted(names) == sorted([*(f"{number}.png" for number in range(12)), "bad.mp4"])
    assert found.not_reached == 0 and len(list((out / "parts").rglob("*.parquet"))) == 13
    assert [file.status for file in found.files if file.path.endswith("bad.mp4")] == ["unreadable"]


def test_an_actor_outlives_its_jobs(tmp_path: Path) -> None:
    """What is raised and what dies comes back as such, and the next job is done."""
    actor = JobActor(RemoteWork(work=pickle.dumps(deed), folder=str(tmp_path)))
    answers = [
        actor({"number": number, "job": pickle.dumps(job)})
        for number, job in enumerate(("folder", "raise", "die", "3"))
    ]
    assert [answer["number"] for answer in answers] == [0, 1, 2, 3]
    first, raised, died, last = (pickle.loads(answer["answer"]) for answer in answers)
    assert first == (str(tmp_path), None, None) and last == (9, None, None)
    assert raised[:2] == (None, None) and isinstance(raised[2], OSError) and raised[2].errno == 28
    assert died[0] is None and "killed twice (SIGKILL" in died[1] and died[2] is None


def test_faces_are_cut_out_as_on_one_machine(two_nodes: None, tmp_path: Path) -> None:
    for number in range(3):
        clip(tmp_path / f"src/real/{number}.mp4", [(4 + 8 * number, 16, 32)], frames=4)
    given: dict[str, Any] = {"face_detector": BrightSquares(), "crop": RULE, "smallest": 8, "one_class": True}
    prepare(tmp_path / "src", tmp_path / "one", **given)
    prepare(tmp_path / "src", tmp_path / "two", **given, workers=2, execute=run_on_cluster)
    one, two = (
        [path.read_bytes() for path in sorted((tmp_path / name).glob("*.parquet"))] for name in ("one", "two")
    )
    assert one == two and len(one) == 1
