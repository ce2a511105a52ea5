#!/usr/bin/env bash
# Measure everything that needs a GPU, most important first, within eight minutes.
#
#   bash benchmarks/gpu/run.sh            on the GPU machine, in a checkout with the folder that pack.sh made
#   bash benchmarks/gpu/run.sh --smoke    the same parts with a few steps each, on a CPU (docs/benchmark.md)
#
# PYTHON   the interpreter                                 (default: python3)
# KIT      the folder that pack.sh made                    (default: .gpu)
# OUT      where results go, eight files at most           (default: outputs/gpu)
# BUDGET   seconds for all parts                           (default: 480)
# NEU_DET_STEPS   optimizer steps on NEU-DET              (default: 450; an H100 took 3.5 per second)
# ROUNDS   of training speed beside the example          (default: 2)
# ONLY     names of the parts to run, in one string        (default: all)
# Each part has a time limit, writes its result immediately, and does not stop the next one when it fails. The exit
# status is 1 if a part failed or was left out.
set -uo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
KIT=$(realpath "${KIT:-.gpu}")
OUT=${OUT:-outputs/gpu}
BUDGET=${BUDGET:-480}
ONLY=${ONLY:-environment tests neu_det data_wait step_time recipe_memory deeppcb}
NEU_DET_STEPS=${NEU_DET_STEPS:-450}
ROUNDS=${ROUNDS:-2}
SMOKE=
[ "${1:-}" != --smoke ] || SMOKE=1
mkdir -p "$OUT"
OUT=$(realpath "$OUT")
LOG="$OUT/log.txt"
SUMMARY="$OUT/summary.txt"
: > "$LOG"
: > "$SUMMARY"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
STARTED=$SECONDS
FAILED=

say() { echo "$*" | tee -a "$SUMMARY" "$LOG"; }

# part NAME LIMIT_SECONDS COMMAND...
part() {
  local name=$1 limit=$2 left=$((BUDGET - (SECONDS - STARTED))) began=$SECONDS status
  shift 2
  case " $ONLY " in *" $name "*) ;; *) return ;; esac
  if [ "$left" -lt 20 ]; then
    say "$name: skipped, only $left s of $BUDGET were left"
    FAILED=1
    return
  fi
  [ "$limit" -le "$left" ] || limit=$left
  echo "=== $name (at most $limit s)" | tee -a "$LOG"
  timeout --kill-after=10 --signal=INT "$limit" "$@" >> "$LOG" 2>&1
  status=$?
  if [ $status = 0 ]; then
    say "$name: passed in $((SECONDS - began)) s"
  else
    say "$name: FAILED with status $status after $((SECONDS - began)) s (124: over its limit)"
    tail -n 25 "$LOG"
    FAILED=1
  fi
}

[ -d "$KIT/wheels" ] || { echo "There is no folder $KIT/wheels. Run benchmarks/gpu/pack.sh first." >&2; exit 2; }
"$PYTHON" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target "$WORK/site" "$KIT"/wheels/*.whl \
  >> "$LOG" 2>&1 || { tail -n 5 "$LOG"; exit 2; }
export PYTHONPATH="$PWD:$WORK/site" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 HF_HOME="$WORK/hf" OMP_WAIT_POLICY=passive
[ -z "$SMOKE" ] || export PYTHONPATH="$PWD/benchmarks/gpu/smoke:$PYTHONPATH" ACCELERATE_USE_CPU=true
export BENCHMARK_COMMIT=$(head -n 1 "$KIT/commit") BENCHMARK_CHANGED=$(sed -n 2p "$KIT/commit")
DATA="$WORK/data"
for archive in "$KIT"/*.tar.gz; do
  folder="$DATA/$(basename "$archive" .tar.gz)"
  mkdir -p "$folder" && tar -C "$folder" -xzf "$archive"
done
export RADIKAL_REAL="$DATA"

part environment 30 "$PYTHON" benchmarks/gpu/environment.py --output "$OUT/environment.txt" ${SMOKE:+--no-gpu}
if [ -n "$FAILED" ]; then
  say "Stopped: the kit was not tested with this environment (environment.txt)."
  exit 1
fi

if [ -z "$SMOKE" ]; then
  # Only the files that contain such tests: others need packages that the machine lacks.
  part tests 90 "$PYTHON" -m pytest -p no:cacheprovider -q -m gpu -rs $(grep -rl "mark.gpu" tests --include="*.py")
  part neu_det 230 "$PYTHON" benchmarks/gpu/scored_run.py neu_det --data-dir "$DATA/neu_det" \
    --steps "$NEU_DET_STEPS" --output "$OUT/neu_det.json" --work-dir "$WORK"
  part data_wait 90 "$PYTHON" benchmarks/loading.py --gpu --only neu_det --data-dir "$DATA/neu_det" --threads 12 \
    --cache "$WORK/loading" --output "$OUT/data_wait.json"
  part step_time 110 "$PYTHON" benchmarks/training_step.py --data-dir "$DATA/neu_det" --model-size small --image-size 640 \
    --batch 16 --workers 12 --threads 12 --warm-up 5 --steps 20 --rounds "$ROUNDS" --plain-example --output "$OUT/step_time.md"
  part recipe_memory 90 "$PYTHON" benchmarks/gpu/recipe_memory.py --output "$OUT/recipe_memory.json" --work-dir "$WORK"
  [ ! -d "$DATA/deeppcb" ] ||
    part deeppcb 300 "$PYTHON" benchmarks/gpu/scored_run.py deeppcb --data-dir "$DATA/deeppcb" --steps 400 \
      --any-data --output "$OUT/deeppcb.json" --work-dir "$WORK"
else
  BUDGET=3000
  # The gpu tests are collected and skipped without a device; the CPU tests of the same code run in their place.
  part tests 900 "$PYTHON" -m pytest -p no:cacheprovider -q tests/loaders/test_gpu.py tests/training/test_fp16.py \
    tests/loaders/test_augmentation_light.py tests/training/test_models.py
  part neu_det 600 "$PYTHON" benchmarks/gpu/scored_run.py neu_det --data-dir "$DATA/neu_det" --steps 2 \
    --output "$OUT/neu_det.json" --work-dir "$WORK" --image_size 64 --model_size nano
  part data_wait 300 "$PYTHON" benchmarks/loading.py --gpu --only neu_det --data-dir "$DATA/neu_det" --threads 2 \
    --cache "$WORK/loading" --output "$OUT/data_wait.json"
  part step_time 600 "$PYTHON" benchmarks/training_step.py --data-dir "$DATA/neu_det" --model-size nano --image-size 64 \
    --batch 4 --workers 1 --threads 1 --warm-up 1 --steps 2 --rounds 1 --plain-example --output "$OUT/step_time.md"
  part recipe_memory 900 "$PYTHON" benchmarks/gpu/recipe_memory.py --output "$OUT/recipe_memory.json" --work-dir "$WORK" \
    --steps 1 --only neu_det deeppcb_pair neu_det_classifier --image-size 160
  [ ! -d "$DATA/deeppcb" ] ||
    part deeppcb 600 "$PYTHON" benchmarks/gpu/scored_run.py deeppcb --data-dir "$DATA/deeppcb" --steps 2 \
      --any-data --output "$OUT/deeppcb.json" --work-dir "$WORK" --image_size 64 --model_size nano
fi
say "all parts: $((SECONDS - STARTED)) s"
exit ${FAILED:-0}
