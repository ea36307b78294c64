#include "operators.h"

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "products.h"

namespace {

using trirank::Matrix;

constexpr uint32_t api_version = 17;  // the first with KernelContext_ParallelFor

// What a call of ONNX Runtime said was wrong, thrown.
struct Failed {
  OrtStatus* status;
};

struct Operator : OrtCustomOp {
  const char* name;
  std::vector<ONNXTensorElementDataType> inputs, outputs;
};

class Kernel {
 public:
  Kernel(const OrtApi* api, const OrtKernelInfo*) : api_(api) {}
  virtual ~Kernel() = default;
  const OrtApi* api() const { return api_; }
  virtual void compute(OrtKernelContext* context) = 0;

 protected:
  void check(OrtStatus* s) const {
    if (s != nullptr) throw Failed{s};
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw Failed{api_->CreateStatus(ORT_INVALID_ARGUMENT, (what + " (make the model anew: trirank model quantize)").c_str())};
  }

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
    if (v == nullptr) fail("an output is missing");
    void* p = nullptr;
    check(api_->GetTensorMutableData(v, &p));
    return static_cast<T*>(p);
  }

  const OrtApi* const api_;
};

// The product of all dimensions but the last, 0 if any of them is 0.
size_t tokens_of(const std::vector<int64_t>& dims) {
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return 0;
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
    auto dims = shape(a), others = shape(b);
    if (others.size() > dims.size() || (others.size() == dims.size() && tokens_of(others) > tokens_of(dims))) {
      std::swap(a, b);
      std::swap(dims, others);
    }
    // What is added to each text, or each token, has those dimensions left out, or 1.
    auto first = others.begin();
    while (first != others.end() && *first == 1 && size_t(others.end() - first) > 1) first++;
    const bool repeats = size_t(others.end() - first) <= dims.size() && std::equal(first, others.end(), dims.end() - (others.end() - first));
    const auto one = shape(epsilon);
    if (dims.empty() || others.empty() || !repeats || shape(weight) != std::vector<int64_t>{dims.back()} || shape(bias) != shape(weight) ||
        std::any_of(one.begin(), one.end(), [](int64_t d) { return d != 1; }))
      fail("AddNormalize: two values of one shape, or one that is repeated along the other, weight and bias [channels] and a number expected");
    auto* y = output<float>(c, 0, dims);
    if (const size_t rows = tokens_of(dims); rows > 0)
      trirank::add_normalize(data<float>(a), data<float>(b), tokens_of(others), data<float>(weight), data<float>(bias), *data<float>(epsilon), rows, size_t(dims.back()), y);
  }
};

class Attention : public Kernel {
 public:
  Attention(const OrtApi* api, const OrtKernelInfo* info) : Kernel(api, info) {
    check(api_->KernelInfoGetAttribute_int64(info, "heads", &heads_));
    if (heads_ < 1) fail("Attention: it has no heads");
  }

  void compute(OrtKernelContext* c) override {
    const OrtValue *q = input(c, 0), *k = input(c, 1), *v = input(c, 2), *mask = input(c, 3);
    const auto dims = shape(q);
    auto masks = shape(mask);
    if (masks.size() < 4) masks.insert(masks.begin(), 4 - masks.size(), 1);
    const auto fits = [&](size_t i, int64_t n) { return masks[i] == 1 || masks[i] == n; };
    if (dims.size() != 3 || dims[2] < heads_ || dims[2] % heads_ != 0 || shape(k) != dims || shape(v) != dims || masks.size() != 4 || !fits(0, dims[0]) || !fits(1, heads_) ||
        !fits(2, dims[1]) || masks[3] != dims[1])
      fail("Attention: q, k and v [texts, tokens, heads x channels] and a mask [texts or 1, heads or 1, tokens or 1, tokens] expected");
    Work w{data<float>(q), data<float>(k), data<float>(v), data<float>(mask), {}, size_t(dims[1]), size_t(dims[2]), size_t(heads_), output<float>(c, 0, dims)};
    if (tokens_of(dims) == 0) return;
    size_t stride = w.tokens;
    for (size_t i = 3; i-- > 0; stride *= size_t(masks[i])) w.strides[i] = masks[i] == 1 ? 0 : stride;
    check(api_->KernelContext_ParallelFor(c, [](void* p, size_t i) {
      Work& w = *static_cast<Work*>(p);
      const size_t text = i / w.heads, head = i % w.heads, channels = w.stride / w.heads;
      const size_t at = text * w.tokens * w.stride + head * channels;
      try {
        trirank::attend(w.q + at, w.k + at, w.v + at, w.mask + text * w.strides[0] + head * w.strides[1], w.strides[2], w.tokens, channels, w.stride, w.y + at);
      } catch (const std::bad_alloc&) {  // nothing may be thrown through ONNX Runtime's threads
        w.failed = true;
      }
    }, size_t(dims[0] * heads_), 0, &w));
    if (w.failed) throw std::bad_alloc();
  }

 private:
  struct Work {
    const float *q, *k, *v, *mask;
    size_t strides[3];  // of the mask, by text, head and token
    size_t tokens, stride, heads;
    float* y;
    std::atomic<bool> failed = false;
  };

