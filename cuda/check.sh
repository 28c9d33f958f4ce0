#!/usr/bin/env bash
# Everything that a machine with a GPU can tell, in parts that take less than nine minutes each:
#     bash cuda/check.sh             all of it
#     bash cuda/check.sh build       builds pydl with its CUDA library, for the GPU that is there
#     bash cuda/check.sh compiled    the registers that the compiler spilled, and the instructions that it chose
#     bash cuda/check.sh rows        the rows of all operations on the GPU, against float64 references
#     bash cuda/check.sh sanitize    compute-sanitizer's memcheck and racecheck over a few of these tests
#     bash cuda/check.sh train       a perceptron, LeNet, LSTM and GPT learn on the GPU as on the CPU
#     bash cuda/check.sh products    speed beside torch: matrix products, convolutions, attention, recurrent layers
#     bash cuda/check.sh memory      the same of what memory bounds: elementwise, norms, moves, sorts, optimizers
#     bash cuda/check.sh steps       the same of whole steps, recorded too
#     bash cuda/check.sh goals       one table of what these runs reached
# It needs nvcc, cmake, ninja, pybind11, numpy and pytest, for the speed torch; build/cuda_check has what
# every part said and results.json all figures. PYDL_CHECK_SMOKE=1 tries the parts on tiny sizes with the library that
# PYDL_CUDA_LIBRARY names, such as the emulation of a GPU, and the pydl of this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(build compiled rows sanitize train products memory steps goals)
out=$PWD/build/cuda_check
mkdir -p "$out"
python=${PYTHON:-python3}
smoke=${PYDL_CHECK_SMOKE:-}
limit=530  # seconds
[ -z "$smoke" ] || limit=3600  # an emulated GPU takes longer
export PYTHONPATH="$PWD"

# What runs on a device fails with one line where there is none, and why: its tests would all be left out.
on_device() {
  "$python" -c 'import pydl, sys; why = pydl.cuda.reason(); sys.exit(f"needs a CUDA device: {why}" if why else 0)'
}

test_with() { timeout "$limit" "$@" -p no:cacheprovider -o addopts= -q; }

build() { # in place: pydl/_C and pydl/libpydl_cuda.so
  [ -z "$smoke" ] || return 0
  cmake -S . -B "$out/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPYDL_CUDA=ON \
    -DPYDL_CUDA_ARCHITECTURES="${PYDL_CUDA_ARCHITECTURES:-native}" -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/pydl" \
    -DPython_EXECUTABLE="$(command -v "$python")" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" &&
    timeout "$limit" cmake --build "$out/build"
}

compiled() { test_with "$python" -m pytest tests/cuda/test_compiled.py; }

rows() { on_device && test_with "$python" -m pytest -m 'not slow' --durations=10 tests/cuda; }

sanitize() {
  on_device || return 1
  command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer: left out"; return 0; }
  local chosen='test_values and (add or sum or softmax or matmul or conv2d or layer_norm or sort or attention)'
  for tool in memcheck racecheck; do
    limit=260 test_with compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -m pytest \
      tests/cuda/test_rows.py -k "$chosen" || return 1
  done
}

train() { on_device && test_with "$python" -m pytest -s tests/cuda/test_train.py tests/cuda/test_learning.py; }

measure() { # NAME PATTERN...
  on_device && timeout 540 "$python" -m bench --device cuda ${smoke:+--smoke --repeats 1} --seconds 420 --json "$out/bench_$1.json" "${@:2}"
}
products() { measure products 'gemm/*' 'conv/*' 'attention/*' 'rnn/*'; }
memory() { measure memory 'pointwise/*' 'norm/*' 'movement/*' 'sort/*' 'pool/*' 'resample/*' 'random/*' 'optim/*'; }
steps() { measure steps 'overhead/*' 'e2e/*' 'capture/*'; }

goals() {
  compgen -G "$out/bench_*.json" >/dev/null || { echo "no figures: products, memory and steps make them"; return 1; }
  "$python" -m bench.goals "$out"/bench_*.json --json "$out/results.json"
}

report='{'
failed=0
for part in "${parts[@]}"; do
  printf '\n== %s\n' "$part"
  begin=$SECONDS
  if "$part" 2>&1 | tee "$out/$part.log"; then said=passed; else said=failed failed=1; fi
  report+="\"$part\": {\"result\": \"$said\", \"seconds\": $((SECONDS - begin))}, "
done
printf '%s\n' "${report%, }}" | tee "$out/log.json"
exit "$failed"
