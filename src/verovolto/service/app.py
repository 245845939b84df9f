"""The application: routes, layers and errors around a service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.staticfiles import StaticFiles

from verovolto import __version__
from verovolto.service import api, pages, problems
from verovolto.service.metrics import CountRequests
from verovolto.service.runner import Service
from verovolto.service.security import Guard
from verovolto.service.settings import ServiceSettings


def create_app(settings: ServiceSettings) -> FastAPI:
    """The application of a service; it scans from its start-up to its shutdown.

    Raises:
        InputError: another service uses the folder.
        DetectorError: a detector is not there or damaged.
    """
    service = Service.of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.runner.start()
        yield
        service.close()

    app = FastAPI(
        title="verovolto",
        version=__version__,
        description="Photos and videos in, verdicts with their error rates out. Errors are RFC 9457 problems.",
        lifespan=lifespan,
        docs_url=None,  # they fetch scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    problems.install(app)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    app.include_router(api.plain)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(CountRequests, metrics=service.metrics)
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with the problems that routes refer to by name."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schema["components"]["schemas"]["ProblemDetails"] = problems.ProblemDetails.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema
