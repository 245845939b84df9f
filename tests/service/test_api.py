"""Files in, scans queued, results out, and every error a problem with a stable code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.conftest import Command
from tests.faces.bright import BrightSquares
from tests.service.conftest import ask, put, serving, wait_for
from verovolto.service.problems import PROBLEMS


def problem(answer: Any, code: str) -> dict[str, Any]:
    """The members of an error, which must be this one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert (body["code"], body["status"], answer.status_code) == (code, PROBLEMS[code][0], PROBLEMS[code][0])
    assert body["type"].endswith(code) and body["title"] and body["detail"]
    return body


def test_from_upload_to_bundle(
    client: TestClient, clip: bytes, tmp_path: Path, command_line: Command
) -> None:
    file = put(client, clip, "../holi day.mp4")
    assert file == hashlib.sha256(clip).hexdigest()
    assert client.get(f"/v1/files/{file}").json()["name"] == "holi day.mp4"
    scan = ask(client, file, fps=None)
    info = wait_for(client, scan)
    assert info["state"] == "done" and info["progress"] == {"done": 1.0, "total": 1}
    result = client.get(info["links"]["result.json"])
    values = result.json()
    assert values["media"][0]["path"] == "holi day.mp4" and values["media"][0]["verdict"] == "suspect"
    assert values["media"][0]["sha256"] == file
    report = client.get(info["links"]["report.html"])
    assert "sandbox" in report.headers["content-security-policy"] and "holi day.mp4" in report.text
    bundle = client.get(info["links"]["bundle.zip"]).content
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        assert archive.read("result.json") == result.content
        assert archive.read("report/report.html") == report.content
    (tmp_path / "bundle.zip").write_bytes(bundle)
    (tmp_path / "copy.mp4").write_bytes(clip)
    code, out, _ = command_line("verify", tmp_path / "bundle.zip", tmp_path / "copy.mp4")
    assert code == 0, out


