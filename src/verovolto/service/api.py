"""The API: files in, scans queued, results out. `/openapi.json` describes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse

from verovolto import __version__
from verovolto.core.errors import CalibrationError
from verovolto.media import UnreadableMedia, file_type_of
from verovolto.service.jobs import OVER, Job
from verovolto.service.metrics import CONTENT_TYPE
from verovolto.service.problems import Problem, documented
from verovolto.service.runner import Service
from verovolto.service.security import REPORT_POLICY
from verovolto.service.settings import KnownDetector
from verovolto.service.uploads import StoredFile, clean_name
from verovolto.service.worker import BUNDLE, REPORT, RESULT

_LOOK_S = 0.2
_TYPES = {
    "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "avif": "image/avif",
    "mp4": "video/mp4", "matroska": "video/webm", "ogg": "video/ogg",
}  # fmt: skip
"""What a browser may show by itself; all else is handed out as bytes."""
FileId = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

router = APIRouter(prefix="/v1")
plain = APIRouter()


class FileInfo(BaseModel):
    """An upload. Its id is its SHA-256: the same bytes have the same id."""

    id: str
    sha256: str
    name: str
    bytes: int
    uploaded_utc: str


class FileRef(BaseModel):
    """A file of a scan, and what it is called in the result."""

    model_config = ConfigDict(extra="forbid")

    id: FileId
    name: Annotated[str, Field(max_length=255)] | None = None


class ScanCreate(BaseModel):
    """A scan that is asked for. `fps` null: every frame. `no_faces`: pictures become mosaics."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    files: Annotated[list[FileId | FileRef], Field(min_length=1)]
    false_alarm: Annotated[float, Field(gt=0, lt=1)] | None = None
    fps: Annotated[float, Field(gt=0, le=1000)] | None = 2.0
    faces: Literal["all", "largest"] = "all"
    detector: Annotated[str, Field(max_length=255)] | None = None
    no_faces: bool = False


class ScanFile(BaseModel):
    """An input of a scan."""

    id: str
    name: str


class ScanProgress(BaseModel):
    """Files done, the share of the one at work included, and all."""

    done: float
    total: int


class ScanError(BaseModel):
    """Why a scan failed; `code` is stable."""

    code: str
    detail: str


