#!/bin/bash
# What is worth running once a GPU is at hand, in one call: speed of every model, 100,000 crops scored, the default retrained.
#
#     benchmarks/gpu.sh FACES OUT [--smoke]
#
# FACES is a face set with splits. OUT gets gpu.jsonl (a line a figure), and the retrained detector in retrained/. Started
# again, what is there is not done again. --smoke: a few faces, sizes and steps on whatever device there is, to see that it runs.
set -euo pipefail
test $# -ge 2 || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
faces=$1 out=$2 smoke=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
mkdir -p "$out"
"$python" "$here/gpu.py" --data "$faces" --out "$out/gpu.jsonl" $smoke
if [ ! -f "$out/retrained/detector/detector.json" ]; then
    few=$([ -n "$smoke" ] && echo "--limit 16 --region-discriminant.forgeries 8 --region-discriminant.trunk lite0 --region-discriminant.size 64" \
        || echo "--region-discriminant.trunk clip-vit-b16")
    # shellcheck disable=SC2086
    "$python" -m verovolto train --data "$faces" --model region-discriminant --out "$out/retrained" $few
fi
echo "figures: $out/gpu.jsonl; detector: $out/retrained/detector"
