#include "operators.h"

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "products.h"

namespace {

using trirank::Matrix;

constexpr uint32_t api_version = 17;  // the first that infers shapes of such operators

// What a call of ONNX Runtime said was wrong, thrown.
struct Failed {
  OrtStatus* status;
};

struct Operator : OrtCustomOp {
  const OrtApi* api;
  const char* name;
  std::vector<ONNXTensorElementDataType> inputs, outputs;
};

class Kernel {
 public:
  explicit Kernel(const OrtApi* api) : api_(api) {}
  virtual ~Kernel() = default;
  virtual void compute(OrtKernelContext* context) = 0;

 protected:
  void check(OrtStatus* s) const {
    if (s != nullptr) throw Failed{s};
  }
  [[noreturn]] void fail(const std::string& what) const { throw Failed{api_->CreateStatus(ORT_INVALID_ARGUMENT, what.c_str())}; }

  template <class T>
  const T* data(const OrtValue* v) const {
    void* p = nullptr;
    check(api_->GetTensorMutableData(const_cast<OrtValue*>(v), &p));
    return static_cast<const T*>(p);
  }

  std::vector<int64_t> shape(const OrtValue* v) const {
    OrtTensorTypeAndShapeInfo* info = nullptr;
    check(api_->GetTensorTypeAndShape(v, &info));
    size_t n = 0;
    OrtStatus* s = api_->GetDimensionsCount(info, &n);
    std::vector<int64_t> dims(s == nullptr ? n : 0);
    if (s == nullptr) s = api_->GetDimensions(info, dims.data(), n);
    api_->ReleaseTensorTypeAndShapeInfo(info);
    check(s);
    return dims;
  }

  const OrtValue* input(OrtKernelContext* c, size_t i) const {
    const OrtValue* v = nullptr;
    check(api_->KernelContext_GetInput(c, i, &v));
    if (v == nullptr) fail("an input is missing");
    return v;
  }

  template <class T>
  T* output(OrtKernelContext* c, size_t i, const std::vector<int64_t>& dims) const {
    OrtValue* v = nullptr;
    check(api_->KernelContext_GetOutput(c, i, dims.data(), dims.size(), &v));
    void* p = nullptr;
    check(api_->GetTensorMutableData(v, &p));
    return static_cast<T*>(p);
  }

  const OrtApi* const api_;
};

size_t tokens_of(const std::vector<int64_t>& dims) {
  size_t n = 1;
  for (size_t i = 0; i + 1 < dims.size(); i++) n *= size_t(dims[i]);
  return n;
}

class RoundTokens : public Kernel {
 public:
  using Kernel::Kernel;

  void compute(OrtKernelContext* c) override {
    const OrtValue* x = input(c, 0);
    auto dims = shape(x);
    if (dims.empty()) fail("RoundTokens: a number has no channels");
    auto* q = output<uint8_t>(c, 0, dims);
    const size_t channels = size_t(dims.back()), tokens = tokens_of(dims);
    dims.back() = 1;
    trirank::round_tokens(data<float>(x), tokens, channels, q, output<float>(c, 1, dims));
  }
};

class AddNormalize : public Kernel {
 public:
  using Kernel::Kernel;

  void compute(OrtKernelContext* c) override {
    const OrtValue *a = input(c, 0), *b = input(c, 1), *weight = input(c, 2), *bias = input(c, 3), *epsilon = input(c, 4);
    const auto dims = shape(a);
    if (dims.empty() || shape(b) != dims || shape(weight) != std::vector<int64_t>{dims.back()} || shape(bias) != shape(weight) || !shape(epsilon).empty())
      fail("AddNormalize: two values of one shape, weight and bias [channels] and a number expected");
    trirank::add_normalize(data<float>(a), data<float>(b), data<float>(weight), data<float>(bias), *data<float>(epsilon), tokens_of(dims), size_t(dims.back()), output<float>(c, 0, dims));
  }
};

class Attention : public Kernel {
 public:
  Attention(const OrtApi* api, const OrtKernelInfo* info) : Kernel(api) {
    check(api_->KernelInfoGetAttribute_int64(info, "heads", &heads_));
    if (heads_ < 1) fail("Attention: it has no heads");
  }

