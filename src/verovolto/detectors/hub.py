"""Detectors on a model hub (extra `hub`): fetched at a commit, handed on with a README.

Only safetensors, JSON and texts are asked for and sent; what comes is checked against the digests in `detector.json`,
as any detector's folder is. The server is that of the variable HF_ENDPOINT, the hub's own where it is not set.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.core.errors import DetectorError, InputError, VerovoltoError
from verovolto.core.files import read_json_object, write_json
from verovolto.detectors.io import (
    JSON_NAME,
    LICENCES,
    SHIPPED,
    WEIGHTS_NAME,
    detector_folder,
    find_folder,
    read_description,
    read_tensors,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ORIGIN = "hub.json"
"""Beside a detector that was pulled: the repository and the commit that it came from."""
TEXTS = ("README.md", "MODEL_CARD.md", *LICENCES)
GRAPHS = ("network.onnx", "network.xml", "network.bin")
"""Files of exported detectors."""

PATTERNS = (
    JSON_NAME, WEIGHTS_NAME, *GRAPHS, f"parts/*/{JSON_NAME}", f"parts/*/{WEIGHTS_NAME}",
    *(f"parts/*/{name}" for name in GRAPHS), *TEXTS,
)  # fmt: skip
"""All that is fetched and sent; `parts/` are those of a fusion."""
REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a detector came from: `OWNER/NAME`, and the commit, 40 hexadecimal digits."""

    repository: str
    commit: str


def locate(
    path_or_id: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | Path | None = None,
) -> tuple[Path, Origin | None]:
    """The folder of a detector, and where it came from; what is not a folder here is fetched.

    Args:
        path_or_id: a folder, the name of a detector that comes along, or `OWNER/NAME` on the hub.
        revision: branch, tag or commit; the main branch without.
        local_files_only: take what was fetched before, and ask nobody.
        cache_dir: where fetched detectors are kept; the hub's own place without (HF_HOME).

    Raises:
        DetectorError: there is no such detector, here or there, or nobody could be asked.
        InputError: the extra `hub` is needed and not installed, or a revision is asked of a folder.
    """
    name = str(path_or_id)
    if name in SHIPPED or Path(name).exists():
        if revision is not None:
            raise InputError(f"{name} lies here and has no revisions", hint="leave out the revision")
        folder = find_folder(detector_folder(name))
        return folder, origin_of(folder)
    if not REPOSITORY.fullmatch(name):
        raise DetectorError(
            f"{name} is neither a folder nor OWNER/NAME", hint="give a folder, or a repository of the hub"
        )
    with _in_words(name, revision):
        got = _api().snapshot_download(
            name, revision=revision, allow_patterns=[*PATTERNS], local_files_only=local_files_only,
            cache_dir=None if cache_dir is None else str(cache_dir),
        )  # fmt: skip
    folder = Path(got)  # called as the commit
    return folder, Origin(repository=name, commit=folder.name)


def pull(repository: str, out: Path, *, revision: str | None = None) -> Origin:
    """Fetch a detector into a new folder, which appears whole; nothing is kept elsewhere.

    Args:
        repository: `OWNER/NAME`.
        out: folder for it, new or empty.
        revision: branch, tag or commit; the main branch without.
    """
    if not REPOSITORY.fullmatch(repository):
        raise InputError(f"{repository} is no repository", hint="give OWNER/NAME")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty", hint="give a new --out")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}.") as place:
        folder, origin = locate(repository, revision=revision, cache_dir=Path(place) / "cache")
        assert origin is not None, "it was fetched"
        part = Path(place) / "part"
        shutil.copytree(folder, part, symlinks=False)
        check(part)
        write_json(part / ORIGIN, asdict(origin))
        part.replace(out)
    return origin


def check(folder: Path) -> None:
    """Raises `DetectorError` where a file of a detector, or of the parts of a fusion, is not what its digest says."""
    for each in (folder, *sorted(folder.glob("parts/*"))):
        read_tensors(each, read_description(each))


def push(folder: Path, repository: str, *, private: bool = False, message: str | None = None) -> Origin:
    """Send a folder that `Detector.save_pretrained` wrote to the hub, as one commit.

    Args:
        folder: with a README.
        repository: `OWNER/NAME`; it is made where it is not there.
        private: whether a new one is for its owner alone.
        message: of the commit.

    Raises:
        DetectorError: the hub refuses it, or cannot be reached.
    """
    if not REPOSITORY.fullmatch(repository):
        raise InputError(f"{repository} is no repository", hint="give OWNER/NAME")
    with _in_words(repository, None):
        api = _api()
        api.create_repo(repository, private=private, exist_ok=True)
        sent = api.upload_folder(
            repo_id=repository, folder_path=str(folder), allow_patterns=[*PATTERNS],
            commit_message=message or "A detector, written by verovolto",
        )  # fmt: skip
    return Origin(repository=repository, commit=sent.oid)


def origin_of(folder: Path) -> Origin | None:
    """Where a pulled folder came from; None for one that was made here."""
    file = folder / ORIGIN
    if not file.is_file():
        return None
    written = read_json_object(file)
    try:
        return Origin(repository=str(written["repository"]), commit=str(written["commit"]))
    except KeyError as error:
        raise DetectorError(f"{file} lacks {error}", hint="pull the detector again") from error


def _api() -> HfApi:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise InputError("the hub needs the extra hub", hint="pip install 'verovolto[hub]'") from error
    settings: dict[str, Any] = {
        "endpoint": os.environ.get("HF_ENDPOINT") or None,
        "library_name": "verovolto",
    }
    return HfApi(**settings)


@contextmanager
def _in_words(repository: str, revision: str | None) -> Iterator[None]:
    """What goes wrong on the way, as an error for people."""
    try:
        yield
    except VerovoltoError:
        raise
    except Exception as error:  # those of the HTTP library have no common ancestor, and it has changed before
        raise _told(error, repository, revision) from error


def _told(error: Exception, repository: str, revision: str | None) -> Exception:
    """The error for people; the error itself where it is none of the hub's or the network's."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        return DetectorError(
            f"{repository} is not on this machine, or not whole", hint="pull it once with a network"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return DetectorError(f"{repository} has no revision {revision}", hint="give a branch, tag or commit")
    if isinstance(error, errors.RepositoryNotFoundError | errors.GatedRepoError):
        return DetectorError(
            f"there is no {repository} on the hub, or it is not open to you",
            hint="check the name; what is private needs the variable HF_TOKEN",
        )
    if isinstance(error, OSError) or type(error).__module__.startswith(("huggingface_hub", "httpx")):
        first = str(error).strip().partition("\n")[0]
        return DetectorError(f"the hub did not give or take {repository}: {first}", hint="try it again")
    return error
