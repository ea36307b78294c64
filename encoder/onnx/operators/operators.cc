#include "operators.h"

#include <dlfcn.h>

#include <cstring>
#include <memory>
#include <new>

#include "kernel.h"

namespace trirank {
namespace {

class RoundTokens : public Kernel {
 public:
  using Kernel::Kernel;

  void compute(OrtKernelContext* c) override {
    const OrtValue* x = input(c, 0);
    auto dims = shape(x);
    if (dims.empty()) fail("RoundTokens: a number has no channels");
    const size_t channels = size_t(dims.back()), tokens = tokens_of(dims);
    const Rows<const float> from{data<float>(x), channels};
    const Rows<uint8_t> to{output<uint8_t>(c, 0, dims), channels};
    dims.back() = 1;
    float* peaks = output<float>(c, 1, dims);
    for (size_t t = 0; t < tokens; t++) peaks[t] = round_token(from[t], channels, nullptr, to[t]);
  }
};

class AddNormalize : public Kernel {
 public:
  using Kernel::Kernel;

  void compute(OrtKernelContext* c) override {
    const OrtValue *a = input(c, 0), *b = input(c, 1), *weight = input(c, 2), *bias = input(c, 3), *epsilon = input(c, 4);
    Shape left = shape(a), right = shape(b);
    const size_t rank = std::max(left.size(), right.size());
    left.insert(left.begin(), rank - left.size(), 1);
    right.insert(right.begin(), rank - right.size(), 1);
    const auto one = shape(epsilon);
    bool fits = rank > 0 && left.back() == right.back() && shape(weight) == Shape{left.back()} && shape(bias) == shape(weight) && std::all_of(one.begin(), one.end(), [](int64_t d) { return d == 1; });
    // What has one token, or text, in a dimension is repeated along it.
    Shape dims = left;
    for (size_t i = 0; i + 1 < rank; i++) {
      fits = fits && (left[i] == right[i] || left[i] == 1 || right[i] == 1);
      if (left[i] == 1) dims[i] = right[i];
    }
    if (!fits) fail("AddNormalize: two values of one shape, or repeated along each other, weight and bias [channels] and a number expected");
    float* y = output<float>(c, 0, dims);
    const size_t tokens = tokens_of(dims), channels = size_t(dims.back());
    if (tokens == 0) return;
    const Normalization n{data<float>(weight), data<float>(bias), *data<float>(epsilon)};
    const float *x = data<float>(a), *other = data<float>(b);
    for (size_t t = 0; t < tokens; t++) {
      size_t rest = t, at[2] = {}, stride[2] = {1, 1};
      for (size_t i = rank - 1; i-- > 0; rest /= size_t(dims[i])) {
        const size_t place = rest % size_t(dims[i]);
        for (size_t j : {0, 1}) {
          const size_t d = size_t((j == 0 ? left : right)[i]);
          if (d > 1) at[j] += place * stride[j];
          stride[j] *= d;
        }
      }
      add_normalize({x + at[0] * channels}, other + at[1] * channels, n, channels, y + t * channels);
    }
  }
};

// What is added to the logits of attention, with as many values as are said once for all
// left out.
struct Mask {
  const float* at;
  size_t text, head, token;  // how far it is to that of the next

  const float* of(size_t t, size_t h) const { return at + t * text + h * head; }
};

// mask of values [texts, tokens, heads x channels]; false if it does not fit.
bool mask_of(const float* at, Shape dims, const Shape& values, int64_t heads, Mask& mask) {
  if (dims.size() < 4) dims.insert(dims.begin(), 4 - dims.size(), 1);
  const int64_t want[] = {values[0], heads, values[1], values[1]};
  if (dims.size() != 4 || dims[3] != want[3]) return false;
  size_t strides[3], stride = size_t(dims[3]);
  for (size_t i = 3; i-- > 0; stride *= size_t(dims[i])) {
    if (dims[i] != 1 && dims[i] != want[i]) return false;
    strides[i] = dims[i] == 1 ? 0 : stride;
  }
  mask = {at, strides[0], strides[1], strides[2]};
  return true;
}

constexpr const char* mask_wanted = "a mask [texts or 1, heads or 1, tokens or 1, tokens] expected";

class Attention : public Kernel {
 public:
  Attention(const OrtApi* api, const OrtKernelInfo* info) : Kernel(api, info) {
    check(api_->KernelInfoGetAttribute_int64(info, "heads", &heads_));
    if (heads_ < 1) fail("Attention: it has no heads");
  }

