"""`verovolto pull` and `verovolto push`: detectors from and to a model hub."""

from __future__ import annotations

from pathlib import Path


def pull(repository: str, /, *, out: Path, revision: str | None = None) -> None:
    """Fetch a detector from the model hub into a folder; every command takes the folder as a detector.

    Only safetensors, JSON and texts are fetched, and checked against their digests. The folder's `hub.json` keeps the
    commit. Needs `pip install 'verovolto[hub]'`; the variable HF_ENDPOINT names another server.

    Parameters
    ----------
    repository
        OWNER/NAME.
    out
        Folder for the detector, new or empty.
    revision
        Branch, tag or commit; a commit is the same for good. [default: the main branch]
    """
    from verovolto.detectors.hub import pull as pull_folder

    origin = pull_folder(repository, out, revision=revision)
    print(f"detector: {out.resolve()}\ncommit: {origin.commit}")


def push(
    detector: Path,
    repository: str,
    /,
    *,
    licence: str | None = None,
    private: bool = False,
    message: str | None = None,
) -> None:
    """Send a detector to the model hub as one commit, with a README made of its model card.

    Needs `pip install 'verovolto[hub]'` and a token in the variable HF_TOKEN.

    Parameters
    ----------
    detector
        Folder of a detector, or of the run that made it; default for the one of the package.
    repository
        OWNER/NAME; it is made where it is not there.
    licence
        Of the weights, as the hub's list has it: cc-by-4.0. [default: what lies beside the detector]
    private
        A new repository is for its owner alone.
    message
        Of the commit.
    """
    from verovolto.detectors.base import load_detector
    from verovolto.detectors.io import detector_folder

    opened = load_detector(detector_folder(detector))
    commit = opened.push_to_hub(repository, licence=licence, private=private, message=message)
    print(f"commit: {commit}")