  void compute(OrtKernelContext* c) override {
    const OrtValue *q = input(c, 0), *k = input(c, 1), *v = input(c, 2), *mask = input(c, 3);
    const auto dims = shape(q);
    if (dims.size() != 3 || dims[2] % heads_ != 0 || shape(k) != dims || shape(v) != dims || shape(mask) != std::vector<int64_t>{dims[0], 1, 1, dims[1]})
      fail("Attention: q, k and v [texts, tokens, heads x channels] and a mask [texts, 1, 1, tokens] expected");
    Work w{data<float>(q), data<float>(k), data<float>(v), data<float>(mask), size_t(dims[1]), size_t(dims[2]), size_t(heads_), output<float>(c, 0, dims)};
    check(api_->KernelContext_ParallelFor(c, [](void* p, size_t i) {
      const Work& w = *static_cast<Work*>(p);
      const size_t text = i / w.heads, channels = w.stride / w.heads;
      const size_t at = text * w.tokens * w.stride + i % w.heads * channels;
      trirank::attend(w.q + at, w.k + at, w.v + at, w.mask + text * w.tokens, w.tokens, channels, w.stride, w.y + at);
    }, size_t(dims[0] * heads_), 0, &w));
  }

 private:
  struct Work {
    const float *q, *k, *v, *mask;
    size_t tokens, stride, heads;
    float* y;
  };

  int64_t heads_ = 0;
};

class TokenProduct : public Kernel {
 public:
  TokenProduct(const OrtApi* api, const OrtKernelInfo* info, bool gelu)
      : Kernel(api), gelu_(gelu), matrix_(matrix(info)) {}

  void compute(OrtKernelContext* c) override {
    const OrtValue *q = input(c, 0), *peaks = input(c, 1);
    auto dims = shape(q);
    const size_t tokens = tokens_of(dims);
    if (dims.empty() || size_t(dims.back()) != matrix_.rows() || tokens_of(shape(peaks)) != tokens) fail("TokenProduct: activations, peaks and weights do not fit");
    dims.back() = int64_t(matrix_.columns());
    Work w{&matrix_, data<uint8_t>(q), data<float>(peaks), tokens, gelu_, output<float>(c, 0, dims)};
    check(api_->KernelContext_ParallelFor(c, [](void* p, size_t part) {
      const Work& w = *static_cast<Work*>(p);
      w.matrix->multiply(w.q, w.peaks, w.tokens, part, w.gelu, w.y);
    }, matrix_.parts(), 0, &w));
  }

 private:
  struct Work {
    const Matrix* matrix;
    const uint8_t* q;
    const float* peaks;
    size_t tokens;
    bool gelu;
    float* y;
  };

  Matrix matrix(const OrtKernelInfo* info) const {
    const OrtValue* constants[5] = {};
    for (size_t i = 2; i < 5; i++) {
      int constant = 0;
      check(api_->KernelInfoGetConstantInput_tensor(info, i, &constant, &constants[i]));
      if (!constant) fail("TokenProduct: its weights, scales and bias must be constants");
    }
    const auto dims = shape(constants[2]);
    if (dims.size() != 2 || shape(constants[3]) != std::vector<int64_t>{dims[1]} || shape(constants[4]) != std::vector<int64_t>{dims[1]})
      fail("TokenProduct: weights [rows, columns], scales and bias [columns] expected");
    return Matrix(data<uint8_t>(constants[2]), data<float>(constants[3]), data<float>(constants[4]), size_t(dims[0]), size_t(dims[1]));
  }

