#!/usr/bin/env bash
# Train every model on the real faces of a face set, evaluate each on its test split, compare them.
#
#   nohup benchmarks/train_all.sh DATA [OUT] > train_all.log 2>&1 &
#
# DATA is a face set with the splits train, val and test; OUT (default runs/all) gets a run folder a model and
# the comparison. Killed and started again it goes on where it was: finished models are not trained again, a
# model in training goes on at its last checkpoint. Sizes and epochs fit 2 cores (at most 12 minutes a model);
# for the published sizes on a GPU set SIZE_OC=100 SIZE_RESNET=224 EPOCHS_OC=50 EPOCHS_RESNET=50 BATCH_OC=128
# BATCH_RESNET=100 (see gpu.md).
set -euo pipefail

data=${1:?usage: benchmarks/train_all.sh DATA [OUT]}
out=${2:-runs/all}
verovolto=${VEROVOLTO:-verovolto}

train() { # train NAME FLAGS...: a run folder $out/NAME
  local name=$1
  shift
  echo "== $name: $* ($(date +%T))"
  "$verovolto" train --data "$data" --out "$out/$name" --seed 0 "$@"
}

derive() { # derive NAME MODEL RUN: another model's score on the network of a finished run
  [ -f "$out/$1/detector/detector.json" ] || "$verovolto" train --data "$data" --out "$out/$1" --model "$2" --from "$out/$3"
}

oc=(--size "${SIZE_OC:-100}" --epochs "${EPOCHS_OC:-10}" --batch-size "${BATCH_OC:-64}")
resnet=(--size "${SIZE_RESNET:-96}" --epochs "${EPOCHS_RESNET:-8}" --batch-size "${BATCH_RESNET:-32}")

# Its trunk is meant to be pretrained: what starts from random weights is another model, and is called so.
weights=${WEIGHTS:-none}
ocvae1=resnet-ocvae1
if [ "$weights" = none ]; then ocvae1+=-scratch; fi

train resnet-ocvae2 --model resnet-ocvae2 "${resnet[@]}"
train resnet-ocvae2-spatial --model resnet-ocvae2 --bottleneck spatial "${resnet[@]}"
train resnet-ocvae2-pooled --model resnet-ocvae2 --bottleneck pooled "${resnet[@]}"
train "$ocvae1" --model resnet-ocvae1 --weights "$weights" "${resnet[@]}"
train oc-fakedect1 --model oc-fakedect1 "${oc[@]}"
train oc-ae --model oc-ae "${oc[@]}"
train oc-fakedect2-separate --model oc-fakedect2 --second-encoder separate "${oc[@]}"
derive oc-fakedect2 oc-fakedect2 oc-fakedect1
derive resnet-ocvae-latent resnet-ocvae-latent resnet-ocvae2

evaluated=()
for run in resnet-ocvae2 resnet-ocvae2-spatial resnet-ocvae2-pooled resnet-ocvae-latent "$ocvae1" \
  oc-ae oc-fakedect1 oc-fakedect2 oc-fakedect2-separate; do
  result=$out/results/$run
  evaluated+=("$result")
  if [ ! -f "$result/report.html" ]; then
    echo "== evaluating $run ($(date +%T))"
    "$verovolto" evaluate "$out/$run" --data "$data" --split test --out "$result" --seed 0
  fi
done
"$verovolto" compare "${evaluated[@]}" --out "$out/comparison" --seed 0
"${PYTHON:-python3}" "$(dirname "$0")/results.py" "${evaluated[@]}" | tee "$out/table.md"
