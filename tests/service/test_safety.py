"""Names that are paths, bodies that do not end, other sites, wrong tokens, full disks: nothing of it does harm."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from tests.service.conftest import ask, put, serving, wait_for
from tests.service.stand_in import settings_in
from tests.service.test_api import problem
from verovolto.core.errors import InputError
from verovolto.service import uploads
from verovolto.service.app import create_app
from verovolto.service.runner import Service
from verovolto.service.settings import ServiceSettings
from verovolto.service.uploads import clean_name

NAMES = (
    "../../etc/passwd", "/etc/passwd", "..\\..\\windows\\system32", "a\x00.mp4", "..", ".", "", "%00",
    "C:\\x\\..\\a.mp4",
    "‮4pm.exe", "a" * 4000, "<img src=x onerror=alert(1)>", "con", "\n\r", "~/.ssh/id",
)  # fmt: skip


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_and_never_a_path(
    name: str, client: TestClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shown = clean_name(name)
    assert (
        shown and "/" not in shown and "\\" not in shown and shown not in (".", "..") and shown.isprintable()
    )
    file = put(client, name.encode() + b"x", name)
    stored = client.get(f"/v1/files/{file}").json()
    assert stored["name"] == shown and stored["id"] == stored["sha256"] == file
    outside = [
        path for path in listing(tmp_path_factory.getbasetemp()) if "passwd" in path or "system32" in path
    ]
    assert not outside


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/v1/files/..%2f..%2fetc",
     "/v1/scans/..%2f..", "/v1/files/%00/content"],
)  # fmt: skip
def test_paths_lead_nowhere(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (404, 405)


def test_pictures_of_a_scan_alone(client: TestClient, clip: bytes) -> None:
    scan = ask(client, put(client, clip))
    wait_for(client, scan)
    assert client.get(f"/scans/{scan}/pictures/0000.jpg").headers["content-type"] == "image/jpeg"
    for name in ("..%2fresult.json", "0000.jpg%00", "9999.jpg", "..%2f..%2fjob.json"):
        assert client.get(f"/scans/{scan}/pictures/{name}").status_code == 404


def test_a_body_without_a_length_is_cut_off_at_the_limit(client: TestClient) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(10_000)

    folder = client.app.state.service.settings.folder / "uploads"  # type: ignore[attr-defined]
    before = listing(folder)
    problem(client.put("/v1/files", content=chunks()), "too-large")
    assert {path for path in listing(folder) - before if ".arriving/" in path} == set()


def test_a_length_that_lies_is_not_believed(client: TestClient) -> None:
    answer = client.put("/v1/files", content=bytes(3_000_001), headers={"Content-Length": "10"})
    problem(answer, "too-large")
    problem(client.put("/v1/files", content=b""), "invalid")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "host-not-allowed"),
        ({"Host": ""}, "host-not-allowed"),
        ({"Host": "localhost.evil.example:8765"}, "host-not-allowed"),
        ({"Host": "127.0.0.1@evil.example"}, "host-not-allowed"),
        ({"Origin": "http://evil.example"}, "origin-not-allowed"),
        ({"Origin": "null"}, "origin-not-allowed"),
        ({"Origin": "http://localhost:1"}, "origin-not-allowed"),
        ({"Sec-Fetch-Site": "cross-site"}, "origin-not-allowed"),
    ],
)
def test_other_sites_and_other_names(client: TestClient, headers: dict[str, str], code: str) -> None:
    problem(client.put("/v1/files", content=b"x", headers=headers), code)
    problem(client.post("/v1/scans", json={}, headers=headers), code)
    problem(client.delete(f"/v1/scans/{'0' * 32}", headers=headers), code)
    if code == "host-not-allowed":
        problem(client.get("/v1/detectors", headers=headers), code)


def test_the_own_page_may_write(client: TestClient) -> None:
    own = {"Origin": "http://localhost:8765", "Sec-Fetch-Site": "same-origin"}
    assert client.put("/v1/files", content=b"x", headers=own).status_code == 200


def test_headers_of_every_answer(client: TestClient) -> None:
    for path in ("/", "/v1/detectors", "/nowhere", "/static/page.js"):
        headers = client.get(path, headers={"Origin": "http://localhost:8765"}).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert headers["referrer-policy"] == "same-origin"  # else the form of /login has the origin `null`


class TestToken:
    @pytest.fixture(scope="class")
    @classmethod
    def guarded(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
        with serving(tmp_path_factory.mktemp("token"), token="open sesame", host="0.0.0.0") as client:
            yield client

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Authorization": "Bearer open"}, {"Authorization": "Basic open sesame"},
         {"Cookie": "verovolto=open sesame"},
         {"Authorization": "Bearer öpen sesame"}],
    )  # fmt: skip
    def test_without_it_nothing_is_told(self, guarded: TestClient, headers: dict[str, str]) -> None:
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        for method, path in (
            ("GET", "/v1/detectors"),
            ("GET", "/metrics"),
            ("PUT", "/v1/files"),
            ("GET", "/openapi.json"),
        ):
            answer = guarded.request(method, path, headers=encoded)
            problem(answer, "token-missing")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert guarded.get("/health").status_code == 200

    def test_with_it_everything_is(self, guarded: TestClient) -> None:
        assert (
            guarded.get("/v1/detectors", headers={"Authorization": "Bearer open sesame"}).status_code == 200
        )

    def test_a_browser_keeps_a_proof_of_it(self, guarded: TestClient) -> None:
        asked = guarded.get("/", headers={"Accept": "text/html"}, follow_redirects=False)
        assert asked.status_code == 303 and asked.headers["location"] == "/login"
        assert guarded.post("/login", data={"token": "wrong"}).status_code == 401
        answer = guarded.post("/login", data={"token": "open sesame"}, follow_redirects=False)
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "sesame" not in cookie
        assert guarded.get("/v1/detectors").status_code == 200
        guarded.cookies.clear()


def test_other_machines_only_with_a_token(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(InputError, match="--token"):
            ServiceSettings(folder=tmp_path, detectors={"a": tmp_path}, host=host)


def test_two_services_do_not_share_a_folder(tmp_path: Path) -> None:
    service = Service.of(settings_in(tmp_path))
    with pytest.raises(InputError, match="another service"):
        Service.of(settings_in(tmp_path))
    service.lock.close()


def test_a_full_disk_while_a_file_arrives(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = client.app.state.service.settings.folder / "uploads"  # type: ignore[attr-defined]
    before = listing(folder)
    monkeypatch.setattr(uploads.Arriving, "write", full)
    problem(client.put("/v1/files", content=b"for a full disk"), "disk-full")
    assert listing(folder) - before <= {".arriving"}


def test_a_full_disk_while_a_scan_is_queued(
    client: TestClient, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = put(client, clip)
    monkeypatch.setattr("verovolto.service.jobs.write_json", full)
    problem(client.post("/v1/scans", json={"files": [file]}), "disk-full")


class TestSockets:
    """What a client does that no well-behaved library would, against a server with a socket."""

    @pytest.fixture(scope="class")
    @classmethod
    def port(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        folder = tmp_path_factory.mktemp("sockets")
        app = create_app(settings_in(folder, port=port, idle_s=0.5, uploads_at_once=1))
        cls.service = app.state.service
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield port
        server.should_exit = True
        thread.join()

    service: Any

    def begin(self, port: int, length: int = 100_000) -> socket.socket:
        """An upload of which the first byte has arrived."""
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(
            f"PUT /v1/files?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\nx".encode()
        )
        return client

    def left_over(self) -> list[Path]:
        return list((self.service.settings.folder / "uploads/.arriving").glob("*"))

    def wait_until_free(self) -> None:
        end = time.monotonic() + 20
        while (self.service.arriving or self.left_over()) and time.monotonic() < end:
            time.sleep(0.02)
        assert self.service.arriving == 0 and not self.left_over()

    def test_a_slow_upload_is_let_go(self, port: int) -> None:
        with self.begin(port) as client:
            client.settimeout(20)
            assert b"408" in client.recv(4096).partition(b"\r\n")[0]
        self.wait_until_free()

    def test_a_client_that_goes_away_leaves_nothing(self, port: int) -> None:
        client = self.begin(port)
        end = time.monotonic() + 20
        while (
            not self.service.arriving and time.monotonic() < end
        ):  # before that there is nothing to leave behind
            time.sleep(0.02)
        assert self.service.arriving == 1
        client.close()
        self.wait_until_free()

    def test_one_upload_too_many_waits_its_turn(self, port: int) -> None:
        with self.begin(port) as first:
            while not self.service.arriving:
                time.sleep(0.02)
            with self.begin(port, length=1) as second:
                second.settimeout(20)
                answer = second.recv(4096)
            assert b"429" in answer and b"retry-after" in answer.lower()
            first.close()
        self.wait_until_free()

    def test_a_slow_request_for_a_scan(self, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /v1/scans HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
            client.settimeout(20)
            assert b"408" in client.recv(4096).partition(b"\r\n")[0]
