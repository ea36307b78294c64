#!/usr/bin/env bash
# Says which toolchains and system packages are missing for a build, all at
# once, each with the command that brings it; exit 1 if any is.
# `check.sh test` asks for what the tests need besides.
set -u
packages=() others=()

want() { command -v "$1" >/dev/null || packages+=("$2"); } # want COMMAND PACKAGE
tool() { command -v "$1" >/dev/null || others+=("$1: $2"); }

tool go "Go 1.26 or newer; run: curl -fsSL https://go.dev/dl/go1.26.0.linux-$(dpkg --print-architecture).tar.gz | tar -C /usr/local -xz && export PATH=\$PATH:/usr/local/go/bin"
tool cargo "Rust 1.85 or newer; run: curl -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
want mvn maven
want cmake cmake
want ninja ninja-build
want g++ g++
want unzip unzip
want flock util-linux
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
if command -v g++ >/dev/null && ! echo 'extern "C" int openblas_get_num_threads(); int main(){return openblas_get_num_threads()<1;}' |
  g++ -x c++ - -lopenblas -o /dev/null 2>/dev/null; then
  packages+=(libopenblas-dev)
fi
if [ "${1:-}" = gpu ]; then
  [ "$(uname -m)" = x86_64 ] || others+=("x86-64: the libraries for GPUs are for no other processor")
  free=$(df -Pk "${TRIRANK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}" 2>/dev/null | awk 'NR == 2 {print int($4 / 1048576)}')
  [ "${free:-99}" -ge 6 ] || others+=("disk: 6 GB in the cache are needed, there are $free")
fi
if [ "${1:-}" = test ]; then
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
  want strace strace
fi
if command -v cmake >/dev/null; then
  version=$(cmake --version | sed -n '1s/[^0-9]*\([0-9]*\.[0-9]*\).*/\1/p')
  printf '3.24\n%s\n' "$version" | sort -VC || others+=("cmake: 3.24 or newer is needed, this is $version")
fi

[ ${#packages[@]} -eq 0 ] || echo "trirank: cannot build: missing system packages; run: apt-get update && apt-get install -y ${packages[*]}" >&2
for o in "${others[@]}"; do echo "trirank: cannot build: missing $o" >&2; done
[ $((${#packages[@]} + ${#others[@]})) -eq 0 ]
