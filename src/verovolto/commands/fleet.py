"""`verovolto fleet`: scan and prepare over the machines of a Ray cluster, with the flags of the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter
from docstring_parser import parse_from_object

from verovolto.commands import prepare as prepare_command
from verovolto.commands import scan as scan_command
from verovolto.core.errors import InputError

_ADDRESS = (
    "Head of the Ray cluster, such as head:6379. [default: RAY_ADDRESS, else the cluster that this machine is part of, "
    "else this machine alone]"
)
_WORKERS = "Processes, one thread each, over all machines. [default: one a CPU of the cluster]"


def scan(
    paths: tuple[Path, ...] = (),
    /,
    *,
    out: Path,
    address: str | None = None,
    workers: int | None = None,
    **given: Any,
) -> int:
    """Look for signs of forgery in many files, over the machines of a Ray cluster.

    The results are those of `verovolto scan --list FILES --out DIR`, in the same folder, which every machine has to
    see, as it has to see the files: `verovolto scan --out DIR --json FILE` makes JSON and report of them. What a lost
    machine was at is done again by another; the same command goes on after a kill. Exit code 1: done, but some files
    could not be scanned.

    Parameters
    ----------
    paths
        As of `verovolto scan`; so are the others that are not named here.
    out
        Folder that keeps the results.
    address
        Head of the cluster.
    workers
        Processes over all machines.
    """
    from verovolto.core.files import check_out
    from verovolto.scanning.request import ScanRequest

    if not paths and given.get("list_file") is None:
        raise InputError("there is nothing to scan", hint="give files, folders or --list")
    check_out(out)
    if given.pop("every_frame", False):
        given["fps"] = None
    request = ScanRequest(paths=paths, **given)
    with _cluster(address) as (cpus, execute):
        return scan_command.keep_results(request, out, None, workers or cpus, execute)


def prepare(src: Path, *, address: str | None = None, workers: int | None = None, **given: Any) -> int:
    """Cut the faces out of videos and photographs, over the machines of a Ray cluster.

    The set is that of `verovolto prepare`. Every machine has to see SRC and OUT. What a lost machine was at is done
    again by another; the same command goes on after a kill.
    """
    with _cluster(address) as (cpus, execute):
        return prepare_command.prepare_with(src, execute=execute, workers=workers or cpus, **given)


@contextmanager
def _cluster(address: str | None) -> Iterator[tuple[int, Any]]:
    """The CPUs of the cluster, and what spreads jobs over it."""
    try:
        from verovolto.fleet import cluster, run_on_cluster
    except ImportError as error:
        raise InputError(
            f"a fleet needs the package {error.name}", hint='install it with: pip install "verovolto[fleet]"'
        ) from error
    try:
        with cluster(address) as cpus:
            yield cpus, run_on_cluster
    except ConnectionError as error:
        said = str(error).partition("\n")[0]
        raise InputError(
            f"no Ray cluster answers: {said}", hint="check --address, RAY_ADDRESS and ray start"
        ) from error


def _as(command: Callable[..., Any], of: Callable[..., Any], *, without: set[str]) -> None:
    """Give `command` the flags of another one, their help too, and those of a cluster."""
    hints = get_type_hints(of, include_extras=True)
    texts = {each.arg_name: each.description or "" for each in parse_from_object(of).params}
    flags = []
    for each in inspect.signature(of).parameters.values():
        if each.name in without:
            continue
        text = _WORKERS if each.name == "workers" else texts[each.name]
        annotation: Any = Annotated.__class_getitem__((hints[each.name], Parameter(help=text)))  # type: ignore[attr-defined]
        default = inspect.Parameter.empty if each.name == "out" else each.default
        flags.append(each.replace(annotation=annotation, default=default))
    address: Any = Annotated[str | None, Parameter(help=_ADDRESS)]
    flags.append(
        inspect.Parameter("address", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=address)
    )
    command.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in flags}


_as(scan, scan_command.scan, without={"shard", "to_json", "report", "form", "bundle", "no_faces"})
_as(prepare, prepare_command.prepare, without=set())