  void compute(OrtKernelContext* c) override {
    const OrtValue *q = input(c, 0), *k = input(c, 1), *v = input(c, 2), *mask = input(c, 3);
    const auto dims = shape(q);
    Mask m;
    if (dims.size() != 3 || dims[2] < heads_ || dims[2] % heads_ != 0 || shape(k) != dims || shape(v) != dims || !mask_of(data<float>(mask), shape(mask), dims, heads_, m))
      fail(std::string("Attention: q, k and v [texts, tokens, heads x channels] and ") + mask_wanted);
    float* y = output<float>(c, 0, dims);
    if (tokens_of(dims) == 0) return;
    const size_t tokens = size_t(dims[1]), apart = size_t(dims[2]), heads = size_t(heads_), channels = apart / heads;
    const float *qs = data<float>(q), *ks = data<float>(k), *vs = data<float>(v);
    each(c, size_t(dims[0]) * heads, [&](size_t i) {
      const size_t text = i / heads, head = i % heads, at = text * tokens * apart;
      attend({qs + at, apart}, {ks + at, apart}, {vs + at, apart}, head * channels, channels, m.of(text, head), m.token, tokens, {y + at, apart});
    });
  }

 private:
  int64_t heads_ = 0;
};

template <bool gelu>
class TokenProduct : public Kernel {
 public:
  TokenProduct(const OrtApi* api, const OrtKernelInfo* info) : Kernel(api, info), matrix_(matrix(info, 2)) {}

  void compute(OrtKernelContext* c) override {
    const OrtValue *q = input(c, 0), *peaks = input(c, 1);
    auto dims = shape(q);
    auto one = dims;
    if (!one.empty()) one.back() = 1;
    const size_t channels = matrix_.rows();
    if (dims.empty() || size_t(dims.back()) != channels || shape(peaks) != one) fail("TokenProduct: activations, peaks and weights do not fit");
    const size_t tokens = tokens_of(dims);
    dims.back() = int64_t(matrix_.columns());
    float* y = output<float>(c, 0, dims);
    if (tokens == 0) return;
    Memory memory(api_, c, Tiles::size(tokens, channels));
    const Tiles x{memory.take<uint8_t>(Tiles::size(tokens, channels)), const_cast<float*>(data<float>(peaks)), Tiles::fill(channels)};
    const uint8_t* from = data<uint8_t>(q);
    const TilesSetUp held;
    for (size_t t = 0; t < tokens; t++)
      for (size_t i = 0; i < channels; i += piece) std::memcpy(x[t](i), from + t * channels + i, std::min(piece, channels - i));
    each(c, matrix_.parts(), [&](size_t part) { matrix_.multiply(x, tokens, part, gelu, y + part * piece, matrix_.columns()); });
  }

