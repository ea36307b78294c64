#!/usr/bin/env bash
# Tests and measures trirank's GPU side on a machine that has an NVIDIA driver of 580 or
# newer, the libraries of CUDA 13 (in Python's folder nvidia, or in LD_LIBRARY_PATH) and
# Python, but neither Go nor a network. It ends after LIMIT seconds at the latest, 590
# unless told otherwise: what is not done then is cut short, and it fails. Most of the
# time goes into building the indexes.
#
#   ./run.sh [OUT]      OUT is a folder for what is printed; default ./out
#
# ROWS=1000000 is how many vectors are searched; fewer take less time. To test the
# encoder too, name ONNX Runtime 1.24 or newer with its CUDA provider and a folder with
# e5-small-v2:
#   TRIRANK_ONNXRUNTIME_GPU=.../libonnxruntime.so TRIRANK_MODELS=... ./run.sh
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out=$(realpath -m "${1:-out}")
rows=${ROWS:-1000000} limit=${LIMIT:-590}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Where Python's wheels of CUDA and cuDNN lie.
wheels=$(python3 - <<'PYTHON'
import glob, site, sys
roots = site.getsitepackages() + [site.getusersitepackages()] + sys.path
found = []
for root in roots:
    for folder in sorted(glob.glob(root + "/nvidia/cu13/lib") + glob.glob(root + "/nvidia/*/lib")):
        if folder not in found:
            found.append(folder)
print(":".join(found))
PYTHON
)
# The libraries of this archive are found by the programs themselves, and not by others.
export LD_LIBRARY_PATH=$wheels:/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export TRIRANK_FAISS_GPU=$PWD/lib/libtrirank-faiss-gpu.so TRIRANK_TEST_GPU=1

failed=0
step() { # NAME SECONDS COMMAND... - leaves SECONDS of the limit to what follows
  local name=$1 start=$SECONDS left=$((limit - SECONDS - $2 - 5))
  shift 2
  echo "== $name"
  [ "$left" -gt 0 ] || left=1
  timeout --kill-after=5 "$left" "$@" 2>&1 | grep -v '^WARNING clustering' | tee "$out/$name.txt"
  local rc=${PIPESTATUS[0]}
  case $rc in
  124 | 137) echo "== $name: cut short after $((SECONDS - start)) s (fewer ROWS take less time, and LIMIT is how long all may take)" ;;
  *) echo "== $name: exit $rc after $((SECONDS - start)) s" ;;
  esac
  [ "$rc" = 0 ] || failed=1
}

step machine 0 bash -c 'nvidia-smi || true; python3 --version; nproc; free -g | head -2'
step suite 120 ./faiss.test -test.run 'GPU|TestKinds|TestConcurrent|TestSearchErrors' -test.v
step benchmark 90 ./faiss.test -test.run '^$' -test.bench GPU -test.benchtime 10x -test.timeout 0 -gpu.rows "$rows" -gpu.files "$work"
step python 60 python3 peer.py "$work"
if [ -n "${TRIRANK_ONNXRUNTIME_GPU:-}" ] && [ -n "${TRIRANK_MODELS:-}" ]; then
  export TRIRANK_ONNXRUNTIME=$TRIRANK_ONNXRUNTIME_GPU
  cd onnx # which has what the test reads
  step encoder 0 ../onnx.test -test.run 'GPU' -test.v -test.bench GPU -test.benchtime 20x
  cd ..
else
  echo "== encoder: left out: TRIRANK_ONNXRUNTIME_GPU and TRIRANK_MODELS are not set"
fi
[ $failed = 0 ] && echo "all is well; what was printed lies in $out" || echo "something failed; what was printed lies in $out"
exit $failed
