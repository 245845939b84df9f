"""Load on the service: many small photos by many clients at once, and one large upload, against a server of its own.

    python benchmarks/serve.py                             # 200 photos, 16 clients; then 1 GB
    python benchmarks/serve.py --photos 50 --clients 4 --megabytes 100
    python benchmarks/serve.py --stand-in                  # bright squares for faces: the service without the detector

The server listens on loopback and ends with the program. Printed are requests a second, their 50th and 99th percentile,
how many scans were lost or made twice, and how much memory the server took for the large upload.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image, ImageDraw

CHUNK = 1 << 20


def photo(seed: int) -> bytes:
    """A drawn picture, unlike any other; no face of anybody."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 120, (240, 320, 3), dtype=np.uint8))
    ImageDraw.Draw(image).rectangle((90, 50, 230, 190), fill=(180, 180, 180 + seed % 60))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


class Timer:
    """Times of requests, from any thread."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()

    def __call__(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        began = time.perf_counter()
        answer = send()
        self.seconds.append(time.perf_counter() - began)
        self.statuses[answer.status_code] += 1
        return answer


def scan_one(client: httpx.Client, number: int, timer: Timer) -> tuple[str, str, dict[str, Any]]:
    """Upload a photo, ask for its scan twice with one key, wait: digest, id and result."""
    content = photo(number)
    stored = timer(lambda: client.put("/v1/files", params={"name": f"{number}.jpg"}, content=content)).json()
    assert stored["id"] == hashlib.sha256(content).hexdigest()
    ids = set()
    while len(ids) == 0:
        for _ in range(2):
            answer = timer(
                lambda: client.post(
                    "/v1/scans",
                    json={"files": [stored["id"]]},
                    headers={"Idempotency-Key": f"photo-{number}"},
                )
            )
            if answer.status_code == 429:
                time.sleep(float(answer.headers["Retry-After"]) / 10)
            else:
                ids.add(answer.json()["id"])
    [scan] = ids
    while (info := timer(lambda: client.get(f"/v1/scans/{scan}")).json())["state"] in ("queued", "running"):
        time.sleep(0.25)
    assert info["state"] == "done", info
    return stored["id"], scan, timer(lambda: client.get(f"/v1/scans/{scan}/result.json")).json()


def load(base: str, photos: int, clients: int) -> None:
    """Many photos by many clients."""
    timer, began = Timer(), time.perf_counter()

    def work(own: list[int]) -> list[tuple[str, str, dict[str, Any]]]:
        with httpx.Client(base_url=base, timeout=600) as client:
            return [scan_one(client, number, timer) for number in own]

    with ThreadPoolExecutor(clients) as pool:
        shares = [list(range(photos))[start::clients] for start in range(clients)]
        found = [each for part in pool.map(work, shares) for each in part]
    took = time.perf_counter() - began
    runs = Counter(result["run"]["id"] for _, _, result in found)
    wrong = sum(result["media"][0]["sha256"] != digest for digest, _, result in found)
    with httpx.Client(base_url=base, timeout=60) as client:
        metrics = client.get("/metrics").text
    done = next(
        line for line in metrics.splitlines() if line.startswith('verovolto_scans_total{state="done"}')
    )
    p50, p99 = np.percentile(timer.seconds, [50, 99])
    print(f"{photos} photos by {clients} clients: {took:.1f} s, {photos / took:.1f} scans/s")
    count = len(timer.seconds)
    print(f"{count} requests, {count / took:.0f}/s: p50 {1e3 * p50:.0f} ms, p99 {1e3 * p99:.0f} ms")
    print(f"statuses: {dict(timer.statuses)}")
    print(f"lost: {photos - len(found)}; made twice: {len(found) - len(runs)}; of another file: {wrong}")
    print(f"scans that the server counted: {done.split()[-1]}")


def large(base: str, megabytes: int, server: psutil.Process) -> None:
    """One large upload, with the memory of the server watched."""
    before, most, over = server.memory_info().rss, 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.05):
            most = max(most, server.memory_info().rss)

    def chunks() -> Iterator[bytes]:
        block = np.random.default_rng(0).bytes(CHUNK)
        for number in range(megabytes):
            yield number.to_bytes(8, "big") + block[8:]

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    with httpx.Client(base_url=base, timeout=600) as client:
        answer = client.put("/v1/files", params={"name": "large.bin"}, content=chunks())
    took = time.perf_counter() - began
    over.set()
    watcher.join()
    assert answer.json()["bytes"] == megabytes * CHUNK, answer.text
    grown = (most - before) / 2**20
    print(f"{megabytes} MiB uploaded in {took:.1f} s; the server's memory grew by {grown:.0f} MiB at most")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--stand-in", action="store_true")
    given = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        real = ["-m", "verovolto", "serve", "--folder", folder, "--port", str(port)]
        stand_in = ["-m", "tests.service.stand_in", folder, str(port)]
        command = [sys.executable, *(stand_in if given.stand_in else real)]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.DEVNULL)
        try:
            wait_for(base, process)
            load(base, given.photos, given.clients)
            large(base, given.megabytes, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(30)


def wait_for(base: str, process: subprocess.Popen[bytes]) -> None:
    """Until the server answers."""
    for _ in range(1200):
        try:
            httpx.get(f"{base}/ready", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            if process.poll() is not None:
                raise SystemExit("the server ended") from None
            time.sleep(0.25)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    main()
