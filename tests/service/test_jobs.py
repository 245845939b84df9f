"""The queue: bounded, cut off, cancelled, and as it was after a server that was killed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import ask, put, serving, wait_for
from tests.service.stand_in import settings_in
from tests.service.test_api import problem
from verovolto.core.files import write_json
from verovolto.service import runner
from verovolto.service.jobs import TRIES, Job, Jobs, expired
from verovolto.service.metrics import Metrics
from verovolto.service.problems import Problem
from verovolto.service.runner import Outcome, Runner
from verovolto.service.uploads import Uploads

OPTIONS = {"false_alarm": 0.05, "fps": 2.0, "faces": "all", "detector": "bright", "no_faces": False}


@pytest.mark.slow
def test_a_queue_with_a_bound(tmp_path: Path, clip: bytes) -> None:
    with serving(tmp_path, queue=2) as client:
        file = put(client, clip)
        slow = ask(client, {"id": file, "name": "slow.mp4"})
        assert wait_for(client, slow, "running")["place"] is None
        second, third = ask(client, file), ask(client, file)
        places = [client.get(f"/v1/scans/{scan}").json()["place"] for scan in (second, third)]
        assert places == [1, 2]
        refused = client.post("/v1/scans", json={"files": [file]})
        problem(refused, "queue-full")
        assert int(refused.headers["retry-after"]) > 0
        client.delete(f"/v1/scans/{slow}")
        assert [wait_for(client, scan)["state"] for scan in (slow, second, third)] == [
            "cancelled",
            "done",
            "done",
        ]
        assert client.get(f"/v1/files/{file}").status_code == 200  # the others needed it


@pytest.mark.slow
def test_ends_that_nobody_wants(tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a bug, a process that is killed: each fails with its code, and the next scan is done."""
    monkeypatch.setattr("verovolto.service.runner.TRIES", 1)
    with serving(tmp_path) as client:
        file = put(client, clip)
        names = {"full": "disk-full", "bug": "internal", "deadly": "worker-died"}
        scans = {code: ask(client, {"id": file, "name": name}) for name, code in names.items()}
        for code, scan in scans.items():
            info = wait_for(client, scan)
            assert (info["state"], info["error"]["code"]) == ("failed", code)
        assert wait_for(client, ask(client, file))["state"] == "done"


@pytest.mark.slow
def test_a_scan_that_takes_too_long_is_cut_off(tmp_path: Path, clip: bytes) -> None:
    with serving(tmp_path, time_limit_s=0.3) as client:
        info = wait_for(client, ask(client, {"id": put(client, clip), "name": "slow.mp4"}))
        assert (info["state"], info["error"]["code"]) == ("failed", "time-limit")


def test_what_dies_once_is_done_again(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, limit=9)
    first, second = (jobs.add([], OPTIONS, None) for _ in range(2))
    assert jobs.take(0) is first
    jobs.finish(first, "queued")
    assert jobs.take(0) is first and first.tries == 2 and jobs.place(second) == 1


def test_places_and_keys_survive_on_disk(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, limit=9)
    first, second, third = (jobs.add([{"id": "0" * 64, "name": name}], OPTIONS, name) for name in "abc")
    assert jobs.take(0) is first
    jobs.finish(second, "failed", {"code": "internal", "detail": "x"})
    again = Jobs(tmp_path, limit=9)  # of a server that was killed meanwhile
    assert [job.id for job in again.queued()] == [first.id, third.id]
    assert again.add(third.files, OPTIONS, "c").id == third.id
    kept = again.get(second.id)
    assert kept is not None and (kept.state, kept.error) == ("failed", {"code": "internal", "detail": "x"})
    assert again.add(first.files, OPTIONS, None).sequence == 4


def test_what_ends_every_server_is_given_up(tmp_path: Path) -> None:
    job_id = Jobs(tmp_path, limit=9).add([], OPTIONS, None).id
    for _ in range(TRIES):
        jobs = Jobs(tmp_path, limit=9)
        assert jobs.take(0) is not None
    job = Jobs(tmp_path, limit=9).get(job_id)
    assert (
        job is not None
        and job.state == "failed"
        and job.error is not None
        and job.error["code"] == "worker-died"
    )


