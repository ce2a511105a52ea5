#!/usr/bin/env bash
# How long a training step on a GPU waits for data, with full augmentation, on the real NEU-DET; under ten minutes.
# NOT YET RUN on a GPU: the session that wrote it had none. Its figures belong into benchmarks/results/.
#
#   OUT=/tmp/out WHEELS=wheels NEU_DET=data/neu_det bash benchmarks/gpu_loading.sh
#
# OUT      where gpu.txt, gpu_loading.json and the log go      (default: outputs/gpu_loading)
# WHEELS   a folder of wheels carried along, if the machine has no package index; empty: the environment is ready
# NEU_DET  the raw tree                                        (default: shared/real/neu_det, then ../shared/real/neu_det)
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-outputs/gpu_loading}
mkdir -p "$OUT"
if [ -n "${WHEELS:-}" ]; then
  python3 -m pip install --quiet --no-index --find-links "$WHEELS" -e ".[train]"
fi
NEU_DET=${NEU_DET:-$([ -d shared/real/neu_det ] && echo shared/real/neu_det || echo ../shared/real/neu_det)}
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv > "$OUT/gpu.txt"
# What only a GPU can show of correctness comes first: pinned memory, the copying stream, augmentation on the device.
timeout 240 python3 -m pytest -q -m gpu tests/loaders 2>&1 | tee "$OUT/tests.log"
timeout 330 python3 benchmarks/loading.py --gpu --only neu_det --data-dir "$NEU_DET" --threads "${THREADS:-12}" \
  --output "$OUT/gpu_loading.json" 2>&1 | tee "$OUT/loading.log"
