"""Errors as RFC 9457 problem details, each with a code that stays."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from verovolto.core.errors import VerovoltoError

MEDIA_TYPE = "application/problem+json"
PROBLEMS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be understood"),
    "token-missing": (401, "A token is needed"),
    "origin-not-allowed": (403, "Another site may not do this"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "This address does not take this method"),
    "upload-too-slow": (408, "The upload took too long"),
    "not-finished": (409, "The scan has no result (yet)"),
    "too-large": (413, "More than the limit"),
    "host-not-allowed": (421, "The service is not known by this name"),
    "invalid": (422, "A value cannot be used"),
    "false-alarm-not-supported": (422, "The detector cannot support this rate"),
    "key-reused": (422, "The Idempotency-Key was used for another scan"),
    "queue-full": (429, "Too many scans are waiting"),
    "busy": (429, "Too many uploads are under way"),
    "internal": (500, "The service failed"),
    "not-ready": (503, "The service does not scan"),
    "disk-full": (507, "The disk of the service is full"),
    "scan-refused": (422, "The scan could not be made"),
    "time-limit": (422, "The scan took too long and was cut off"),
    "worker-died": (500, "The process that scanned died"),
}
"""Status and title by code. The last are stated in a scan that failed, never as the status of an answer."""


class ProblemDetails(BaseModel):
    """An error (RFC 9457). `code` is stable; `detail` is for people."""

    type: str = Field(examples=["urn:verovolto:problem:not-found"])
    title: str
    status: int
    code: str
    detail: str


class Problem(Exception):
    """An error that is answered as `problem+json`."""

    def __init__(self, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        self.code, self.detail, self.headers = code, detail, dict(headers or {})
        super().__init__(detail)


def details(code: str, detail: str) -> dict[str, Any]:
    """The members of a problem."""
    status, title = PROBLEMS[code]
    return {
        "type": f"urn:verovolto:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
    }


def problem_response(
    code: str, detail: str, *, headers: Mapping[str, str] | None = None, status: int | None = None
) -> JSONResponse:
    """The answer that tells of a problem.

    Args:
        code: of `PROBLEMS`.
        detail: for people.
        headers: of the answer.
        status: where it is not that of the code.
    """
    body = details(code, detail)
    if status is not None:
        body["status"] = status
    return JSONResponse(body, status_code=body["status"], headers=dict(headers or {}), media_type=MEDIA_TYPE)


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for OpenAPI: one a status."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in ("token-missing", "host-not-allowed", "internal", *codes):
        status, title = PROBLEMS[code]
        found[status] = {
            "description": title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
    return found


def install(app: FastAPI) -> None:
    """Let every error of the application be answered as a problem."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> JSONResponse:
        return problem_response(error.code, error.detail, headers=error.headers)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        codes = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 422: "invalid"}
        code = codes.get(error.status_code, "bad-request" if error.status_code < 500 else "internal")
        return problem_response(code, str(error.detail), headers=error.headers, status=error.status_code)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        return problem_response("invalid", "; ".join(wrong))

    @app.exception_handler(VerovoltoError)
    async def _ours(request: Request, error: VerovoltoError) -> JSONResponse:
        return problem_response("invalid", str(error))

    @app.exception_handler(OSError)
    async def _system(request: Request, error: OSError) -> JSONResponse:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return problem_response("disk-full", "nothing was kept; try again when there is room")
        return problem_response("internal", "the service could not read or write a file of its own")
