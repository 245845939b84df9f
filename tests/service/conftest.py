"""A service in this process, its worker in another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from fastapi.testclient import TestClient

from tests.scanning.drawn import ODD, film, walk
from tests.service.stand_in import settings_in
from verovolto.service.app import create_app

OVER = ("done", "failed", "cancelled")
Serve = Callable[..., Any]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video that is suspect."""
    return film(tmp_path_factory.mktemp("clip") / "a.mp4", walk(6, level=ODD)).read_bytes()


@contextmanager
def serving(folder: Path, **given: Any) -> Iterator[TestClient]:
    """A client of a service that keeps everything in `folder`."""
    with TestClient(
        create_app(settings_in(folder, **given)),
        base_url="http://localhost:8765",
        raise_server_exceptions=False,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Of a service that the tests of a file share, so that its worker starts once."""
    with serving(tmp_path_factory.mktemp("shared"), max_upload_bytes=3_000_000) as found:
        yield found


def put(client: TestClient, content: bytes, name: str = "a.mp4") -> str:
    """Upload; the id."""
    answer = client.put("/v1/files", params={"name": name}, content=content)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["id"]
    return found


def ask(client: TestClient, *files: str | dict[str, str], **options: Any) -> str:
    """Queue a scan; its id."""
    answer = client.post("/v1/scans", json={"files": list(files), **options})
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    return found


def wait_for(client: TestClient, scan: str, *states: str, seconds: float = 400) -> dict[str, Any]:
    """The scan once it is in one of these states, or over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        info: dict[str, Any] = client.get(f"/v1/scans/{scan}").json()
        if info["state"] in (states or OVER):
            return info
        time.sleep(0.05)
    raise AssertionError(f"still {info['state']}")
