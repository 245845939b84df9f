"""A client of the service, with Python's own library alone.

    verovolto serve                                                  # in another window
    python examples/service_client.py clip.mp4 --url http://127.0.0.1:8765

Prints the verdict; exit code 1 where the scan failed. The same file is scanned once, however often it is sent.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen


def call(method: str, url: str, body: Any = None, token: str | None = None, **headers: str) -> Any:
    """The JSON that a request is answered with; errors of the service have a `code` and a `detail`."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(url, data=body, method=method, headers=named), timeout=600) as answer:
        return json.load(answer)


def scan(path: Path, url: str, *, token: str | None = None, every: float = 0.5) -> dict[str, Any]:
    """Upload a file, scan it, wait; the result as `verovolto scan` writes it with --json."""
    with path.open("rb") as handle:
        size = str(path.stat().st_size)
        uploaded = call("PUT", f"{url}/v1/files?name={quote(path.name)}", handle, token, Content_Length=size)
    asked = json.dumps({"files": [uploaded["id"]]}).encode()
    job = call(
        "POST", f"{url}/v1/scans", asked, token,
        Content_Type="application/json", Idempotency_Key=uploaded["id"],
    )  # fmt: skip
    while job["state"] in ("queued", "running"):
        time.sleep(every)
        job = call("GET", f"{url}/v1/scans/{job['id']}", None, token)
    if job["state"] != "done":
        raise RuntimeError(f"the scan {job['state']}: {job['error']}")
    result: dict[str, Any] = call("GET", f"{url}/v1/scans/{job['id']}/result.json", None, token)
    return result


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8765")
    parser.add_argument("--token")
    given = parser.parse_args()
    try:
        [medium] = scan(given.file, given.url, token=given.token)["media"]
    except RuntimeError as failed:
        print(failed, file=sys.stderr)
        return 1
    print(f"{given.file.name}: {medium['verdict'] or medium['status']}, p = {medium['p_value']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
