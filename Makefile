# make run     build all there is and serve the sample shop on 127.0.0.1:8080
# make test    build and test; needs nothing outside this folder but toolchains
# make help    the rest
.DEFAULT_GOAL := build
include native/native.mk

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: build
build: native ## bin/trirank
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.faissLevel=$(FAISS_LEVEL)' -o bin/trirank ./cmd/trirank

# What run serves: the embedded sample, a catalogue directory, or a folder that
# trirank import understands.
CATALOG ?= sample
ADDR ?= 127.0.0.1:8080
# The rankings made with models: make run MODELS="pretrained=e5-small-v2 finetuned=DIR".
# The sample has a fine-tuned model of its own, made of what training learnt from it.
MODELS ?= pretrained=e5-small-v2$(if $(filter sample,$(CATALOG)), finetuned=var/finetuned)
run_name := $(notdir $(abspath $(CATALOG)))

.PHONY: run
run: build ## index the sample shop, or CATALOG=DIR, and serve it on ADDR
	@mkdir -p var
	@[ '$(filter finetuned=var/finetuned,$(MODELS))' = '' ] || bin/trirank model merge --delta catalog/sample/finetuned.safetensors --out var/finetuned
	@catalog='$(CATALOG)'; \
	if [ "$$catalog" != sample ] && [ ! -f "$$catalog/catalog.json" ]; then \
		bin/trirank import "$$catalog" --out var/$(run_name).catalog --name $(run_name) && catalog=var/$(run_name).catalog; \
	fi && \
	bin/trirank index --catalog "$$catalog" $(addprefix --model ,$(MODELS)) --out var/$(run_name).index && \
	exec bin/trirank serve --index var/$(run_name).index --addr $(ADDR)

.PHONY: test format vet lint test-pure test-all test-race test-real test-long test-sanitize bench fuzz golden
test: check-test format vet lint test-pure test-all test-race ## all checks that need nothing outside this folder

check-test:
	@native/check.sh test

format: ## fail if gofmt would change a file
	@files=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$files" ] || { echo "gofmt would change: $$files (run gofmt -w)"; exit 1; }

vet: native
	go vet ./...
	go vet -tags real ./...
	go vet -tags long ./...

lint: native
	go tool staticcheck ./...

# A package of these takes four minutes, and several times that beside other work.
patience := -timeout 40m

# What holds no C must build and pass without it.
pure := ./bm25/... ./catalog/... ./encoder ./encoder/quantize ./engine ./eval/... ./httpapi/... ./internal/... ./judgments ./train/bert ./train/events ./train/finetuned ./train/safetensors ./train/weights
test-pure:
	CGO_ENABLED=0 go test $(patience) $(pure)

test-all: native
	go test $(patience) ./...

test-race: native
	go test $(patience) -race -short ./bm25 ./encoder/... ./engine/... ./faiss ./httpapi

REAL_DATA ?= $(CURDIR)/../shared/data
test-real: build ## the checks that need real data, in REAL_DATA
	@[ -f '$(REAL_DATA)/esci-us/products.jsonl.gz' ] || { echo "trirank: cannot run the tests on real data: $(REAL_DATA)/esci-us is not there (set REAL_DATA)"; exit 1; }
	TRIRANK_REAL_DATA='$(REAL_DATA)' go test -tags real -run Real -v $(patience) $$(grep -rl --include='*_test.go' '^//go:build real' . | xargs -n1 dirname | sort -u)

# Other people's implementations of the metrics and of quantization, in Python:
# test-peers compares with them, bench times against them. make test needs only what
# they once computed.
peers_requirements := eval/testdata/peers/requirements.txt encoder/onnx/testdata/peers/requirements.txt internal/parquetfile/testdata/peers/requirements.txt
peers := $(abspath $(pjrt_dir)/../..)/peers-$(shell cat $(peers_requirements) | sha256sum | cut -c1-12)
.PHONY: peers test-peers
peers: $(peers)/ready ## trec_eval, ranx, ir_measures, TensorBoard, safetensors, ONNX Runtime and pyarrow for Python, kept in the cache

