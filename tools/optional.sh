#!/usr/bin/env bash
# Checks that need programs which are not Python's or not ours: tools/optional.sh VENV
#
# Chromium drives the page (package playwright), schemathesis tries the API against its description, and the extras that
# are large (Ray, other runtimes, other loggers) have their tests. What cannot be had is skipped, in so many words; what
# can be had and fails makes the exit code 1.
set -uo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
failed=0

say() { printf 'optional: %s\n' "$*"; }

browser() {
    if ! command -v chromium >/dev/null && ! { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null 2>&1; then
        say "SKIPPED the page in Chromium: it is not installed, and cannot be installed here"
        return
    fi
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check playwright >/dev/null 2>&1; then
        say "SKIPPED the page in Chromium: the package playwright cannot be installed here"
        return
    fi
    VEROVOLTO_BROWSER=1 OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q tests/service/test_browser.py || failed=1
}

schema() {
    local tools=.venv-tools
    if ! { [ -x "$tools/bin/schemathesis" ] || { "$venv/bin/python" -m venv "$tools" &&
        "$tools/bin/pip" install --quiet --disable-pip-version-check schemathesis; }; } >/dev/null 2>&1; then
        say "SKIPPED schemathesis: it cannot be installed here"
        return
    fi
    VEROVOLTO_SCHEMATHESIS=$PWD/$tools/bin/schemathesis OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q tests/service/test_schema.py || failed=1
}

extras() {
    # Within the locked versions: nothing that is there is replaced.
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint requirements.lock "ray[data]>=2.50" \
        onnxruntime onnxscript openvino "mlflow-skinny>=3" "sqlalchemy>=2" "alembic>=1.13" "wandb>=0.20" >/dev/null 2>&1; then
        say "SKIPPED the tests of the large extras: they cannot be installed here"
        return
    fi
    OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q tests/fleet tests/commands/test_fleet.py tests/detectors/exported tests/training/test_loggers.py ||
        failed=1
}

browser
schema
extras
[ "$failed" = 0 ] || say "FAILED"
exit "$failed"
