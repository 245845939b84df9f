"""The command line: `verovolto COMMAND`.

A command is a function of `verovolto.commands`, registered by its import path, so that `verovolto --help`
imports none of them. Errors for people are printed as one line on standard error.
"""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter, UnknownCommandError

from verovolto import __version__
from verovolto.core.errors import VerovoltoError
from verovolto.core.files import read_toml

if TYPE_CHECKING:
    from typing_extensions import Buffer

app = App(
    name="verovolto",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` states what an interrupted command leaves behind
    help="Tell real faces from deepfakes: learn from real faces only, flag what does not fit.",
    default_parameter=Parameter(negative=(), json_list=False, json_dict=False),  # `[2024] a.jpg` is a file
    help_format="plaintext",  # of the list of commands, which is then there in half the time
    help_epilogue="Exit codes: 0 done, 1 done in part, 2 wrong use or bad input, 130 interrupted.",
)
data = App(name="data", help="Look at, convert and split sets of face crops.")
fleet = App(name="fleet", help="Scan and prepare over many machines.")

_COMMANDS = "verovolto.commands"
app.command(f"{_COMMANDS}.scan:scan", name="scan", help="Look for signs of forgery in photos and videos.")
app.command(f"{_COMMANDS}.verify:verify", name="verify", help="Check that a scan's result still holds.")
app.command(f"{_COMMANDS}.prepare:prepare", name="prepare", help="Cut faces out of videos and photographs.")
app.command(f"{_COMMANDS}.train:train", name="train", help="Train a one-class model on real faces.")
app.command(f"{_COMMANDS}.evaluate:evaluate", name="evaluate", help="Score a face set and report how well.")
app.command(
    f"{_COMMANDS}.calibrate:calibrate",
    name="calibrate",
    help="Calibrate a detector on real faces of your own.",
)
app.command(f"{_COMMANDS}.export:export", name="export", help="Write a detector for another runtime.")
app.command(f"{_COMMANDS}.fuse:fuse", name="fuse", help="Make one detector of several.")
app.command(f"{_COMMANDS}.compare:compare", name="compare", help="Put several results into one table.")
app.command(
    f"{_COMMANDS}.reproduce:reproduce",
    name="reproduce",
    help="Reproduce the thesis, as published and soundly.",
)
app.command(f"{_COMMANDS}.hub:pull", name="pull", help="Fetch a detector from the model hub.")
app.command(f"{_COMMANDS}.hub:push", name="push", help="Send a detector to the model hub.")
app.command(f"{_COMMANDS}.models:models", name="models", help="List the models.")
app.command(f"{_COMMANDS}.serve:serve", name="serve", help="Serve a page and an API that scan.")
app.command(f"{_COMMANDS}.demo:demo", name="demo", help="Run the whole job on embedded photographs.")
data.command(f"{_COMMANDS}.data:info", name="info", help="Count what a face set holds.")
data.command(f"{_COMMANDS}.data:convert", name="convert", help="Write a face set as Parquet shards.")
data.command(f"{_COMMANDS}.data:split", name="split", help="Make identity- and video-disjoint splits.")
app.command(data)
fleet.command(f"{_COMMANDS}.fleet:scan", name="scan", help="Scan many files over a Ray cluster.")
fleet.command(f"{_COMMANDS}.fleet:prepare", name="prepare", help="Cut out faces over a Ray cluster.")
app.command(fleet)


app.meta.suppress_keyboard_interrupt = False


@app.meta.default
def _with_config(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)], config: Path | None = None
) -> object:
    """Run a command.

    Parameters
    ----------
    config:
        TOML file with any of the command's flags; flags on the command line win.
    """
    if config is not None:
        from cyclopts.config import Dict

        values = read_toml(config)
        commands, _, _ = app.parse_commands(tokens)
        if commands == ("train",):
            values = import_module(f"{_COMMANDS}.train").file_options(values, tokens, config)
        # The file holds flags of the command given alone; a flat table would lose keys named as a command (`data`).
        for name in reversed(commands):
            values = {name: values}
        app.config = (Dict(values, source=str(config)),)
    # A command that returns a number gives the exit code: 1 for what was done in part.
    return app(tokens, exit_on_error=False, print_error=False)


def _show_full_help(words: Sequence[str]) -> None:
    """Let the help of the command given be its whole docstring; the lines above are for lists of commands."""
    command = app
    for name in app.parse_commands(words)[0]:
        if not name.startswith("-"):  # --help counts as a command
            command = command[name]
    if command is not app:
        app.help_format = "markdown"
    if command.default_command is not None:
        command.help = None


class _Pipe(io.FileIO):
    """A standard stream of which nobody need read all: what is written once the reader has left is dropped."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _outlive_readers() -> None:
    """Let commands do their work, and leave with their exit code, though `| head -1` reads one line of them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):
            raw = _Pipe(stream.fileno(), "w", closefd=False)
            layout = {
                key: getattr(stream, key) for key in ("encoding", "errors", "line_buffering", "write_through")
            }
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(raw), **layout))


def _keep_out_of_home() -> None:
    """Let matplotlib keep its list of fonts in a temporary folder of the user's: it would write it below the home."""
    if "MPLCONFIGDIR" in os.environ:
        return
    user = os.getuid() if hasattr(os, "getuid") else 0  # elsewhere each user has temporary files of their own
    folder = Path(tempfile.gettempdir()) / f"verovolto-{user}"
    if folder.exists() and folder.stat().st_uid != user:  # somebody else took the name
        folder = Path(tempfile.mkdtemp(prefix="verovolto-"))
    os.environ["MPLCONFIGDIR"] = str(folder)


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    _outlive_readers()
    _keep_out_of_home()
    try:
        _show_full_help(sys.argv[1:])
        app.meta(sys.argv[1:], exit_on_error=False, print_error=False)
    except VerovoltoError as error:
        _fail(str(error), error.exit_code)
    except CycloptsError as error:
        _fail(f"{str(error).strip()} ({_help_for(error)})", 2)
    except OSError as error:
        _fail(_system_error(error), 2)
    except KeyboardInterrupt as stopped:
        _fail(str(stopped) or "interrupted", 130)
    sys.exit(0)


def _help_for(error: CycloptsError) -> str:
    """Where the flags of the command are explained; of a file in a command's place, the command that takes it."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if isinstance(error, UnknownCommandError) and Path(first).exists():
        return f"to scan it: {shlex.join(['verovolto', 'scan', *sys.argv[1:]])}"
    words = " ".join(word for word in error.command_chain or () if not word.startswith("-"))
    return f"see verovolto {words} --help" if words else "see verovolto --help"


# What a user can mend: the path is wrong, or not theirs to write. Any other failure of the system is a bug's trace.
_MENDABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
    errno.ENAMETOOLONG,
)  # fmt: skip


def _system_error(error: OSError) -> str:
    """An error of the file system in words; it is raised again where it speaks of no file or a bug."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {error.filename or 'while writing'} (free some space and run it again)"
    if error.errno not in _MENDABLE or not error.filename:
        raise error
    return f"{error.filename}: {os.strerror(error.errno)} (check the path and who may write there)"


def _fail(message: str, code: int) -> NoReturn:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)