$(peers)/ready:
	rm -rf $(peers) && python3 -m venv $(peers)
	$(peers)/bin/pip install -q --disable-pip-version-check $(addprefix -r ,$(peers_requirements))
	$(peers)/bin/pip install -q --disable-pip-version-check --no-deps rbo==0.1.3
	touch $@

test-peers: native peers ## compare metrics, file formats and quantization with other implementations, live
	TRIRANK_PEERS_PYTHON=$(peers)/bin/python CGO_ENABLED=0 go test ./eval ./internal/parquetfile ./train/events ./train/safetensors -run 'Peers|TensorBoard|Python' -count 1 -v
	TRIRANK_PEERS_PYTHON=$(peers)/bin/python go test ./encoder/onnx -run Peers -bench Peers -benchtime 20x -count 1 -v

# Schemathesis holds the server against openapi.yaml.
schema_peers := $(abspath $(pjrt_dir)/../..)/peers-schema-$(shell sha256sum httpapi/testdata/peers/requirements.txt | cut -c1-12)
.PHONY: peers-schema test-schema
peers-schema: $(schema_peers)/ready ## Schemathesis for Python, kept in the cache

$(schema_peers)/ready:
	rm -rf $(schema_peers) && python3 -m venv $(schema_peers)
	$(schema_peers)/bin/pip install -q --disable-pip-version-check -r httpapi/testdata/peers/requirements.txt
	touch $@

test-schema: native peers-schema ## hold a real server against openapi.yaml, with requests that Schemathesis makes up
	TRIRANK_SCHEMATHESIS=$(schema_peers)/bin/st go test ./cmd/trirank -run 'TestSchema$$' -count 1 -timeout 20m -v

# PyTorch, with which steps of training are compared. It is several GB, so neither
# peers nor .ci/run fetches it; what it once computed is compared with in make test.
peers_torch := $(abspath $(pjrt_dir)/../..)/peers-torch-$(shell sha256sum train/testdata/peers/requirements.txt | cut -c1-12)
.PHONY: peers-torch test-peers-torch
peers-torch: $(peers_torch)/ready ## PyTorch for Python, several GB, kept in the cache

$(peers_torch)/ready:
	rm -rf $(peers_torch) && python3 -m venv $(peers_torch)
	$(peers_torch)/bin/pip install -q --disable-pip-version-check -r train/testdata/peers/requirements.txt
	touch $@

test-peers-torch: native peers-torch ## compare training with PyTorch: results, speed and memory
	TRIRANK_TORCH_PYTHON=$(peers_torch)/bin/python go test ./train -run Peers -bench Peers -benchtime 1x -count 1 -timeout 60m -v

# What people use from Python for what trirank does, to compare speed with. Beside it
# TRIRANK_TORCH_PYTHON may name a Python with PyTorch, sentence-transformers and onnx.
# TABLE=FILE keeps the table, PEERS=Peers/BM25 runs a part, and PEERS_FLAGS are flags of
# BenchmarkPeers.
PEERS ?= Peers
peers_bench := $(abspath $(pjrt_dir)/../..)/peers-bench-$(shell sha256sum bench/peers/requirements.txt | cut -c1-12)
.PHONY: peers-bench bench-peers
peers-bench: $(peers_bench)/ready ## faiss-cpu, ONNX Runtime, bm25s, tantivy and FastAPI for Python, kept in the cache

$(peers_bench)/ready:
	rm -rf $(peers_bench) && python3 -m venv $(peers_bench)
	$(peers_bench)/bin/pip install -q --disable-pip-version-check -r bench/peers/requirements.txt
	touch $@

bench-peers: native peers-bench ## compare speed with what people use from Python, in turns, where nothing else runs
	TRIRANK_BENCH_PYTHON=$(peers_bench)/bin/python go test ./bench -run '^$$' -bench '$(PEERS)' -benchtime 1x -count 1 -timeout 120m -args $(if $(TABLE),-peers.table=$(abspath $(TABLE))) $(PEERS_FLAGS)

