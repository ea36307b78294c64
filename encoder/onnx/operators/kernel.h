// What the operators have in common: how they speak with ONNX Runtime.
#pragma once

#include <onnxruntime_c_api.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "products.h"

namespace trirank {

constexpr uint32_t api_version = 17;  // the first with KernelContext_ParallelFor

// What a call of ONNX Runtime said was wrong, thrown.
struct Failed {
  OrtStatus* status;
};

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

using Shape = std::vector<int64_t>;

// The product of all dimensions but the last, 0 if any of them is 0.
inline size_t tokens_of(const Shape& dims) {
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return 0;
  size_t n = 1;
  for (size_t i = 0; i + 1 < dims.size(); i++) n *= size_t(dims[i]);
  return n;
}

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

  Shape shape(const OrtValue* v) const {
    OrtTensorTypeAndShapeInfo* info = nullptr;
    check(api_->GetTensorTypeAndShape(v, &info));
    size_t n = 0;
    OrtStatus* s = api_->GetDimensionsCount(info, &n);
    Shape dims(s == nullptr ? n : 0);
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

  const OrtValue* constant(const OrtKernelInfo* info, size_t i) const {
    int is = 0;
    const OrtValue* v = nullptr;
    check(api_->KernelInfoGetConstantInput_tensor(info, i, &is, &v));
    if (!is) fail("weights, scales and biases must be constants");
    return v;
  }

  // The constant at i, of n numbers.
  const float* constants(const OrtKernelInfo* info, size_t i, size_t n) const {
    const OrtValue* v = constant(info, i);
    if (shape(v) != Shape{int64_t(n)}) fail("constants do not fit");
    return data<float>(v);
  }

  // A constant number, of no dimensions or one.
  float number(const OrtKernelInfo* info, size_t i) const {
    const OrtValue* v = constant(info, i);
    const Shape dims = shape(v);
    if (std::any_of(dims.begin(), dims.end(), [](int64_t d) { return d != 1; })) fail("a number is expected");
    return *data<float>(v);
  }

  // The matrix whose weights, scales and bias are the constants from i on.
  Matrix matrix(const OrtKernelInfo* info, size_t i) const {
    const OrtValue* weights = constant(info, i);
    const Shape dims = shape(weights);
    if (dims.size() != 2 || dims[0] < 1 || dims[0] > 1 << 16 || dims[1] < 1) fail("weights [rows, columns], at most 65536 rows, expected");
    const size_t columns = size_t(dims[1]);
    return Matrix(data<uint8_t>(weights), constants(info, i + 1, columns), constants(info, i + 2, columns), size_t(dims[0]), columns);
  }

  template <class T>
  T* output(OrtKernelContext* c, size_t i, const Shape& dims) const {
    OrtValue* v = nullptr;
    check(api_->KernelContext_GetOutput(c, i, dims.data(), dims.size(), &v));
    if (v == nullptr) fail("an output is missing");
    void* p = nullptr;
    check(api_->GetTensorMutableData(v, &p));
    return static_cast<T*>(p);
  }

  // Calls f for 0 to n - 1, by the session's threads.
  template <class F>
  void each(OrtKernelContext* c, size_t n, const F& f) const {
    struct Work {
      const F& f;
      std::atomic<bool> failed = false;
    } work{f};
    check(api_->KernelContext_ParallelFor(c, [](void* p, size_t i) {
      Work& w = *static_cast<Work*>(p);
      try {
        w.f(i);
      } catch (...) {  // nothing may be thrown through ONNX Runtime's threads
        w.failed = true;
      }
    }, n, 0, &work));
    if (work.failed) throw std::bad_alloc();  // nothing else is thrown
  }

  const OrtApi* const api_;
};

// Memory of ONNX Runtime's for one run of a kernel, handed out in pieces that begin at
// multiples of 64 bytes.
class Memory {
 public:
  Memory(const OrtApi* api, OrtKernelContext* c, size_t bytes) : api_(api) {
    OrtMemoryInfo* info = nullptr;
    OrtStatus* s = api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &info);
    if (s == nullptr) s = api->KernelContext_GetAllocator(c, info, &allocator_);
    if (s == nullptr) s = api->AllocatorAlloc(allocator_, bytes + alignment, &held_);
    if (info != nullptr) api->ReleaseMemoryInfo(info);
    if (s != nullptr) {
      release();
      throw Failed{s};
    }
    if (held_ == nullptr) {
      release();
      throw std::bad_alloc();
    }
    next_ = static_cast<uint8_t*>(held_) + (alignment - reinterpret_cast<uintptr_t>(held_) % alignment) % alignment;
  }
  ~Memory() { release(); }
  Memory(const Memory&) = delete;

  // How many bytes take takes for n values.
  template <class T>
  static constexpr size_t size(size_t n) {
    return (n * sizeof(T) + alignment - 1) / alignment * alignment;
  }

  template <class T>
  T* take(size_t n) {
    T* p = reinterpret_cast<T*>(next_);
    next_ += size<T>(n);
    return p;
  }

 private:
  static constexpr size_t alignment = 64;

  void release() {
    if (held_ != nullptr) {
      if (OrtStatus* s = api_->AllocatorFree(allocator_, held_); s != nullptr) api_->ReleaseStatus(s);
    }
    if (allocator_ != nullptr) api_->ReleaseAllocator(allocator_);
  }

  const OrtApi* const api_;
  OrtAllocator* allocator_ = nullptr;
  void* held_ = nullptr;
  uint8_t* next_ = nullptr;
};

}  // namespace trirank
