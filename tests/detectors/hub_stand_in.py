"""A stand-in for the hub's HTTP API: on loopback, in memory, bounded; as much of it as fetching and sending needs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

MOST = 32 * 1024 * 1024
"""Bytes of a request's body."""


class StandIn(ThreadingHTTPServer):
    """Repositories by name, each a list of commits (files by path, under a digest of 40 digits)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        """Files on top of the last commit; the new one's name."""
        commits = self.commits.setdefault(repository, {})
        whole = {**(commits[list(commits)[-1]] if commits else {}), **files}
        name = hashlib.sha1(repr((len(commits), sorted(whole.items()))).encode()).hexdigest()
        commits[name] = whole
        return name

    def files(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.commits.get(repository, {})
        name = list(commits)[-1] if revision == "main" and commits else revision
        return (name, commits[name]) if name in commits else None


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST:
            return self.send(413, b"")
        body = self.rfile.read(length)
        self.server.asked.append(f"POST {path}")
        if path == "/api/validate-yaml":
            return self.json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            self.server.commits.setdefault(name, {})
            return self.json({"url": f"{self.server.url}/{name}", "name": name})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path)
        if found is None:
            return self.send(404, b"")
        if found[2] == "preupload":
            modes = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for each in json.loads(body)["files"]]  # fmt: skip
            return self.json({"files": modes})
        lines = [json.loads(line) for line in body.splitlines()]
        sent = {each["value"]["path"]: base64.b64decode(each["value"]["content"])
                for each in lines if each["key"] == "file"}  # fmt: skip
        name = self.server.commit(found[1], sent)
        self.json({"commitOid": name, "commitUrl": f"{self.server.url}/{found[1]}/commit/{name}"})

    def answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = api or file
        repository, revision = (found[1], (found[3] if api else found[2]) or "main") if found else ("", "")
        if repository not in self.server.commits:
            return self.send(404, b"", {"X-Error-Code": "RepoNotFound"})
        there = self.server.files(repository, revision)
        if there is None:
            return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        commit, files = there
        if file is not None:
            content = files[file[3]]
            etag = hashlib.sha1(content).hexdigest()
            return self.send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, body=body)
        assert api is not None
        if api[2] == "tree":
            return self.json([{"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                              for name, content in files.items()])  # fmt: skip
        siblings = [{"rfilename": name} for name in files]
        return self.json({"id": repository, "modelId": repository, "sha": commit, "siblings": siblings,
                          "tags": [], "private": False, "downloads": 0, "likes": 0})  # fmt: skip

    def json(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, *, body: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """The server, until the end of the block."""
    with StandIn() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
