#!/usr/bin/env bash
# Full-size rt_detr_v2 with fp16 on the real NEU-DET, within ten minutes on one GPU.
# NOT YET RUN on a GPU: the session that wrote it had none. Its figures belong in the README's table once it has run.
#
#   OUT=/tmp/out WHEELS=wheels NEU_DET=../shared/real/neu_det bash benchmarks/gpu_spine.sh
#
# OUT      where metrics.json, the log and gpu.txt go          (default: outputs/gpu_spine)
# WHEELS   a folder of wheels carried along, if the machine has no package index; empty: the environment is ready
# NEU_DET  the raw tree                                        (default: shared/real/neu_det, then ../shared/real/neu_det)
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-outputs/gpu_spine}
RUN=$(mktemp -d)
mkdir -p "$OUT"
if [ -n "${WHEELS:-}" ]; then
  python3 -m pip install --quiet --no-index --find-links "$WHEELS" -e ".[train]"
fi
NEU_DET=${NEU_DET:-$([ -d shared/real/neu_det ] && echo shared/real/neu_det || echo ../shared/real/neu_det)}
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv > "$OUT/gpu.txt"
# Memory in use, once a second: its maximum is what the configs' comments should tell.
nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -l 1 > "$OUT/memory_mib.txt" &
WATCH=$!
trap 'kill $WATCH 2>/dev/null || true; rm -rf "$RUN"' EXIT
# timeout: what was reached by then is in the last checkpoint, and metrics.json is missing, which says so.
timeout 560 python3 -m accelerate.commands.accelerate_cli launch --quiet --num_processes 1 --mixed_precision fp16 \
  training/train.py training/configs/neu_det_gpu.yaml --data_dir "$NEU_DET" --output_dir "$RUN/run" \
  --num_train_epochs "${EPOCHS:-40}" --dataloader_num_workers "${WORKERS:-12}" --checkpoints_total_limit 1 \
  2>&1 | tee "$OUT/train.log"
cp "$RUN/run/metrics.json" "$RUN/run/train_config.yaml" "$OUT/"
sort -n "$OUT/memory_mib.txt" | tail -1 > "$OUT/memory_max_mib.txt"
python3 - "$OUT" <<'PY'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
m = json.loads((out / "metrics.json").read_text())
t = m["training"]
print(f"precision {m['config']['precision']}, {t['images_per_second']} images/s, {t['seconds'] / 60:.1f} min, "
      f"validation mAP50 {m['validation']['map_50']:.3f}, test mAP50 {m['test']['map_50']:.3f}, "
      f"peak memory {(out / 'memory_max_mib.txt').read_text().strip()} MiB, "
      f"skipped steps {t['skipped_steps']} (scaler {t['scaler_skips']})")
PY