# Kills, failing disks, flipped bits and attacks on a server, with parsers, a server and C++
# under test besides. On two cores with nothing beside it takes about two hours: kills 10
# minutes, disks 45 (TRIRANK_TEST_FAULTS=16 makes that 15), flips 10, attacks 15, fuzz 15,
# sanitizers 10, Schemathesis 5. Each part has a limit of its own.
test-long: check-test native ## all tests of reliability, about two hours: for every night
	go test ./cmd/trirank -tags long -run 'TestLong(Kills|DiskFaults)$$' -count 1 -timeout 90m -v
	go test ./cmd/trirank -tags long -run 'TestLong' -skip 'TestLong(Kills|DiskFaults)$$' -count 1 -timeout 60m -v
	$(MAKE) fuzz
	$(MAKE) test-sanitize
	$(MAKE) test-schema

# Parsers of what others made. Each is run for FUZZ_TIME by processes that may take so many
# KB of addresses: a size that a small input claims ends them, and the test with them.
# GOMEMLIMIT would only make the collector work more.
FUZZ_TIME ?= 20s
FUZZ_KB ?= 6000000
fuzz: native ## every fuzz test for FUZZ_TIME, with a bound on memory
	@grep -rno --include='*_test.go' '^func Fuzz[A-Za-z]*' . | sed -E 's/^(.*)\/[^:]*:[0-9]+:func /\1 /' | sort | while read -r dir name; do \
		echo "$$dir $$name"; (ulimit -v $(FUZZ_KB) && go test "$$dir" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZ_TIME) -parallel 2 -timeout 10m </dev/null) || exit 1; \
	done

# Our own C++ with the sanitizers of addresses and of undefined behaviour; FAISS and ONNX
# Runtime are built without. Leaks are not looked for: Go's own memory looks like one.
sanitize := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
test-sanitize: native ## tests of our C++ under AddressSanitizer and UBSan, with more forged indexes
	CGO_CXXFLAGS='$(CGO_CXXFLAGS) -g $(sanitize)' CGO_LDFLAGS='$(CGO_LDFLAGS) $(sanitize)' ASAN_OPTIONS=detect_leaks=0 \
	TRIRANK_TEST_FORGERIES=300 sh -c 'go test -asan -count 1 -timeout 40m -v ./faiss && go test -asan -count 1 -timeout 40m -v -run "Operators|Layer|Arithmetic|Products" ./encoder/onnx'

golden: native ## refresh the golden files after a change that is meant
	TRIRANK_UPDATE=1 go test ./cmd/trirank -run "TestScripts|TestPage"
	go test ./catalog/stats ./eval/report ./bench/report -update

bench: native ## every benchmark once
	go test -run '^$$' -bench . -benchtime 1x ./...

# A folder that runs on another machine of this distribution: the program, the
# libraries that such a machine may lack, and the model. Built for AVX2 unless
# told otherwise, since the other machine may be older than this one.
.PHONY: dist
dist: ## dist/trirank-VERSION.tar.gz, which needs no toolchain
	@[ '$(origin FAISS_LEVEL)' = command\ line ] || exec $(MAKE) dist FAISS_LEVEL=avx2
	@[ '$(origin FAISS_LEVEL)' != command\ line ] || exec $(MAKE) dist-folder

