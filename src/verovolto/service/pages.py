"""The page: server-rendered, with a little plain JavaScript for uploads, progress and seeking."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from verovolto import __version__
from verovolto.report.scan_text import CLOSING, clock, operating_point_lines, p_figure, percent, printable
from verovolto.service.api import job_of, scan_info, service_of
from verovolto.service.jobs import Job
from verovolto.service.problems import Problem
from verovolto.service.runner import Service
from verovolto.service.security import COOKIE, session_of
from verovolto.service.worker import PICTURES, RESULT, TEXT, read_view

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
WIDTH, HEIGHT = 1000.0, 200.0
"""Of a timeline, in its own units."""
_WRONG_TOKEN_S = 1.0
_PICTURE = re.compile(r"\d{4}\.jpg")

_templates = Environment(
    loader=PackageLoader("verovolto.service"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals.update(version=__version__, closing=CLOSING)
_templates.filters.update(printable=printable, percent=percent, clock=clock, p=p_figure)


def _page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(f"{name}.html.j2").render(**values), status_code=status)


@router.get("/")
def get_index(request: Request) -> HTMLResponse:
    """What the verdicts promise, and the place to drop files on."""
    service = service_of(request)
    first = next(iter(service.detectors.values()))
    choices = [
        {
            "detector": each.name,
            "model": each.model,
            "rate": rate,
            "selected": (each.name, rate) == (first.name, first.default_rate),
            "lines": operating_point_lines(each.promise(rate)),
        }
        for each in service.detectors.values()
        for rate in each.rates
    ]
    return _page(
        "index",
        choices=choices,
        most=service.settings.max_upload_bytes,
        most_files=service.settings.max_files,
        kept_h=None if service.settings.inputs_kept_s is None else service.settings.inputs_kept_s / 3600,
    )


@router.get("/scans/{scan_id}")
def get_scan_page(request: Request, scan_id: str) -> HTMLResponse:
    """A scan: its progress, and what came of it."""
    service = service_of(request)
    job = service.jobs.get(scan_id)
    if job is None:
        return _page("missing", status=404)
    info = scan_info(service, job).model_dump()
    if job.state != "done":
        return _page("waiting", scan=info)
    return _page("scan", scan=info, **_shown(service, job))


def _shown(service: Service, job: Job) -> dict[str, Any]:
    """What the page of a scan that is done shows."""
    folder = service.jobs.folder(job)
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    view = read_view(folder)
    for file in view["files"]:
        medium = result["media"][file["medium"]]
        given = job.files[file["medium"]]["id"]
        file["timeline"] = timeline(medium, result["promise"])
        file["content"] = f"/v1/files/{given}/content" if service.uploads.get(given) is not None else None
        file["people"] = people(medium)
    return {"view": view, "result": result, "text": (folder / TEXT).read_text(encoding="utf-8")}


def people(medium: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of a file's people: what was decided on each, and why nothing could be."""
    video = medium["medium"] == "video"
    return [
        {
            "id": track["id"],
            "verdict": track["verdict"],
            "when": f"{clock(track['start_s'])}–{clock(track['end_s'])}" if video else None,
            "start_s": track["start_s"],
            "p": None if track["p_adjusted"] is None else p_figure(track["p_adjusted"]),
            "frames": f"{track['frames_judged']} of {track['frames_seen']}",
            "why": "; ".join(track["reasons"]),
        }
        for track in medium["tracks"]
    ]


def timeline(medium: Mapping[str, Any], promise: Mapping[str, Any]) -> dict[str, Any] | None:
    """The score of every judged frame against time, in units of `WIDTH` and `HEIGHT`; None where one frame is all.

    Args:
        medium: of `media[]` in the JSON of a scan.
        promise: of the same.
    """
    tracks = [track for track in medium["tracks"] if track["timeline"]]
    frames = [point for track in tracks for point in track["timeline"]]
    if medium["medium"] != "video" or len({point["frame"] for point in frames}) < 2:
        return None
    known, threshold = promise["calibrated_on"], promise["threshold"]
    scores = [*(point["score"] for point in frames), known["lowest"], known["highest"], threshold]
    low, high = min(scores), max(scores)
    long = max(medium["duration_s"] or 0.0, max(point["time_s"] for point in frames), 1e-9)

    def y(score: float) -> float:
        return float(round(HEIGHT - (score - low) / ((high - low) or 1.0) * HEIGHT, 1))

    def line(points: list[dict[str, Any]]) -> str:
        return " ".join(f"{point['time_s'] / long * WIDTH:.1f},{y(point['score'])}" for point in points)

    return {
        "width": WIDTH, "height": HEIGHT, "duration_s": long, "threshold": y(threshold),
        "band": (y(known["highest"]), round(y(known["lowest"]) - y(known["highest"]), 1)),
        "tracks": [{"id": track["id"], "points": line(track["timeline"])} for track in tracks],
        "stops": [
            {
                "t": point["time_s"],
                "text": f"{clock(point['time_s'], tenths=True)}, face {number}, score {point['score']:.3g}, "
                f"p {p_figure(point['p_value'])}",
            }
            for point, number in sorted(
                ((point, track["id"]) for track in tracks for point in track["timeline"]),
                key=lambda each: (each[0]["time_s"], each[1]),
            )
        ],
    }  # fmt: skip


@router.get("/scans/{scan_id}/pictures/{name}")
def get_picture(request: Request, scan_id: str, name: str) -> Response:
    """A picture of a scan."""
    service = service_of(request)
    path = service.jobs.folder(job_of(service, scan_id)) / PICTURES / name
    if not _PICTURE.fullmatch(name) or not path.is_file():
        raise Problem("not-found", "there is no such picture")
    return FileResponse(path, media_type="image/jpeg")


@router.get("/login")
def get_login() -> HTMLResponse:
    """Where the token is asked for."""
    return _page("login", wrong=False)


@router.post("/login")
async def post_login(request: Request) -> Response:
    """Take the token, and let the browser keep a proof of it."""
    token = service_of(request).settings.token
    given = parse_qs((await request.body()).decode(errors="replace")).get("token", [""])[0]
    answer: Response = RedirectResponse("/", status_code=303)
    if token is None:
        return answer
    if session_of(given) != session_of(token):  # digests: comparing them shows nothing of the token
        await asyncio.sleep(_WRONG_TOKEN_S)
        return _page("login", status=401, wrong=True)
    answer.set_cookie(
        COOKIE, session_of(token), httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return answer