def test_what_it_writes_is_what_the_command_writes(
    client: TestClient, clip: bytes, tmp_path: Path, command_line: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, but for ids, times and the digest of all."""
    info = wait_for(client, ask(client, {"id": put(client, clip), "name": "a.mp4"}, fps=None))
    served = client.get(info["links"]["result.json"]).text
    page = client.get(info["links"]["report.html"]).text
    monkeypatch.setattr("verovolto.scanning.run.open_detector", lambda name: BrightSquares())
    folder = Path(json.loads(served)["detector"]["path"]).parent
    (tmp_path / "a.mp4").write_bytes(clip)
    monkeypatch.chdir(tmp_path)
    code, _, err = command_line(
        "scan", "a.mp4", "--detector", folder / "bright", "--crop", folder / "rule.json", "--smallest", 8,
        "--every-frame", "--workers", 0, "--json", "result.json", "--report", "report", "--bundle", "bundle.zip",
    )  # fmt: skip
    assert code == 0, err
    written = (tmp_path / "result.json").read_text()

    def comparable(text: str) -> str:
        values = json.loads(text)
        own = {"id": "", "started_utc": "", "finished_utc": "", "command": "", "threads": 0}
        values["run"] |= own
        values["digest"] = values["media"][0]["modified_utc"] = ""
        return json.dumps(values, indent=2, ensure_ascii=False)

    assert comparable(served) == comparable(written)
    shown = (tmp_path / "report/report.html").read_text()
    assert page.partition("Run it again</h2>")[0] == shown.partition("Run it again</h2>")[0]


def test_the_same_bytes_are_one_file(client: TestClient) -> None:
    first, second = put(client, b"same", "a.jpg"), put(client, b"same", "b.jpg")
    assert first == second and client.get(f"/v1/files/{first}").json()["name"] == "a.jpg"


def test_ranges_of_a_file_for_a_player(client: TestClient, clip: bytes) -> None:
    answer = client.get(f"/v1/files/{put(client, clip)}/content", headers={"Range": "bytes=4-11"})
    assert answer.status_code == 206 and answer.content == clip[4:12]
    assert (
        answer.headers["content-type"] == "video/mp4"
        and answer.headers["x-content-type-options"] == "nosniff"
    )
    text = client.get(f"/v1/files/{put(client, b'<script>alert(1)</script>', 'a.html')}/content")
    assert text.headers["content-type"] == "application/octet-stream"


def test_text_that_is_called_a_video(client: TestClient) -> None:
    info = wait_for(client, ask(client, put(client, b"no video at all", "a.mp4")))
    [medium] = client.get(info["links"]["result.json"]).json()["media"]
    assert info["state"] == "done" and medium["status"] == "unreadable"


def test_an_idempotency_key(client: TestClient, clip: bytes) -> None:
    body, headers = {"files": [put(client, clip)]}, {"Idempotency-Key": "once"}
    first, again = (client.post("/v1/scans", json=body, headers=headers) for _ in range(2))
    assert first.json()["id"] == again.json()["id"] and again.status_code == 202
    other = client.post("/v1/scans", json=body | {"faces": "largest"}, headers=headers)
    problem(other, "key-reused")
    wait_for(client, first.json()["id"])
    service: Any = client.app.state.service  # type: ignore[attr-defined]
    service.uploads.delete(body["files"][0])  # as after a day: the scan is still the same
    late = client.post("/v1/scans", json=body, headers=headers)
    assert late.status_code == 202 and late.json()["id"] == first.json()["id"]
    assert first.headers["location"] == f"/v1/scans/{first.json()['id']}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"files": []}, "invalid"),
        ({"files": ["../../etc/passwd"]}, "invalid"),
        ({"files": ["0" * 64]}, "not-found"),
        ({"files": "FILE", "false_alarm": 0.0}, "invalid"),
        ({"files": "FILE", "false_alarm": 0.0001}, "false-alarm-not-supported"),
        ({"files": "FILE", "false_alarm": 5e-324}, "false-alarm-not-supported"),
        ({"files": "FILE", "fps": -1}, "invalid"),
        ({"files": "FILE", "detector": "/etc"}, "invalid"),
        ({"files": "FILE", "detectr": "bright"}, "invalid"),
        ({"files": "FILE", "faces": "some"}, "invalid"),
    ],
)
def test_what_cannot_be_scanned(client: TestClient, clip: bytes, body: dict[str, Any], code: str) -> None:
    if body.get("files") == "FILE":
        body = body | {"files": [put(client, clip)]}
    problem(client.post("/v1/scans", json=body), code)


def test_no_json_at_all(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    problem(client.post("/v1/scans", content=b"{", headers=headers), "invalid")
    problem(client.post("/v1/scans", content=b" " * (1 << 20) + b"{}", headers=headers), "too-large")


def test_what_is_not_there(client: TestClient, clip: bytes) -> None:
    scan = "0" * 32
    for path in (f"/v1/scans/{scan}", f"/v1/scans/{scan}/events", f"/v1/scans/{scan}/result.json", "/v1/files/..",
                 f"/v1/files/{'0' * 64}", "/nowhere"):  # fmt: skip
        problem(client.get(path), "not-found")
    problem(client.delete(f"/v1/scans/{scan}"), "not-found")
    problem(client.post("/v1/detectors"), "method-not-allowed")


def test_no_result_before_the_end(client: TestClient, clip: bytes) -> None:
    scan = ask(client, {"id": put(client, clip), "name": "slow.mp4"})
    problem(client.get(f"/v1/scans/{scan}/result.json"), "not-finished")
    assert client.delete(f"/v1/scans/{scan}").status_code == 204
    assert wait_for(client, scan)["state"] == "cancelled"
    problem(client.get(f"/v1/scans/{scan}/bundle.zip"), "not-finished")


def test_events_until_the_end(client: TestClient, clip: bytes) -> None:
    scan = ask(client, put(client, clip))
    with client.stream("GET", f"/v1/scans/{scan}/events") as answer:
        lines = list(answer.iter_lines())
    states = [json.loads(line[5:])["state"] for line in lines if line.startswith("data:")]
    assert states[-1] == "done" and answer.headers["content-type"].startswith("text/event-stream")
    assert "event: scan" in lines


def test_deleting_a_scan_deletes_what_it_left(client: TestClient, clip: bytes, tmp_path: Path) -> None:
    file = put(client, clip + b"once")
    scan = ask(client, file)
    wait_for(client, scan)
    assert client.delete(f"/v1/scans/{scan}").status_code == 204
    problem(client.get(f"/v1/scans/{scan}"), "not-found")
    problem(client.get(f"/v1/files/{file}"), "not-found")


def test_for_custody_nothing_is_deleted(clip: bytes, tmp_path: Path) -> None:
    with serving(tmp_path, inputs_kept_s=None) as client:
        file = put(client, clip)
        scan = ask(client, {"id": file, "name": "slow.mp4"})
        client.delete(f"/v1/scans/{scan}")
        assert wait_for(client, scan)["state"] == "cancelled"
        client.delete(f"/v1/scans/{scan}")
        assert (
            client.get(f"/v1/scans/{scan}").status_code == client.get(f"/v1/files/{file}").status_code == 200
        )


def test_detectors_and_what_they_promise(client: TestClient) -> None:
    [one] = client.get("/v1/detectors").json()
    assert one["name"] == "bright" and one["default"] and len(one["digest"]) == 64
    assert [each["false_alarm"] for each in one["promises"]] == [0.1, 0.05, 0.01]


def test_how_it_is(client: TestClient, clip: bytes) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    assert "verovolto" in client.get("/version").json()
    wait_for(client, ask(client, put(client, clip)))
    text = client.get("/metrics").text
    assert 'verovolto_scans_total{state="done"}' in text and 'route="/v1/scans/{scan_id}"' in text


def test_methods_that_a_client_makes_up_are_one_counter(client: TestClient) -> None:
    for number in range(3):
        client.request(f"BREW{number}", "/v1/detectors")
    text = client.get("/metrics").text
    assert 'method="other"' in text and "BREW" not in text


def test_every_answer_of_the_api_is_described(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            assert {"401", "421", "500"} <= set(one["responses"]), (method, path)
    assert "ProblemDetails" in described["components"]["schemas"]