.PHONY: dist-folder
dist-folder: build
	rm -rf dist/trirank && mkdir -p dist/trirank/lib dist/trirank/models
	cp bin/trirank dist/trirank/
	cp -L bin/lib/libonnxruntime.so bin/lib/pjrt_c_api_cpu_plugin.so dist/trirank/lib/
	for lib in $$(ldd bin/trirank | awk '/openblas|gfortran|quadmath|gomp|stdc\+\+|libgcc_s/ {print $$3}'); do cp -L $$lib dist/trirank/lib/; done
	cp -RL bin/models/e5-small-v2 dist/trirank/models/
	cp README.md LICENSE dist/trirank/
	mkdir dist/trirank/licenses && for part in $(faiss_dir) $(onnxruntime_dir) $(pjrt_dir); do \
		for text in $$(find $$part -maxdepth 1 -type f); do cp $$text dist/trirank/licenses/$$(basename $$part)-$$(basename $$text); done; done
	tar -C dist -czf dist/trirank-$(VERSION).tar.gz trirank
	@echo "dist/trirank-$(VERSION).tar.gz: unpack it anywhere and run trirank/trirank"

# The libraries with which the same program uses an NVIDIA GPU. CUDA_ARCHS are the
# compute capabilities of the GPUs: 80 is an A100, 89 an L4, 90 an H100 or H200.
.PHONY: gpu check-gpu
gpu: build ## bin/lib/gpu: FAISS and ONNX Runtime for NVIDIA GPUs; takes long the first time
	@native/check.sh gpu
	@faiss=$$($(provide) make faiss-gpu) && onnxruntime=$$($(provide) make onnxruntime-gpu) && pjrt=$$($(provide) make pjrt-gpu) && cuda=$$($(provide) make cuda) && \
	mkdir -p bin/lib/gpu && ln -sfn "$$pjrt"/lib/pjrt_c_api_cuda_plugin.so bin/lib/ && ln -sfn "$$faiss"/lib/* "$$onnxruntime"/lib/* \
		"$$cuda"/lib/libcublas.so.* "$$cuda"/lib/libcublasLt.so.* "$$cuda"/lib/libcudart.so.* "$$cuda"/lib/libcurand.so.* bin/lib/gpu/
	@echo "bin/lib/gpu is there: bin/trirank uses a GPU where there is one (see docs/gpu.md)"

# An archive that tests and measures on a machine with a GPU that has no toolchain and no
# network: built for AVX2, since it is another machine.
.PHONY: gpu-dist gpu-dist-folder
gpu-dist: ## dist/trirank-gpu.tar.gz: tests and benchmarks for a machine with a GPU
	@$(MAKE) gpu-dist-folder FAISS_LEVEL=avx2

gpu-dist-folder: native
	@native/check.sh gpu
	rm -rf dist/trirank-gpu && mkdir -p dist/trirank-gpu/lib dist/trirank-gpu/onnx/testdata
	go test -c -trimpath -ldflags '-s -w' -o dist/trirank-gpu/faiss.test ./faiss
	go test -c -trimpath -ldflags '-s -w' -o dist/trirank-gpu/onnx.test ./encoder/onnx
	cp encoder/onnx/testdata/reference.json dist/trirank-gpu/onnx/testdata/
	plugin=$$($(provide) make faiss-gpu) && cp "$$plugin"/lib/*.so dist/trirank-gpu/lib/
	for lib in $$(ldd dist/trirank-gpu/faiss.test | awk '/openblas|gfortran|quadmath|gomp|stdc\+\+|libgcc_s/ {print $$3}'); do cp -L $$lib dist/trirank-gpu/lib/; done
	cp native/gpu/run.sh native/gpu/peer.py LICENSE dist/trirank-gpu/
	tar -C dist -czf dist/trirank-gpu.tar.gz trirank-gpu
	@ls -l dist/trirank-gpu.tar.gz && echo "copy it to the machine with the GPU, unpack it, and run trirank-gpu/run.sh"

check-gpu: native ## compile our side of the GPU library against CUDA's own headers
	@headers=$$($(provide) make gpu-headers) && \
	g++ -std=c++17 -O0 -fPIC -Wall -Wextra -Werror -fopenmp '-DTR_GPU_ARCHS="90"' -isystem "$$headers/include" -isystem $(faiss_dir)/include -c faiss/gpu/plugin.cc -o /dev/null

.PHONY: clean help
clean: ## remove what was built here; the native cache stays
	rm -rf bin dist var

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12
