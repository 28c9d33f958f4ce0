#!/usr/bin/env bash
# Everything that a machine with a GPU can tell, in parts that take a few minutes each:
#     bash cuda/check.sh            all of it
#     bash cuda/check.sh build      builds pydl with its CUDA library, for the GPU that is there
#     bash cuda/check.sh rows       the rows of all operations on the GPU, against float64 references
#     bash cuda/check.sh sanitize   compute-sanitizer's memcheck and racecheck over the devices' tests
#     bash cuda/check.sh train      trains a small network on the GPU and on the CPU: the same losses
# It needs nvcc, cmake, ninja, pybind11, scikit-build-core and pytest; build/cuda_check/log.json has what every part said.
set -euo pipefail
cd "$(dirname "$0")/.."

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(build rows sanitize train)
out=build/cuda_check
mkdir -p "$out"
export PYTHONPATH="$PWD"
python=${PYTHON:-python3}

build() {
  "$python" -m pip install -q --no-build-isolation --no-deps --target "$out/site" . \
    -Ccmake.define.PYDL_CUDA=ON -Ccmake.define.PYDL_CUDA_ARCHITECTURES="${PYDL_CUDA_ARCHITECTURES:-native}"
}

rows() { "$python" -m pytest -p no:cacheprovider tests/cuda; }

sanitize() {
  for tool in memcheck racecheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -m pytest -p no:cacheprovider tests/cuda/test_device.py || return 1
  done
}

train() { "$python" -m pytest -p no:cacheprovider tests/cuda/test_train.py -s; }

report='{'
failed=0
for part in "${parts[@]}"; do
  printf '\n== %s\n' "$part"
  begin=$SECONDS
  [ "$part" = build ] || export PYTHONPATH="$PWD/$out/site"
  if "$part" 2>&1 | tee "$out/$part.log"; then said=passed; else said=failed failed=1; fi
  report+="\"$part\": {\"result\": \"$said\", \"seconds\": $((SECONDS - begin))}, "
done
printf '%s\n' "${report%, }}" | tee "$out/log.json"
exit "$failed"
