"""Write requirements.lock: the exact version of everything that verovolto[demo,dev] needs, as installed here.

    make lock        # or: python tools/lock.py requirements.lock

Run it in an environment that `pip install -e '.[demo,dev]'` has just made and whose tests pass. Only what the
package needs, directly or not, is listed: other things in the environment play no part.
"""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT, EXTRAS = "verovolto", ("", "demo", "dev")
HEADER = """\
# Everything that verovolto[demo,dev] needs, in exact versions, for Python 3.11 to 3.13.
# Written by `make lock` out of an environment whose tests pass; not to be edited by hand.
# The package itself is installed after it: pip install --no-deps -e .
"""
GPU_PREFIXES = ("nvidia-", "cuda-", "triton")
# CUDA libraries exist for few platforms; elsewhere torch's own requirements decide.
GPU_MARKER = 'sys_platform == "linux" and platform_machine == "x86_64"'


def needed(root: str, extras: tuple[str, ...]) -> set[str]:
    """Names of all distributions that `root` with its `extras` needs on this machine, itself left out."""
    waiting = [(root, extra) for extra in extras]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for line in distribution(name).requires or []:
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            wanted = canonicalize_name(requirement.name)
            found = {(wanted, each) for each in ("", *requirement.extras)} - seen
            seen |= found
            waiting += sorted(found)
    return {name for name, _ in seen} - {root}


def pinned(name: str) -> str:
    """The lock's line of one distribution."""
    line = f"{name}=={distribution(name).version}"
    return f"{line} ; {GPU_MARKER}" if name.startswith(GPU_PREFIXES) else line


def main() -> None:
    """Write the file named on the command line."""
    lines = sorted(pinned(name) for name in needed(ROOT, EXTRAS))
    Path(sys.argv[1]).write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