 private:
  const Matrix matrix_;
};

// A layer of BERT: what the operators above do one after the other, with the same results
// to the bit, but what is between them is kept in pieces of 64 channels, the way in which a
// processor makes and takes it, and ONNX Runtime is called once.
class Layer : public Kernel {
 public:
  Layer(const OrtApi* api, const OrtKernelInfo* info)
      : Kernel(api, info), query_(matrix(info, 3)), key_(matrix(info, 6)), value_(matrix(info, 9)), joined_(matrix(info, 12)), wide_(matrix(info, 19)), narrow_(matrix(info, 22)) {
    check(api_->KernelInfoGetAttribute_int64(info, "heads", &heads_));
    const size_t channels = query_.rows(), inner = query_.columns();
    if (heads_ < 1 || inner % size_t(heads_) != 0 || key_.rows() != channels || key_.columns() != inner || value_.rows() != channels || value_.columns() != inner || joined_.rows() != inner ||
        joined_.columns() != channels || wide_.rows() != channels || narrow_.rows() != wide_.columns() || narrow_.columns() != channels)
      fail("Layer: its matrices do not fit each other");
    Matrix* const all[] = {&query_, &key_, &value_, &joined_, &wide_, &narrow_};
    for (size_t i = 0; i + 1 < std::size(all); i++) all[i]->precede(*all[i + 1]);
    const auto copy = [&](size_t i) {
      const float* v = constants(info, i, channels);
      return std::vector<float>(v, v + channels);
    };
    factors_[0] = copy(2);
    factors_[1] = copy(18);
    for (size_t i : {0, 1}) {
      weights_[i] = copy(15 + 10 * i);
      biases_[i] = copy(16 + 10 * i);
      normal_[i] = {weights_[i].data(), biases_[i].data(), number(info, 17 + 10 * i)};
    }
  }

  void compute(OrtKernelContext* c) override {
    const OrtValue *in = input(c, 0), *mask = input(c, 1);
    const auto dims = shape(in);
    const size_t channels = query_.rows(), inner = query_.columns(), hidden = wide_.columns(), heads = size_t(heads_);
    Mask m;
    if (dims.size() != 3 || size_t(dims[2]) != channels || !mask_of(data<float>(mask), shape(mask), dims, heads_, m))
      fail(std::string("Layer: activations [texts, tokens, channels] and ") + mask_wanted);
    const float* x = data<float>(in);
    float* y = output<float>(c, 0, dims);
    const size_t tokens = tokens_of(dims), length = size_t(dims[1]);
    if (tokens == 0) return;

    const size_t most = std::max({channels, inner, hidden}), several = std::max(3 * Tiles::fill(inner), Tiles::fill(hidden)), one = Tiles::fill(std::max(channels, inner));
    using M = Memory;
    M memory(api_, c, M::size<uint8_t>(Tiles::size(tokens, most)) + M::size<float>(tokens) + M::size<float>(tokens * several) + M::size<float>(tokens * one) + M::size<float>(tokens * channels));
    Tiles rounded{memory.take<uint8_t>(Tiles::size(tokens, most)), memory.take<float>(tokens), 0};
    float* const several_pieces = memory.take<float>(tokens * several);
    const Rows<float> one_pieces{memory.take<float>(tokens * one), piece, tokens * piece};
    float* const between = memory.take<float>(tokens * channels);
    const Rows<float> wide{several_pieces, piece, tokens * piece};
    const auto rows = [&](size_t i) { return Rows<float>{several_pieces + i * tokens * Tiles::fill(inner), piece, tokens * piece}; };
    const Rows<float> q = rows(0), k = rows(1), v = rows(2);

    // Calls f for each token.
    const auto tokens_do = [&](auto f) {
      constexpr size_t block = Tiles::tokens;
      each(c, (tokens + block - 1) / block, [&](size_t i) {
        for (size_t t = i * block; t < std::min(tokens, (i + 1) * block); t++) f(t);
      });
    };
    const auto round = [&](Row<const float> x, size_t channels, const float* factors, size_t t) { rounded.peaks[t] = round_token(x, channels, factors, rounded[t]); };
    const auto part = [&](const Matrix& a, size_t i, bool gelu, Rows<float> to) { a.multiply(rounded, tokens, i, gelu, to.at + i * to.step, to.apart); };

    const TilesSetUp held;
    rounded.depth = Tiles::fill(channels);
    tokens_do([&](size_t t) { round({x + t * channels}, channels, factors_[0].data(), t); });
    const size_t parts = query_.parts();
    each(c, 3 * parts, [&](size_t i) {
      const Matrix* of[] = {&query_, &key_, &value_};
      part(*of[i / parts], i % parts, false, rows(i / parts));
    });
    each(c, size_t(dims[0]) * heads, [&](size_t i) {
      const size_t text = i / heads, head = i % heads;
      const auto from = [&](Rows<float> r) { return Rows<float>{r.at + text * length * r.apart, r.apart, r.step}; };
      attend(from(q), from(k), from(v), head * (inner / heads), inner / heads, m.of(text, head), m.token, length, from(one_pieces));
    });
    rounded.depth = Tiles::fill(inner);
    tokens_do([&](size_t t) { round(one_pieces[t], inner, nullptr, t); });
    each(c, joined_.parts(), [&](size_t i) { part(joined_, i, false, one_pieces); });
    rounded.depth = Tiles::fill(channels);
    tokens_do([&](size_t t) {
      add_normalize(one_pieces[t], x + t * channels, normal_[0], channels, between + t * channels);
      round({between + t * channels}, channels, factors_[1].data(), t);
    });
    each(c, wide_.parts(), [&](size_t i) { part(wide_, i, true, wide); });
    rounded.depth = Tiles::fill(hidden);
    tokens_do([&](size_t t) { round(wide[t], hidden, nullptr, t); });
    each(c, narrow_.parts(), [&](size_t i) { part(narrow_, i, false, one_pieces); });
    tokens_do([&](size_t t) { add_normalize(one_pieces[t], between + t * channels, normal_[1], channels, y + t * channels); });
  }

