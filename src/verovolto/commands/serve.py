"""`verovolto serve`: a page to drop videos on, and an API to call."""

from __future__ import annotations

from pathlib import Path

from verovolto.core.errors import InputError


def serve(
    *,
    detector: list[Path] | None = None,
    folder: Path = Path("verovolto-service"),
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str | None = None,
    token_file: Path | None = None,
    allow_host: list[str] | None = None,
    workers: int = 1,
    queue: int = 100,
    time_limit: float = 1800.0,
    max_upload_megabytes: float = 4000.0,
    max_megapixels: float | None = None,
    delete_after_hours: float = 24.0,
    keep: bool = False,
) -> None:
    """Serve a page and an API that scan photos and videos.

    Nothing is fetched from elsewhere and nothing is sent anywhere. Uploads and results lie in one folder; a service
    that was stopped, in whatever way, goes on with its queue when it is started again.

    Parameters
    ----------
    detector
        Detector that may be chosen, by its folder's name: a folder, or default, free or lite0; may be given
        again. [default: the one of the package]
    folder
        Where uploads and results are kept.
    host
        Address to listen on; any but loopback needs a token.
    port
        Its port.
    token
        Secret that every request must bring.
    token_file
        File with the secret, which then stands in no list of processes.
    allow_host
        Name by which the service may be called besides localhost; may be given again.
    workers
        Processes that scan, one scan each.
    queue
        Scans that may wait; more are refused with status 429.
    time_limit
        Seconds after which a scan is cut off.
    max_upload_megabytes
        Largest upload, millions of bytes.
    max_megapixels
        Largest photo and video frame, millions of pixels. [default: 67 for photos, 33 for frames]
    delete_after_hours
        Hours after which uploads are deleted.
    keep
        Delete nothing, for custody.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import sse_starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise InputError(
            f"the service needs the package {error.name}",
            hint='install it with: pip install "verovolto[serve]"',
        ) from error

    from verovolto.detectors.io import detector_folder
    from verovolto.service.app import create_app
    from verovolto.service.settings import ServiceSettings

    folders = [detector_folder(each) for each in detector or (None,)]
    names = [each.resolve().name for each in folders]
    if len(set(names)) < len(names):
        raise InputError(
            "two detectors have folders of one name", hint="rename one of those given with --detector"
        )
    settings = ServiceSettings(
        folder=folder,
        detectors=dict(zip(names, folders, strict=True)),
        host=host,
        port=port,
        token=_secret(token, token_file),
        allowed_hosts=tuple(allow_host or ()),
        workers=workers,
        queue=queue,
        time_limit_s=time_limit,
        max_upload_bytes=round(max_upload_megabytes * 1e6),
        max_megapixels=max_megapixels,
        inputs_kept_s=None if keep else delete_after_hours * 3600,
        results_kept_s=None if keep else ServiceSettings.results_kept_s,
    )
    app = create_app(settings)
    shown = f"[{host}]" if ":" in host else host
    print(f"the page: http://{shown}:{port}/ (Ctrl-C stops the service)", flush=True)
    uvicorn.run(
        app, host=host, port=port, log_level="warning", limit_concurrency=512, timeout_graceful_shutdown=5
    )


def _secret(token: str | None, file: Path | None) -> str | None:
    """The token, from wherever it is given."""
    if token is not None and file is not None:
        raise InputError("the token is given twice", hint="give --token or --token-file")
    secret = file.read_text(encoding="utf-8").strip() if file is not None else token
    if secret is not None and len(secret) < 8:
        raise InputError("a token has at least 8 characters", hint="give a longer --token")
    return secret
