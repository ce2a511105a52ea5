#!/usr/bin/env bash
# On one GPU, within ten minutes each: speed against transformers' example in fp16, or a seed of the frozen benchmark.
# NOT YET RUN on a GPU: the session that wrote it had none. Its figures belong into benchmarks/results/.
#
#   OUT=/tmp/out WHEELS=wheels NEU_DET=data/neu_det bash benchmarks/gpu_training.sh speed
#   OUT=/tmp/out WHEELS=wheels NEU_DET=data/neu_det SEED=0 bash benchmarks/gpu_training.sh accuracy
#
# OUT      where gpu.txt, the logs and results go              (default: outputs/gpu_training)
# WHEELS   a folder of wheels carried along, if the machine has no package index; empty: the environment is ready.
#          speed needs albumentations, torchmetrics and pycocotools beside the extra [train]
# NEU_DET, DEEPPCB, GDXRAY   raw trees; SET=neu_det|deeppcb|gdxray_castings chooses (default: neu_det)
# SEED     of accuracy (default: 0); further words go to training/train.py, such as --max_train_steps 4000
set -euo pipefail
cd "$(dirname "$0")/.."
WHAT=${1:-}
case $WHAT in
  speed | accuracy) shift ;;
  *) echo "the first word is '$WHAT'; it can be speed or accuracy" >&2; exit 2 ;;
esac
OUT=${OUT:-outputs/gpu_training}
SET=${SET:-neu_det}
mkdir -p "$OUT"
if [ -n "${WHEELS:-}" ]; then
  python3 -m pip install --quiet --no-index --find-links "$WHEELS" -e ".[train]"
  [ "$WHAT" != speed ] || python3 -m pip install --quiet --no-index --find-links "$WHEELS" albumentations torchmetrics pycocotools
fi
NEU_DET=${NEU_DET:-$([ -d shared/real/neu_det ] && echo shared/real/neu_det || echo ../shared/real/neu_det)}
case $SET in
  neu_det) DATA=$NEU_DET ;;
  deeppcb) DATA=${DEEPPCB:?the raw tree of the whole DeepPCB} ;;
  gdxray_castings) DATA=${GDXRAY:?the raw tree of GDXray} ;;
  *) echo "SET is $SET; it can be neu_det, deeppcb or gdxray_castings" >&2; exit 2 ;;
esac
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv > "$OUT/gpu.txt"
case $WHAT in
  speed)
    timeout 150 python3 -m pytest -q -m gpu tests/training 2>&1 | tee "$OUT/tests.log" || true
    # small at 640 pixels is what the configs for a GPU train; the example's workers as a 16-core machine has them.
    timeout 400 python3 benchmarks/training_step.py --data-dir "$NEU_DET" --model-size "${SIZE:-small}" \
      --image-size "${EDGE:-640}" --batch "${BATCH:-16}" --workers 4 8 12 --threads "${WORKERS:-12}" --warm-up 15 \
      --steps 40 --rounds "${ROUNDS:-5}" --output "$OUT/training_step.md" 2>&1 | tee "$OUT/speed.log"
    ;;
  accuracy)
    # The result is one file; put it into benchmarks/results/accuracy/ and run accuracy.py --table there.
    timeout 590 python3 benchmarks/accuracy.py "$SET" --data-dir "$DATA" --seeds "${SEED:-0}" --full \
      --results "$OUT/accuracy" --work-dir "${TMPDIR:-/tmp}/accuracy" --dataloader_num_workers "${WORKERS:-12}" "$@" \
      2>&1 | tee "$OUT/accuracy.log"
    ;;
esac
