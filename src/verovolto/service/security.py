"""Who may ask for what: the name of the service, other sites, the token, the size and pace of bodies, and headers.

One layer around everything, so that no route can be forgotten. A page of another site that points its own name at
this machine (DNS rebinding) fails at the `Host`; one that sends forms or scripts here fails at the `Origin`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from verovolto.service.problems import Problem, problem_response
from verovolto.service.settings import LOOPBACK, ServiceSettings

COOKIE = "verovolto"
OPEN_PATHS = ("/health", "/ready", "/version", "/login", "/static/")
"""What is answered without a token."""
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all, browsers send forms of our own page with the origin `null`
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LARGEST_BODY = 1 << 20
"""Bytes of any body but an upload's."""
_log = logging.getLogger(__name__)
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}


def session_of(token: str) -> str:
    """What the browser keeps after the token was given: it proves the token and does not tell it."""
    return hmac.new(token.encode(), b"verovolto session", hashlib.sha256).hexdigest()


def host_name(host: str) -> str:
    """The name in a `Host` header, without the port.

    >>> host_name("Localhost:8765"), host_name("[::1]:8765"), host_name("")
    ('localhost', '::1', '')
    """
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def same_origin(headers: Headers) -> bool:
    """Whether a write comes from a page of this service, or from no page at all."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("same-origin", "none")
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""


class Guard:
    """The layer; see the module."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self._app, self._token, self._idle_s = app, settings.token, settings.idle_s
        own = () if settings.host in ("0.0.0.0", "::") else (settings.host,)
        self._names = {name.lower() for name in (*LOOPBACK, *own, *settings.allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._refused(scope, headers)
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
            return
        if scope["path"] != "/v1/files" and scope["method"] in _WRITES:
            try:
                receive = _again(await _small_body(receive, self._idle_s), receive)
            except Problem as problem:
                answer = problem_response(problem.code, problem.detail)
                await answer(scope, receive, _with_headers(send))
                return
        await self._pass_on(scope, receive, _with_headers(send))

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; a bug of it is told of as such, unless the answer has begun."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            _log.exception("a request could not be answered")
            if begun:
                raise
            answer = problem_response("internal", f"an error that nobody foresaw ({type(error).__name__})")
            await answer(scope, receive, send)

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        if len(headers.getlist("host")) != 1 or host_name(headers["host"]) not in self._names:
            return problem_response("host-not-allowed", "allow the name with --allow-host, or use localhost")
        if scope["method"] in _WRITES and not same_origin(headers):
            return problem_response("origin-not-allowed", "a page of another site sent this")
        if self._token is None or self._let_in(scope["path"], headers):
            return None
        if "text/html" in headers.get("accept", "") and not scope["path"].startswith("/v1/"):
            return RedirectResponse("/login", status_code=303)
        challenge = {"WWW-Authenticate": "Bearer"}
        return problem_response("token-missing", "send Authorization: Bearer TOKEN", headers=challenge)

    def _let_in(self, path: str, headers: Headers) -> bool:
        assert self._token is not None, "asked for"
        if any(path == each or (each.endswith("/") and path.startswith(each)) for each in OPEN_PATHS):
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _equal(given.strip(), self._token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and _equal(cookie.value, session_of(self._token))


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


async def _small_body(receive: Receive, limit_s: float) -> bytes:
    """The whole body of a request in whose size and pace nobody is trusted. Raises `Problem` beyond either."""
    parts, more = bytearray(), True
    try:
        async with asyncio.timeout(limit_s):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem("bad-request", "the client went away")
                parts += message.get("body", b"")
                more = message.get("more_body", False)
                if len(parts) > LARGEST_BODY:
                    raise Problem("too-large", f"a body may have {LARGEST_BODY:,} bytes")
    except TimeoutError:
        raise Problem("upload-too-slow", f"the body was not there after {limit_s:g} s") from None
    return bytes(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once more; then whatever comes."""
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            wanted: Mapping[str, str] = {"Content-Security-Policy": PAGE_POLICY, **HEADERS}
            for name, value in wanted.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