 private:
  Matrix query_, key_, value_, joined_, wide_, narrow_;
  std::vector<float> factors_[2], weights_[2], biases_[2];
  Normalization normal_[2];
  int64_t heads_ = 0;
};

struct Operator : OrtCustomOp {
  const char* name;
  std::vector<ONNXTensorElementDataType> inputs, outputs;
};

const Operator* self(const OrtCustomOp* op) { return static_cast<const Operator*>(op); }

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
  Operator round, product, gelu, attention, normalize, layer;
  OrtCustomOpDomain* domain = nullptr;

  Operators() {
    constexpr auto floats = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    constexpr auto bytes = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    fill<RoundTokens>(&round, "RoundTokens", {floats}, {bytes, floats});
    fill<TokenProduct<false>>(&product, "TokenProduct", {bytes, floats, bytes, floats, floats}, {floats});
    fill<TokenProduct<true>>(&gelu, "TokenProductGelu", product.inputs, product.outputs);
    fill<Attention>(&attention, "Attention", {floats, floats, floats, floats}, {floats});
    fill<AddNormalize>(&normalize, "AddNormalize", {floats, floats, floats, floats, floats}, {floats});
    // Activations, mask and factors, the matrices of query, key, value and what joins them, a
    // normalization, factors, two matrices more, a normalization.
    std::vector<ONNXTensorElementDataType> inputs(3, floats);
    const auto matrices = [&](int n) {
      while (n-- > 0) inputs.insert(inputs.end(), {bytes, floats, floats});
    };
    matrices(4);
    inputs.insert(inputs.end(), 4, floats);
    matrices(2);
    inputs.insert(inputs.end(), 3, floats);
    fill<Layer>(&layer, "Layer", inputs, {floats});
  }
};

char* text(const char* s) { return strdup(s == nullptr ? "unknown" : s); }

}  // namespace
}  // namespace trirank

using namespace trirank;

int trirank_operators_supported(void) { return trirank::supported(); }

void trirank_operators_allow_tiles(int allowed) { trirank::allow_tiles(allowed != 0); }

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
      for (Operator* op : {&all->round, &all->product, &all->gelu, &all->attention, &all->normalize, &all->layer}) check(api->CustomOpDomain_Add(all->domain, op));
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