  const bool gelu_;
  const Matrix matrix_;
};

const Operator* self(const OrtCustomOp* op) { return static_cast<const Operator*>(op); }

// Runs f; what it throws becomes a status. Nothing may be thrown through C.
template <class F>
OrtStatus* guarded(const OrtApi* api, F f) {
  try {
    f();
    return nullptr;
  } catch (const Failed& e) {
    return e.status;
  } catch (const std::exception& e) {
    return api->CreateStatus(ORT_FAIL, e.what());
  }
}

// A kernel with the API that its errors are made with.
struct Held {
  const OrtApi* api;
  std::unique_ptr<Kernel> kernel;
};

template <class Make>
void* hold(const OrtApi* api, Make make) {
  return new Held{api, make()};
}

void fill(Operator* op, const OrtApi* api, const char* name, std::vector<ONNXTensorElementDataType> inputs, std::vector<ONNXTensorElementDataType> outputs) {
  *static_cast<OrtCustomOp*>(op) = {};
  op->version = api_version;
  op->api = api;
  op->name = name;
  op->inputs = std::move(inputs);
  op->outputs = std::move(outputs);
  op->GetName = [](const OrtCustomOp* op) { return self(op)->name; };
  op->GetExecutionProviderType = [](const OrtCustomOp*) { return "CPUExecutionProvider"; };
  op->GetInputTypeCount = [](const OrtCustomOp* op) { return self(op)->inputs.size(); };
  op->GetInputType = [](const OrtCustomOp* op, size_t i) { return self(op)->inputs[i]; };
  op->GetOutputTypeCount = [](const OrtCustomOp* op) { return self(op)->outputs.size(); };
  op->GetOutputType = [](const OrtCustomOp* op, size_t i) { return self(op)->outputs[i]; };
  op->GetInputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op->GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op->GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  op->GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
  op->GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 1; };
  op->GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  op->GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  op->GetStartVersion = [](const OrtCustomOp*) { return 1; };
  op->GetEndVersion = [](const OrtCustomOp*) { return 1; };
  op->KernelComputeV2 = [](void* kernel, OrtKernelContext* c) -> OrtStatusPtr {
    auto* held = static_cast<Held*>(kernel);
    return guarded(held->api, [&] { held->kernel->compute(c); });
  };
  op->KernelDestroy = [](void* kernel) { delete static_cast<Held*>(kernel); };
}

// The operators, for one loaded ONNX Runtime.
struct Operators {
  Operator round, product, gelu, attention, normalize;
  OrtCustomOpDomain* domain = nullptr;

  explicit Operators(const OrtApi* api) {
    constexpr auto floats = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    constexpr auto bytes = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    fill(&round, api, "RoundTokens", {floats}, {bytes, floats});
    round.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo*, void** kernel) -> OrtStatusPtr {
      return guarded(api, [&] { *kernel = hold(api, [&] { return std::make_unique<RoundTokens>(api); }); });
    };
    fill(&product, api, "TokenProduct", {bytes, floats, bytes, floats, floats}, {floats});
    product.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo* info, void** kernel) -> OrtStatusPtr {
      return guarded(api, [&] { *kernel = hold(api, [&] { return std::make_unique<TokenProduct>(api, info, false); }); });
    };
    fill(&gelu, api, "TokenProductGelu", product.inputs, product.outputs);
    gelu.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo* info, void** kernel) -> OrtStatusPtr {
      return guarded(api, [&] { *kernel = hold(api, [&] { return std::make_unique<TokenProduct>(api, info, true); }); });
    };
    fill(&attention, api, "Attention", {floats, floats, floats, floats}, {floats});
    attention.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo* info, void** kernel) -> OrtStatusPtr {
      return guarded(api, [&] { *kernel = hold(api, [&] { return std::make_unique<Attention>(api, info); }); });
    };
    fill(&normalize, api, "AddNormalize", {floats, floats, floats, floats, floats}, {floats});
    normalize.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo*, void** kernel) -> OrtStatusPtr {
      return guarded(api, [&] { *kernel = hold(api, [&] { return std::make_unique<AddNormalize>(api); }); });
    };
  }
};

char* text(const char* s) { return strdup(s == nullptr ? "unknown" : s); }

}  // namespace

int trirank_operators_supported(void) { return trirank::supported(); }

char* trirank_operators_register(void* options, const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return text(dlerror());
  auto* base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  dlclose(handle);  // it stays loaded, by whom loaded it
  if (base == nullptr) return text("the library is not ONNX Runtime");
  const OrtApi* api = base()->GetApi(api_version);
  if (api == nullptr) return text("the library is an older ONNX Runtime");
  // Sessions refer to them as long as they live, and there are few libraries a process.
  static std::vector<std::pair<const OrtApi*, Operators*>> known;
  Operators* all = nullptr;
  for (auto& k : known)
    if (k.first == api) all = k.second;
  OrtStatus* s = nullptr;
  if (all == nullptr) {
    all = new Operators(api);
    s = api->CreateCustomOpDomain("trirank", &all->domain);
    for (Operator* op : {&all->round, &all->product, &all->gelu, &all->attention, &all->normalize})
      if (s == nullptr) s = api->CustomOpDomain_Add(all->domain, op);
    known.emplace_back(api, all);
  }
  if (s == nullptr) s = api->AddCustomOpDomain(static_cast<OrtSessionOptions*>(options), all->domain);
  if (s == nullptr) return nullptr;
  char* message = text(api->GetErrorMessage(s));
  api->ReleaseStatus(s);
  return message;
}