class ScanInfo(BaseModel):
    """A scan. `place` is its place in the queue, from 1, while it waits."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    place: int | None
    progress: ScanProgress
    files: list[ScanFile]
    options: dict[str, Any]
    created_utc: str
    started_utc: str | None
    finished_utc: str | None
    error: ScanError | None
    links: dict[str, str]


class DetectorInfo(BaseModel):
    """A detector, and what its verdicts promise at each usual false-alarm rate, as in the JSON of a scan."""

    name: str
    default: bool
    model: str
    digest: str | None
    licence: str | None
    default_false_alarm: float
    promises: list[dict[str, Any]]


class Version(BaseModel):
    """The program."""

    verovolto: str


class Status(BaseModel):
    """How it is."""

    status: str


def service_of(request: Request) -> Service:
    """The service behind the application."""
    service: Service = request.app.state.service
    return service


def file_info(stored: StoredFile) -> FileInfo:
    """What clients are told of an upload."""
    return FileInfo(sha256=stored.id, **vars(stored))


def scan_info(service: Service, job: Job) -> ScanInfo:
    """What clients are told of a scan."""
    base = f"/v1/scans/{job.id}"
    links = {"self": base, "events": f"{base}/events", "page": f"/scans/{job.id}"}
    if job.state == "done":
        links |= {name: f"{base}/{name}" for name in ("result.json", "report.html", "bundle.zip")}
    done, total = job.progress if job.state == "running" else (0.0, len(job.files))
    return ScanInfo(
        id=job.id, state=job.state, place=service.jobs.place(job),
        progress=ScanProgress(done=float(total) if job.state == "done" else done, total=total),
        files=[ScanFile(**file) for file in job.files], options=job.options, created_utc=job.created_utc,
        started_utc=job.started_utc, finished_utc=job.finished_utc,
        error=None if job.error is None else ScanError(**job.error), links=links,
    )  # fmt: skip


def job_of(service: Service, scan_id: str) -> Job:
    """The scan of an id. Raises `Problem` where there is none."""
    job = service.jobs.get(scan_id)
    if job is None:
        raise Problem("not-found", "there is no scan of this id (results are deleted after a while)")
    return job


def stored_of(service: Service, file_id: str) -> StoredFile:
    """The upload of an id. Raises `Problem` where there is none."""
    stored = service.uploads.get(file_id)
    if stored is None:
        raise Problem("not-found", f"there is no upload {file_id[:64]} (uploads are deleted after a while)")
    return stored


def detector_of(service: Service, name: str | None) -> KnownDetector:
    """The detector of a name, or the first. Raises `Problem` for an unknown one."""
    chosen = next(iter(service.detectors)) if name is None else name
    if chosen not in service.detectors:
        raise Problem("invalid", f"there is no such detector; there are {', '.join(service.detectors)}")
    return service.detectors[chosen]


_BINARY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put(
    "/files",
    openapi_extra=_BINARY,
    responses=documented(
        "bad-request", "origin-not-allowed", "upload-too-slow", "too-large", "invalid", "busy", "disk-full"
    ),
)
async def put_file(request: Request, name: Annotated[str, Query(max_length=4096)] = "") -> FileInfo:
    """Upload a file: its bytes are the body, streamed to disk while they are hashed.

    The limit is counted on the bytes that arrive. `name` is what results call it, text only.
    """
    service = service_of(request)
    settings = service.settings
    if service.arriving >= settings.uploads_at_once:
        raise Problem("busy", "try again in a moment", headers={"Retry-After": "5"})
    service.arriving += 1
    try:
        with service.uploads.arriving() as upload:
            end = time.monotonic() + settings.upload_s
            parts = request.stream().__aiter__()
            while True:
                try:
                    left = min(settings.idle_s, end - time.monotonic())
                    chunk = await asyncio.wait_for(anext(parts), max(left, 0.0))
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    raise Problem("upload-too-slow", "send it again, faster") from None
                upload.write(chunk)
            if not upload.bytes:
                raise Problem("invalid", "the body is empty")
            stored = await run_in_threadpool(service.uploads.keep, upload, name)
    except ClientDisconnect:
        raise Problem("bad-request", "the client went away") from None
    finally:
        service.arriving -= 1
    service.metrics.uploaded.inc(stored.bytes)
    return file_info(stored)


@router.get("/files/{file_id}", responses=documented("not-found", "invalid"))
def get_file(request: Request, file_id: str) -> FileInfo:
    """What is known of an upload."""
    return file_info(stored_of(service_of(request), file_id))


@router.get(
    "/files/{file_id}/content", response_class=FileResponse, responses=documented("not-found", "invalid")
)
def get_content(request: Request, file_id: str) -> Response:
    """The bytes of an upload, for a player; ranges of them are given."""
    service = service_of(request)
    stored = stored_of(service, file_id)
    path = service.uploads.path(stored.id)
    try:
        media_type = _TYPES.get(file_type_of(path).format, "application/octet-stream")
    except UnreadableMedia:
        media_type = "application/octet-stream"
    return FileResponse(path, media_type=media_type, headers={"Content-Security-Policy": REPORT_POLICY})


@router.post(
    "/scans",
    status_code=202,
    responses=documented(
        "bad-request", "origin-not-allowed", "not-found", "too-large", "upload-too-slow", "invalid", "queue-full",
        "disk-full",
    ),
)  # fmt: skip
def post_scan(
    request: Request,
    response: Response,
    wanted: ScanCreate,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> ScanInfo:
    """Queue a scan of uploads. The same `Idempotency-Key` gives the same scan, however often it is sent.

    Args:
        request: carries the service.
        response: gets the scan's address.
        wanted: the scan.
        idempotency_key: of the client's own.
    """
    service = service_of(request)
    if len(wanted.files) > service.settings.max_files:
        raise Problem("invalid", f"a scan may have {service.settings.max_files} files")
    detector = detector_of(service, wanted.detector)
    rate = detector.default_rate if wanted.false_alarm is None else wanted.false_alarm
    try:
        detector.promise(rate)
    except CalibrationError as error:
        raise Problem("false-alarm-not-supported", str(error)) from error
    files = _files(service, wanted, service.jobs.of_key(idempotency_key))
    job = service.jobs.add(
        files,
        {
            "false_alarm": rate, "fps": wanted.fps, "faces": wanted.faces, "detector": detector.name,
            "no_faces": wanted.no_faces,
        },
        idempotency_key or None,
        check=lambda: [stored_of(service, file["id"]) for file in files],
    )  # fmt: skip
    response.headers["Location"] = f"/v1/scans/{job.id}"
    return scan_info(service, job)


def _files(service: Service, wanted: ScanCreate, before: Job | None) -> list[dict[str, str]]:
    """The inputs by id and name, each once; those of a scan that was asked for `before` may be deleted already."""
    known = {} if before is None else {file["id"]: file["name"] for file in before.files}
    found: dict[str, dict[str, str]] = {}
    for each in wanted.files:
        ref = FileRef(id=each) if isinstance(each, str) else each
        if ref.name is not None:
            name = clean_name(ref.name)
        else:
            name = known[ref.id] if ref.id in known else stored_of(service, ref.id).name
        found.setdefault(ref.id, {"id": ref.id, "name": name})
    return list(found.values())


@router.get("/scans/{scan_id}", responses=documented("not-found", "invalid"))
def get_scan(request: Request, scan_id: str) -> ScanInfo:
    """How a scan is: its state, its place in the queue, its progress."""
    service = service_of(request)
    return scan_info(service, job_of(service, scan_id))


@router.get(
    "/scans/{scan_id}/events",
    response_class=EventSourceResponse,
    responses={
        200: {"description": "An event `scan` at every change, until it is over", "content": {"text/event-stream": {}}},
        **documented("not-found", "invalid"),
    },
)  # fmt: skip
async def get_events(request: Request, scan_id: str) -> EventSourceResponse:
    """Server-sent events of a scan; asking for it now and then gives the same."""
    service = service_of(request)
    job = job_of(service, scan_id)

    async def events() -> AsyncIterator[ServerSentEvent]:
        sent = None
        while True:
            text = scan_info(service, job).model_dump_json()
            if text != sent:
                yield ServerSentEvent(data=text, event="scan")
                sent = text
            if job.state in OVER or service.stopping or service.jobs.get(job.id) is None:
                return
            await asyncio.sleep(_LOOK_S)

    return EventSourceResponse(events())


@router.delete(
    "/scans/{scan_id}", status_code=204, responses=documented("origin-not-allowed", "not-found", "invalid")
)
def delete_scan(request: Request, scan_id: str) -> Response:
    """Cancel a scan, or, once it is over, delete its results. Its inputs go with it, unless another scan needs them.

    With `--keep` nothing is deleted, and a scan that is over stays.
    """
    service = service_of(request)
    job = job_of(service, scan_id)
    keep = service.settings.inputs_kept_s is None
    if job.state not in OVER:
        service.jobs.cancel(job)
    elif not keep:
        service.jobs.remove(job)
    if not keep:
        service.runner.delete_inputs(job)
    return Response(status_code=204)


def _written(request: Request, scan_id: str, name: str) -> Path:
    service = service_of(request)
    job = job_of(service, scan_id)
    if job.state != "done":
        raise Problem("not-finished", f"the scan is {job.state}")
    return service.jobs.folder(job) / name


@router.get(
    "/scans/{scan_id}/result.json",
    response_class=FileResponse,
    responses={
        200: {"description": "As scan --json writes it", "content": {"application/json": {}}},
        **documented("not-found", "not-finished", "invalid"),
    },
)
def get_result(request: Request, scan_id: str) -> Response:
    """The result, byte for byte as the command writes it."""
    return FileResponse(_written(request, scan_id, RESULT), media_type="application/json")


@router.get(
    "/scans/{scan_id}/report.html",
    response_class=FileResponse,
    responses={
        200: {"description": "As scan --report writes it", "content": {"text/html": {}}},
        **documented("not-found", "not-finished", "invalid"),
    },
)
def get_report(request: Request, scan_id: str) -> Response:
    """The report, sandboxed."""
    return FileResponse(
        _written(request, scan_id, REPORT),
        media_type="text/html",
        headers={"Content-Security-Policy": REPORT_POLICY},
    )


@router.get(
    "/scans/{scan_id}/bundle.zip",
    response_class=FileResponse,
    responses={
        200: {"description": "As scan --bundle writes it", "content": {"application/zip": {}}},
        **documented("not-found", "not-finished", "invalid"),
    },
)
def get_bundle(request: Request, scan_id: str) -> Response:
    """Result, report and their digests; `verovolto verify` checks it."""
    return FileResponse(
        _written(request, scan_id, BUNDLE), media_type="application/zip", filename="bundle.zip"
    )


@router.get("/detectors", responses=documented())
def get_detectors(request: Request) -> list[DetectorInfo]:
    """The detectors to choose from, the default one first."""
    service = service_of(request)
    first = next(iter(service.detectors))
    return [
        DetectorInfo(
            name=each.name, default=each.name == first, model=each.model, digest=each.digest, licence=each.licence,
            default_false_alarm=each.default_rate, promises=[each.promise(rate).to_dict() for rate in each.rates],
        )
        for each in service.detectors.values()
    ]  # fmt: skip


@plain.get("/health", responses=documented())
def get_health() -> Status:
    """Whether the service answers."""
    return Status(status="ok")


@plain.get("/ready", responses=documented("not-ready"))
def get_ready(request: Request) -> Status:
    """Whether it scans."""
    if not service_of(request).runner.ready:
        raise Problem("not-ready", "no worker is there")
    return Status(status="ready")


@plain.get("/version", responses=documented())
def get_version() -> Version:
    """The version of the program."""
    return Version(verovolto=__version__)


@plain.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus's text format", "content": {"text/plain": {}}},
        **documented(),
    },
)
def get_metrics(request: Request) -> Response:
    """Counters, for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)
