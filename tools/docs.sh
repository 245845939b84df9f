#!/usr/bin/env bash
# Build the documents as a site, without a warning: tools/docs.sh VENV [OUT]
#
# Sphinx lies in an environment of its own beside VENV's packages, so that an environment of the user's stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
out=${2:-build/docs}
tools=.venv-docs

if [ ! -x "$tools/bin/sphinx-build" ]; then
    "$venv/bin/python" -m venv "$tools"
    "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$("$tools/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/verovolto-tools.pth"
    "$venv/bin/python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' |
        xargs "$tools/bin/python" -m pip install --quiet --disable-pip-version-check
fi
PYTHONPATH=src "$tools/bin/sphinx-build" -b html -n -W --keep-going -q docs "$out"
"$tools/bin/python" tools/check_docs.py
printf 'docs: %s\n' "$(cd "$out" && pwd)/index.html"