  int64_t heads_ = 0;
};

template <bool gelu>
class TokenProduct : public Kernel {
 public:
  TokenProduct(const OrtApi* api, const OrtKernelInfo* info) : Kernel(api, info), matrix_(matrix(info)) {}

  void compute(OrtKernelContext* c) override {
    const OrtValue *q = input(c, 0), *peaks = input(c, 1);
    auto dims = shape(q);
    auto one = dims;
    if (!one.empty()) one.back() = 1;
    if (dims.empty() || size_t(dims.back()) != matrix_.rows() || shape(peaks) != one) fail("TokenProduct: activations, peaks and weights do not fit");
    const size_t tokens = tokens_of(dims);
    dims.back() = int64_t(matrix_.columns());
    Work w{&matrix_, data<uint8_t>(q), data<float>(peaks), tokens, output<float>(c, 0, dims)};
    check(api_->KernelContext_ParallelFor(c, [](void* p, size_t part) {
      const Work& w = *static_cast<Work*>(p);
      w.matrix->multiply(w.q, w.peaks, w.tokens, part, gelu, w.y);
    }, matrix_.parts(), 0, &w));
  }

 private:
  struct Work {
    const Matrix* matrix;
    const uint8_t* q;
    const float* peaks;
    size_t tokens;
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
    if (dims.size() != 2 || dims[0] < 1 || dims[0] > 1 << 16 || dims[1] < 1 || shape(constants[3]) != std::vector<int64_t>{dims[1]} || shape(constants[4]) != std::vector<int64_t>{dims[1]})
      fail("TokenProduct: weights [rows, columns], at most 65536 rows, scales and bias [columns] expected");
    return Matrix(data<uint8_t>(constants[2]), data<float>(constants[3]), data<float>(constants[4]), size_t(dims[0]), size_t(dims[1]));
  }

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

// Describes an operator whose kernel is a K.
template <class K>
void fill(Operator* op, const char* name, std::vector<ONNXTensorElementDataType> inputs, std::vector<ONNXTensorElementDataType> outputs) {
  *static_cast<OrtCustomOp*>(op) = {};
  op->version = api_version;
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
    auto* k = static_cast<Kernel*>(kernel);
    return guarded(k->api(), [&] { k->compute(c); });
  };
  op->KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  op->CreateKernelV2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo* info, void** kernel) -> OrtStatusPtr {
    return guarded(api, [&] { *kernel = static_cast<Kernel*>(new K(api, info)); });
  };
}

// The operators, for one loaded ONNX Runtime.
struct Operators {
  Operator round, product, gelu, attention, normalize;
  OrtCustomOpDomain* domain = nullptr;

  Operators() {
    constexpr auto floats = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    constexpr auto bytes = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    fill<RoundTokens>(&round, "RoundTokens", {floats}, {bytes, floats});
    fill<TokenProduct<false>>(&product, "TokenProduct", {bytes, floats, bytes, floats, floats}, {floats});
    fill<TokenProduct<true>>(&gelu, "TokenProductGelu", product.inputs, product.outputs);
    fill<Attention>(&attention, "Attention", {floats, floats, floats, floats}, {floats});
    fill<AddNormalize>(&normalize, "AddNormalize", {floats, floats, floats, floats, floats}, {floats});
  }
};

char* text(const char* s) { return strdup(s == nullptr ? "unknown" : s); }

}  // namespace

int trirank_operators_supported(void) { return trirank::supported(); }

char* trirank_operators_register(void* options, const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return text(dlerror());
  const auto close = [](void* h) { dlclose(h); };
  std::unique_ptr<void, decltype(close)> held(handle, close);
  auto* base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (base == nullptr) return text("the library is not ONNX Runtime");
  const OrtApi* api = base()->GetApi(api_version);
  if (api == nullptr) return text("the library is an older ONNX Runtime");
  // Sessions refer to the operators as long as they live, and the operators to the
  // library: both stay for good, and there are one or two libraries a process.
  static std::vector<std::pair<const OrtApi*, std::unique_ptr<Operators>>> known;
  OrtStatus* s = guarded(api, [&] {
    const auto check = [](OrtStatus* s) {
      if (s != nullptr) throw Failed{s};
    };
    auto at = std::find_if(known.begin(), known.end(), [&](auto& k) { return k.first == api; });
    if (at == known.end()) {
      auto all = std::make_unique<Operators>();
      check(api->CreateCustomOpDomain("trirank", &all->domain));
      for (Operator* op : {&all->round, &all->product, &all->gelu, &all->attention, &all->normalize}) check(api->CustomOpDomain_Add(all->domain, op));
      known.emplace_back(api, std::move(all));
      held.release();
      at = known.end() - 1;
    }
    check(api->AddCustomOpDomain(static_cast<OrtSessionOptions*>(options), at->second->domain));
  });
  if (s == nullptr) return nullptr;
  char* message = text(api->GetErrorMessage(s));
  api->ReleaseStatus(s);
  return message;
}