def test_a_folder_that_is_no_scan_is_passed_over(tmp_path: Path) -> None:
    for name, text in (
        ("a", "{"),
        ("b", "{}"),
        ("c", json.dumps({"id": "../x", "sequence": 1, "files": [], "options": {}})),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.json").write_text(text)
    (tmp_path / "empty").mkdir()
    (tmp_path / ("0" * 32) / "pictures").mkdir(parents=True)  # of a scan that was being deleted
    assert Jobs(tmp_path, limit=9).queued() == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b", "c", "empty"]


def test_old_inputs_and_results_are_deleted(tmp_path: Path) -> None:
    store = Uploads(tmp_path / "uploads", most=100)
    ids = []
    for content in (b"old", b"old and in use", b"new"):
        with store.arriving() as upload:
            upload.write(content)
            ids.append(store.keep(upload, "a").id)
    for digest in ids[:2]:
        os.utime(tmp_path / "uploads" / digest, (1.0, 1.0))
    jobs = Jobs(tmp_path / "scans", limit=9)
    waiting = jobs.add([{"id": ids[1], "name": "a"}], OPTIONS, None)
    assert set(store.older(3600)) == set(ids[:2])
    jobs.delete_unused(store.older(3600), store.delete)
    assert [store.get(digest) is not None for digest in ids] == [False, True, True]
    assert not list((tmp_path / "uploads/.arriving").iterdir())
    jobs.cancel(waiting)
    job = jobs.add([], OPTIONS, None)
    assert not expired(job, 0)
    jobs.finish(job, "cancelled")
    assert not expired(job, 3600) and expired(job, -3600)
    jobs.remove(job)
    assert jobs.get(job.id) is None and not jobs.folder(job).exists()


def test_a_key_for_something_else(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, limit=9)
    jobs.add([], OPTIONS, "a")
    with pytest.raises(Problem, match="other files"):
        jobs.add([], OPTIONS | {"fps": 1.0}, "a")


def test_an_input_that_is_gone_is_seen_before_the_scan_is_queued(tmp_path: Path) -> None:
    def gone() -> None:
        raise Problem("not-found", "gone")

    jobs = Jobs(tmp_path, limit=9)
    with pytest.raises(Problem, match="gone"):
        jobs.add([], OPTIONS, "a", check=gone)
    assert jobs.queued() == [] and jobs.of_key("a") is None and not list(tmp_path.iterdir())


def test_what_was_cancelled_does_not_come_back_when_the_server_stops(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, limit=9)
    job = jobs.add([], OPTIONS, None)
    assert jobs.take(0) is job
    jobs.cancel(job)
    jobs.give_back(job)
    assert job.state == "cancelled"


def test_half_of_an_upload_is_not_in_the_way_of_the_whole(tmp_path: Path) -> None:
    store = Uploads(tmp_path, most=100)
    digest = hashlib.sha256(b"content").hexdigest()
    (tmp_path / digest).mkdir()
    (tmp_path / digest / "data").write_bytes(b"cont")
    with store.arriving() as upload:
        upload.write(b"content")
        assert store.keep(upload, "a").id == digest
    assert store.path(digest).read_bytes() == b"content"


class FakeProcess:
    """A worker that is done at once."""

    alive = True

    def __init__(self, *_: object) -> None: ...

    def run(self, *_: object, **__: object) -> Outcome:
        return Outcome(kind="done")

    def stop(self) -> None: ...


def runner_of(folder: Path, jobs: Jobs) -> Runner:
    settings = settings_in(folder)
    return Runner(settings, jobs, Uploads(folder / "uploads", most=100), Metrics(jobs))


def wait_until(job: Job, state: str) -> None:
    end = time.monotonic() + 60
    while job.state != state and time.monotonic() < end:
        time.sleep(0.02)
    assert job.state == state


def test_an_end_that_a_full_disk_cannot_hold_is_noted_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(tmp_path / "scans", limit=9)
    job = jobs.add([], OPTIONS, None)
    refused = []

    def full(path: Path, value: dict[str, object]) -> None:
        if value["state"] == "done" and len(refused) < 2:
            refused.append(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        write_json(path, value)

    monkeypatch.setattr("verovolto.service.jobs.write_json", full)
    monkeypatch.setattr(runner, "_FULL_DISK_S", 0.01)
    monkeypatch.setattr(runner, "WorkerProcess", FakeProcess)
    running = runner_of(tmp_path, jobs)
    running.start()
    wait_until(job, "done")
    running.stop()
    assert len(refused) == 2


def test_a_bug_of_the_runner_costs_one_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Buggy(FakeProcess):
        def run(self, *_: object, **__: object) -> Outcome:
            raise RuntimeError("a bug")

    jobs = Jobs(tmp_path / "scans", limit=9)
    first = jobs.add([], OPTIONS, None)
    monkeypatch.setattr(runner, "WorkerProcess", Buggy)
    running = runner_of(tmp_path, jobs)
    running.start()
    wait_until(first, "failed")
    assert first.error == {"code": "internal", "detail": "RuntimeError"} and running.ready
    wait_until(jobs.add([], OPTIONS, None), "failed")
    running.stop()


def test_what_a_process_writes_after_its_scan_was_deleted_is_deleted_too(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "scans", limit=9)
    job = jobs.add([], OPTIONS, None)
    assert jobs.take(0) is job

    class Late(FakeProcess):
        def run(self, *_: object, **__: object) -> Outcome:
            jobs.cancel(job)
            jobs.remove(job)
            (jobs.folder(job) / "pictures").mkdir(parents=True)
            return Outcome(kind="cancelled")

    runner_of(tmp_path, jobs)._do(job, Late())  # type: ignore[arg-type]
    assert not jobs.folder(job).exists()


class Server:
    """A server of its own, to be killed."""

    def __init__(self, folder: Path, *token: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "tests.service.stand_in", str(folder), str(port), *token]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        end = time.monotonic() + 300
        while time.monotonic() < end:
            try:
                if self.client.get("/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.mark.slow
def test_a_server_killed_in_mid_job_finds_its_queue_as_it_was(tmp_path: Path, clip: bytes) -> None:
    first = Server(tmp_path)
    client = first.client
    file = client.put("/v1/files", params={"name": "a.mp4"}, content=clip).json()["id"]

    def asked(name: str) -> str:
        body = {"files": [{"id": file, "name": name}]}
        found: str = client.post("/v1/scans", json=body, headers={"Idempotency-Key": name}).json()["id"]
        return found

    scans = [asked(name) for name in ("slow.mp4", "b.mp4", "c.mp4")]
    end = time.monotonic() + 300
    while client.get(f"/v1/scans/{scans[0]}").json()["progress"]["done"] == 0 and time.monotonic() < end:
        time.sleep(0.1)
    first.kill()
    second = Server(tmp_path)
    client = second.client
    try:
        infos = [client.get(f"/v1/scans/{scan}").json() for scan in scans]
        assert infos[0]["state"] in ("queued", "running")  # it was running, and is done again
        assert [info["state"] for info in infos[1:]] == ["queued", "queued"]
        assert [asked(name) for name in ("slow.mp4", "b.mp4", "c.mp4")] == scans
        assert client.delete(f"/v1/scans/{scans[0]}").status_code == 204
        ended = []
        end = time.monotonic() + 400
        while len(ended) < 3 and time.monotonic() < end:
            ended = [
                state
                for scan in scans
                if (state := client.get(f"/v1/scans/{scan}").json()["state"]) in ("done", "cancelled")
            ]
            time.sleep(0.1)
        assert ended == ["cancelled", "done", "done"]
    finally:
        second.kill()
