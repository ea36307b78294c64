# The native parts as Make sees them: where they lie, how they are made, and
# what cgo must know. Included by the Makefile; `make env` prints the same for a shell.

# The best vector instructions that this processor has and FAISS can use.
FAISS_LEVEL ?= $(shell native/provide.sh level)
export FAISS_LEVEL

provide := native/provide.sh
faiss_dir := $(shell $(provide) path faiss)
tokenizers_dir := $(shell $(provide) path tokenizers)
onnxruntime_dir := $(shell $(provide) path onnxruntime)
pjrt_dir := $(shell $(provide) path pjrt)
models := e5-small-v2 e5-small-v2-int8

# go-nvml leaves names of the driver open, which nobody has where there is no driver: so
# names are looked up when they are used, also where the linker would do it at once.
# Libraries are looked for beside the program first (make dist puts them there),
# those that libraries want as well: that is what the older kind of tag is for.
export CGO_ENABLED := 1
# NVML marks as old what go-nvml offers of it.
export CGO_CFLAGS := -O2 -Wno-deprecated-declarations -I$(faiss_dir)/include
# onnxruntime_go has the C header of the ONNX Runtime that it is made for.
onnxruntime_go := $(shell go mod download github.com/yalue/onnxruntime_go && go list -m -f '{{.Dir}}' github.com/yalue/onnxruntime_go)
export CGO_CXXFLAGS := -O2 -I$(faiss_dir)/include -I$(onnxruntime_go)
export CGO_LDFLAGS := -L$(faiss_dir)/lib -L$(tokenizers_dir)/lib -lfaiss_c -lfaiss -lopenblas -lgomp -lstdc++ -lm -Wl,-z,lazy,--disable-new-dtags,-rpath,$$ORIGIN/lib
# Tests run from folders of their own, so they are told where these lie.
export TRIRANK_ONNXRUNTIME := $(onnxruntime_dir)/lib/libonnxruntime.so
export TRIRANK_MODELS := $(CURDIR)/bin/models
export TRIRANK_PJRT := $(pjrt_dir)/lib

.PHONY: check native env
check:
	@native/check.sh

native: check ## build or fetch the native parts and the models into the cache
	@for part in faiss tokenizers onnxruntime pjrt; do $(provide) make $$part >/dev/null || exit 1; done
	@mkdir -p bin/models bin/lib
	@for model in $(models); do dir=$$($(provide) make $$model) && ln -sfn "$$dir" bin/models/$$model || exit 1; done
	@ln -sfn $(TRIRANK_ONNXRUNTIME) bin/lib/libonnxruntime.so
	@ln -sfn $(TRIRANK_PJRT)/pjrt_c_api_cpu_plugin.so bin/lib/pjrt_c_api_cpu_plugin.so

env: ## print what a shell must export to run go build and go test by hand
	@for v in CGO_ENABLED CGO_CFLAGS CGO_CXXFLAGS CGO_LDFLAGS TRIRANK_ONNXRUNTIME TRIRANK_MODELS TRIRANK_PJRT; do \
		printf "export %s='%s'\n" $$v "$$(printenv $$v)"; done
