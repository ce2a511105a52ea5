#!/usr/bin/env bash
# Gather what a GPU machine without a package index needs, into one ignored folder under 60 MiB.
#
#   bash benchmarks/gpu/pack.sh [FOLDER]        (default: .gpu)
#
# PYTHON    the interpreter whose pip downloads           (default: .venv/bin/python)
# TARGET    the machine's Python version                  (default: 3.12; the smoke environment may have another)
# NEU_DET   the raw tree of NEU-DET                       (default: ../shared/real/neu_det)
# DEEPPCB   the complete raw tree of DeepPCB (optional)   its images travel as 1-bit PNG, a third of the bytes
set -euo pipefail
cd "$(dirname "$0")/../.."
FOLDER=${1:-.gpu}
PYTHON=${PYTHON:-.venv/bin/python}
TARGET=${TARGET:-3.12}
NEU_DET=${NEU_DET:-../shared/real/neu_det}
LIMIT_MIB=60

[ -d "$NEU_DET" ] || { echo "There is no NEU-DET in $NEU_DET. Set NEU_DET to its raw tree." >&2; exit 1; }
rm -rf "$FOLDER"
mkdir -p "$FOLDER/wheels"
"$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$FOLDER/wheels" \
  --python-version "$TARGET" --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform any \
  --requirement benchmarks/gpu/carried.txt 2> "$FOLDER/pip.log" || { cat "$FOLDER/pip.log" >&2; exit 1; }
# One archive per dataset: thousands of small files take longer to copy than their bytes.
tar -C "$NEU_DET" -czf "$FOLDER/neu_det.tar.gz" .
if [ -n "${DEEPPCB:-}" ]; then
  UNPACKED=$(mktemp -d)
  "$PYTHON" benchmarks/gpu/one_bit.py "$DEEPPCB" "$UNPACKED"
  tar -C "$UNPACKED" -czf "$FOLDER/deeppcb.tar.gz" .
  rm -rf "$UNPACKED"
fi
# .git may not be copied, so record the commit that the figures belong to.
git rev-parse HEAD > "$FOLDER/commit"
[ -z "$(git status --porcelain -- . ':!benchmarks/results')" ] || echo "with uncommitted changes" >> "$FOLDER/commit"

# The bytes of the files, which are copied, whatever the block size here.
size() { find "$1" -type f -printf '%s\n' | awk '{ total += $1 } END { printf "%.1f", total / 1048576 }'; }
for part in "$FOLDER"/*; do
  printf '%8s MiB  %s\n' "$(size "$part")" "$part"
done
TOTAL=$(size "$FOLDER")
echo "$TOTAL MiB in $FOLDER, of at most $LIMIT_MIB"
awk -v total="$TOTAL" -v limit="$LIMIT_MIB" 'BEGIN { exit !(total <= limit) }' || {
  echo "$FOLDER is over $LIMIT_MIB MiB: leave DEEPPCB out, or carry fewer wheels (benchmarks/gpu/carried.txt)." >&2
  exit 1
}
