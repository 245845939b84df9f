"""What the service counts, in Prometheus's text format."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from verovolto import __version__
from verovolto.service.jobs import Jobs

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""A client may make up any other: they would be a counter each, for good."""
_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """The counters of one service."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs, self._registry = jobs, CollectorRegistry()
        self.requests = Counter(
            "verovolto_requests", "Requests answered", ("method", "route", "status"), registry=self._registry
        )
        self.latency = Histogram(
            "verovolto_request_seconds", "Time to the end of an answer", ("route",), registry=self._registry
        )
        self.uploaded = Counter("verovolto_uploaded_bytes", "Bytes of uploads kept", registry=self._registry)
        self._scans = Counter("verovolto_scans", "Scans that ended", ("state",), registry=self._registry)
        self._duration = Histogram(
            "verovolto_scan_seconds",
            "Time of a scan in its process",
            buckets=_SECONDS,
            registry=self._registry,
        )
        waiting = Gauge("verovolto_scans_waiting", "Scans in the queue", registry=self._registry)
        waiting.set_function(lambda: float(len(jobs.queued())))
        running = Gauge("verovolto_scans_running", "Scans under way", registry=self._registry)
        running.set_function(lambda: float(len(jobs.of_state("running"))))
        info = Gauge("verovolto_info", "The program", ("version",), registry=self._registry)
        info.labels(__version__).set(1)

    def scan_ended(self, state: str, seconds: float) -> None:
        """Count a scan that left its process."""
        self._scans.labels(state).inc()
        self._duration.observe(seconds)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


class CountRequests:
    """Counts and times every request, by the pattern of its route: ids are no labels."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.latency.labels(route).observe(time.monotonic() - began)
