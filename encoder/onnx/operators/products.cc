#include "products.h"

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

// Functions that use the instructions are compiled for them one by one, so that the
// program starts on any processor.
#define VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define AMX __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")))

namespace trirank {
namespace {

constexpr int middle = 128;

// Whether the processor multiplies tiles of 8 bits and the system lets us: it saves
// their registers, of 8 KiB a thread, only for those who asked.
bool tiles() {
  static const bool can = [] {
    unsigned a = 7, b = 0, c = 0, d = 0;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    const bool tile = d >> 24 & 1, int8 = d >> 25 & 1;
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
    return tile && int8 && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  }();
  return can;
}

constexpr size_t tile_rows = 16, tile_bytes = 64;
// Tokens that are multiplied before the next weights are looked at: their activations
// and sums stay in the second cache.
constexpr size_t block_tokens = 64;

// The lanes of a register that hold something, if so many values are left.
VNNI inline __mmask16 lanes(size_t left) { return left < 16 ? __mmask16((1u << left) - 1) : __mmask16(0xffff); }

VNNI inline __m512 exp_of(__m512 x) {
  // x is at most 0. exp(x) = 2^n exp(r), r within ln 2 / 2 of 0, by its Taylor series to r^6/6!.
  x = _mm512_max_ps(_mm512_set1_ps(-87.f), x);  // in this order NaN stays NaN
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.f / 720);
  for (float c : {1.f / 120, 1.f / 24, 1.f / 6, .5f, 1.f, 1.f}) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  return _mm512_scalef_ps(p, n);
}

// GELU(x) = x/2 (1 + erf(x/sqrt 2)), erf by formula 7.1.26 of Abramowitz and Stegun, whose
// error is at most 1.5e-7.
VNNI inline __m512 gelu_of(__m512 x) {
  const __m512 sign = _mm512_set1_ps(-0.f);
  const __m512 a = _mm512_mul_ps(_mm512_andnot_ps(sign, x), _mm512_set1_ps(0.70710678f));
  const __m512 t = _mm512_div_ps(_mm512_set1_ps(1), _mm512_fmadd_ps(a, _mm512_set1_ps(.3275911f), _mm512_set1_ps(1)));
  __m512 p = _mm512_set1_ps(1.061405429f);
  for (float c : {-1.453152027f, 1.421413741f, -.284496736f, .254829592f}) p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(c));
  p = _mm512_mul_ps(_mm512_mul_ps(p, t), exp_of(_mm512_mul_ps(a, _mm512_xor_ps(a, sign))));
  const __m512 erf = _mm512_or_ps(_mm512_sub_ps(_mm512_set1_ps(1), p), _mm512_and_ps(x, sign));
  const __m512 half = _mm512_mul_ps(x, _mm512_set1_ps(.5f));
  return _mm512_fmadd_ps(half, erf, half);
}

template <class T>
T* aligned(size_t n) {
  const size_t bytes = (std::max<size_t>(n * sizeof(T), 1) + 63) / 64 * 64;
  void* p = std::aligned_alloc(64, bytes);
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, bytes);
  return static_cast<T*>(p);
}

}  // namespace

bool supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

VNNI void round_tokens(const float* x, size_t rows, size_t channels, uint8_t* q, float* peaks) {
  // Magnitudes are in the order of their bits, with NaN above all: so it is not lost.
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  for (size_t r = 0; r < rows; r++, x += channels, q += channels) {
    __m512i most = _mm512_castps_si512(_mm512_set1_ps(0x1p-100f));
    for (size_t i = 0; i < channels; i += 16) {
      const __mmask16 m = lanes(channels - i);
      most = _mm512_max_epu32(most, _mm512_and_si512(magnitude, _mm512_maskz_loadu_epi32(m, x + i)));
    }
    const uint32_t peak = _mm512_reduce_max_epu32(most);
    std::memcpy(&peaks[r], &peak, sizeof peak);
    const __m512 stretch = _mm512_set1_ps(127 / peaks[r]);
    for (size_t i = 0; i < channels; i += 16) {
      const __mmask16 m = lanes(channels - i);
      const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), stretch));
      _mm_mask_storeu_epi8(q + i, m, _mm512_cvtusepi32_epi8(_mm512_add_epi32(whole, _mm512_set1_epi32(middle))));
    }
  }
}

VNNI void add_normalize(const float* a, const float* others, size_t period, const float* weight, const float* bias, float epsilon, size_t rows, size_t channels, float* y) {
  for (size_t r = 0; r < rows; r++, a += channels, y += channels) {
    const float* b = others + r % period * channels;
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < channels; i += 16) {
      const __mmask16 m = lanes(channels - i);
      const __m512 x = _mm512_add_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i));
      sum = _mm512_add_ps(sum, x);
      _mm512_mask_storeu_ps(y + i, m, x);
    }
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / float(channels));
    __m512 squares = _mm512_setzero_ps();
    for (size_t i = 0; i < channels; i += 16) {
      const __mmask16 m = lanes(channels - i);
      const __m512 x = _mm512_maskz_sub_ps(m, _mm512_maskz_loadu_ps(m, y + i), mean);
      squares = _mm512_fmadd_ps(x, x, squares);
    }
    const __m512 factor = _mm512_set1_ps(1 / std::sqrt(_mm512_reduce_add_ps(squares) / float(channels) + epsilon));
    for (size_t i = 0; i < channels; i += 16) {
      const __mmask16 m = lanes(channels - i);
      const __m512 x = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, y + i), mean), factor);
      _mm512_mask_storeu_ps(y + i, m, _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(m, weight + i), _mm512_maskz_loadu_ps(m, bias + i)));
    }
  }
}

VNNI void attend(const float* q, const float* k, const float* v, const float* mask, size_t mask_stride, size_t tokens, size_t channels, size_t stride, float* y) {
  constexpr size_t few = 4;  // tokens at a time, so that a sum need not wait for its last term
  const size_t wide = (tokens + 15) / 16 * 16;
  // Of a thread, as long as its longest text: k turned, and the logits of a few tokens.
  static thread_local std::vector<float> memory;
  memory.resize(std::max(memory.size(), (channels + few) * wide));
  float* const turned = memory.data();
  float* const logits = turned + channels * wide;
  for (size_t j = 0; j < tokens; j++)
    for (size_t c = 0; c < channels; c++) turned[c * wide + j] = k[j * stride + c];
  for (size_t c = 0; c < channels; c++) std::fill(turned + c * wide + tokens, turned + (c + 1) * wide, 0.f);
  const __m512 scale = _mm512_set1_ps(1 / std::sqrt(float(channels)));
  for (size_t t = 0; t < tokens; t += few) {
    const size_t n = std::min(few, tokens - t);
    const float* row[few];
    for (size_t i = 0; i < few; i++) row[i] = q + (t + std::min(i, n - 1)) * stride;
    __m512 most[few];
    for (auto& x : most) x = _mm512_set1_ps(-INFINITY);
    for (size_t j = 0; j < wide; j += 32) {
      const size_t next = j + 16 < wide ? 16 : 0;  // at the end, the same again
      __m512 sum[few][2];
      for (auto& x : sum) x[0] = x[1] = _mm512_setzero_ps();
      for (size_t c = 0; c < channels; c++) {
        const float* at = turned + c * wide + j;
        const __m512 left = _mm512_loadu_ps(at), right = _mm512_loadu_ps(at + next);
#pragma GCC unroll 4
        for (size_t i = 0; i < few; i++) {
          const __m512 x = _mm512_set1_ps(row[i][c]);
          sum[i][0] = _mm512_fmadd_ps(x, left, sum[i][0]);
          sum[i][1] = _mm512_fmadd_ps(x, right, sum[i][1]);
        }
      }
      for (size_t half = 0; half <= next; half += 16) {
        const __mmask16 m = lanes(tokens - j - half);
        for (size_t i = 0; i < few; i++) {
          const __m512 added = _mm512_maskz_loadu_ps(m, mask + (t + std::min(i, n - 1)) * mask_stride + j + half);
          const __m512 l = _mm512_mask_blend_ps(m, _mm512_set1_ps(-INFINITY), _mm512_fmadd_ps(sum[i][half / 16], scale, added));
          most[i] = _mm512_max_ps(most[i], l);
          _mm512_storeu_ps(logits + i * wide + j + half, l);
        }
      }
    }
    float whole[few];
    for (size_t i = 0; i < few; i++) {
      const __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(most[i]));
      __m512 sum = _mm512_setzero_ps();
      for (size_t j = 0; j < wide; j += 16) {
        const __m512 e = _mm512_maskz_mov_ps(lanes(tokens - j), exp_of(_mm512_sub_ps(_mm512_loadu_ps(logits + i * wide + j), top)));
        sum = _mm512_add_ps(sum, e);
        _mm512_storeu_ps(logits + i * wide + j, e);
      }
      whole[i] = 1 / _mm512_reduce_add_ps(sum);
    }
    for (size_t c = 0; c < channels; c += 32) {
      const __mmask16 first = lanes(channels - c), second = channels - c > 16 ? lanes(channels - c - 16) : 0;
      __m512 sum[few][2];
      for (auto& x : sum) x[0] = x[1] = _mm512_setzero_ps();
      for (size_t j = 0; j < tokens; j++) {
        const float* at = v + j * stride + c;
        const __m512 left = _mm512_maskz_loadu_ps(first, at), right = _mm512_maskz_loadu_ps(second, second ? at + 16 : at);
#pragma GCC unroll 4
        for (size_t i = 0; i < few; i++) {
          const __m512 x = _mm512_set1_ps(logits[i * wide + j]);
          sum[i][0] = _mm512_fmadd_ps(x, left, sum[i][0]);
          sum[i][1] = _mm512_fmadd_ps(x, right, sum[i][1]);
        }
      }
      for (size_t i = 0; i < n; i++) {
        const __m512 share = _mm512_set1_ps(whole[i]);
        float* to = y + (t + i) * stride + c;
        _mm512_mask_storeu_ps(to, first, _mm512_mul_ps(sum[i][0], share));
        if (second) _mm512_mask_storeu_ps(to + 16, second, _mm512_mul_ps(sum[i][1], share));
      }
    }
  }
}

void Matrix::Free::operator()(void* p) const { std::free(p); }

Matrix::Matrix(const uint8_t* w, const float* scales, const float* bias, size_t rows, size_t columns)
    : rows_(rows), columns_(columns), depth_((rows + tile_bytes - 1) / tile_bytes * tile_bytes) {
  const size_t wide = (columns + part_columns - 1) / part_columns * part_columns;
  packed_.reset(aligned<int8_t>(depth_ * wide));
  scales_.reset(aligned<float>(wide));
  bias_.reset(aligned<float>(wide));
  excess_.reset(aligned<int32_t>(wide));
  for (size_t k = 0; k < rows; k++)
    for (size_t n = 0; n < columns; n++) {
      const int v = w[k * columns + n] - middle;
      packed_[n / lane_columns * depth_ * lane_columns + k / 4 * tile_bytes + n % lane_columns * 4 + k % 4] = int8_t(v);
      excess_[n] += middle * v;
    }
  std::copy_n(scales, columns, scales_.get());
  std::copy_n(bias, columns, bias_.get());
}

// The sums of tokens, at most block_tokens, with four panels of 16 columns; a row of sums
// has part_columns.
VNNI void Matrix::by_vectors(const uint8_t* q, size_t tokens, size_t panel, int32_t* sums) const {
  constexpr int most = 6, wide = part_columns / lane_columns;  // 24 sums, and 5 registers more
  const int8_t* w = packed_.get() + panel * depth_ * lane_columns;
  const size_t stride = depth_ * lane_columns;
  for (size_t t = 0; t < tokens; t += most) {
    const int n = int(std::min<size_t>(most, tokens - t));
    const uint8_t* row[most];
    for (int i = 0; i < most; i++) row[i] = q + (t + std::min(i, n - 1)) * rows_;
    __m512i sum[most][wide];
    for (auto& s : sum)
      for (auto& x : s) x = _mm512_setzero_si512();
    for (size_t k = 0; k < rows_; k += 4) {
      __m512i b[wide];
#pragma GCC unroll 4
      for (int j = 0; j < wide; j++) b[j] = _mm512_load_si512(w + j * stride + k * lane_columns);
#pragma GCC unroll 6
      for (int i = 0; i < most; i++) {
        int32_t four;
        std::memcpy(&four, row[i] + k, 4);
        const __m512i a = _mm512_set1_epi32(four);
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) sum[i][j] = _mm512_dpbusd_epi32(sum[i][j], a, b[j]);
      }
    }
    for (int i = 0; i < n; i++)
      for (int j = 0; j < wide; j++) _mm512_store_si512(sums + (t + i) * part_columns + j * lane_columns, sum[i][j]);
  }
}

// As by_vectors, for matrices that it cannot take.
void Matrix::by_numbers(const uint8_t* q, size_t tokens, size_t panel, int32_t* sums) const {
  for (size_t t = 0; t < tokens; t++, q += rows_, sums += part_columns)
    for (size_t c = 0; c < part_columns; c++) {
      const int8_t* w = packed_.get() + (panel + c / lane_columns) * depth_ * lane_columns + c % lane_columns * 4;
      sums[c] = 0;
      for (size_t k = 0; k < rows_; k++) sums[c] += q[k] * w[k / 4 * tile_bytes + k % 4];
    }
}

namespace {

// The layout that _tile_loadconfig reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

}  // namespace

// As by_vectors. Tiles 0 to 3 are sums, 4 and 5 activations, 6 and 7 weights.
AMX void Matrix::by_tiles(const uint8_t* q, size_t tokens, size_t panel, int32_t* sums) const {
  const int8_t* w = packed_.get() + panel * depth_ * lane_columns;
  const size_t stride = depth_ * lane_columns;
  size_t configured = 0;
  for (size_t t = 0; t < tokens; t += 2 * tile_rows) {
    const size_t n = std::min(2 * tile_rows, tokens - t);
    if (n != configured) {
      TileConfig c;
      const uint8_t first = uint8_t(std::min(n, tile_rows)), second = uint8_t(std::max<size_t>(n - first, 1));
      for (int i = 0; i < 8; i++) c.bytes[i] = tile_bytes;
      c.rows[0] = c.rows[1] = c.rows[4] = first;
      c.rows[2] = c.rows[3] = c.rows[5] = second;
      c.rows[6] = c.rows[7] = tile_rows;
      _tile_loadconfig(&c);
      configured = n;
    }
    const uint8_t* upper = q + t * rows_;
    const uint8_t* lower = upper + tile_rows * rows_;
    for (size_t j = 0; j < part_columns / lane_columns; j += 2) {
      const int8_t* left = w + j * stride;
      const int8_t* right = left + stride;
      int32_t* to = sums + t * part_columns + j * lane_columns;
      constexpr size_t pitch = part_columns * sizeof(int32_t);
      _tile_zero(0);
      _tile_zero(1);
      if (n > tile_rows) {
        _tile_zero(2);
        _tile_zero(3);
        for (size_t k = 0; k < rows_; k += tile_bytes) {
          _tile_loadd(4, upper + k, rows_);
          _tile_loadd(6, left + k * lane_columns, tile_bytes);
          _tile_loadd(7, right + k * lane_columns, tile_bytes);
          _tile_loadd(5, lower + k, rows_);
          _tile_dpbusd(0, 4, 6);
          _tile_dpbusd(1, 4, 7);
          _tile_dpbusd(2, 5, 6);
          _tile_dpbusd(3, 5, 7);
        }
        _tile_stored(2, to + tile_rows * part_columns, pitch);
        _tile_stored(3, to + tile_rows * part_columns + lane_columns, pitch);
      } else {
        for (size_t k = 0; k < rows_; k += tile_bytes) {
          _tile_loadd(4, upper + k, rows_);
          _tile_loadd(6, left + k * lane_columns, tile_bytes);
          _tile_loadd(7, right + k * lane_columns, tile_bytes);
          _tile_dpbusd(0, 4, 6);
          _tile_dpbusd(1, 4, 7);
        }
      }
      _tile_stored(0, to, pitch);
      _tile_stored(1, to + lane_columns, pitch);
    }
  }
  _tile_release();
}

VNNI void Matrix::multiply(const uint8_t* q, const float* peaks, size_t tokens, size_t part, bool gelu, float* y) const {
  alignas(64) int32_t sums[block_tokens * part_columns];
  const size_t column = part * part_columns, width = std::min(part_columns, columns_ - column);
  const bool by_tile = tiles() && rows_ == depth_;
  for (size_t t = 0; t < tokens; t += block_tokens) {
    const size_t n = std::min(block_tokens, tokens - t);
    if (by_tile)
      by_tiles(q + t * rows_, n, column / lane_columns, sums);
    else if (rows_ % 4 != 0)
      by_numbers(q + t * rows_, n, column / lane_columns, sums);
    else
      by_vectors(q + t * rows_, n, column / lane_columns, sums);
    for (size_t i = 0; i < n; i++) {
      const __m512 peak = _mm512_set1_ps(peaks[t + i]);
      for (size_t c = 0; c < width; c += lane_columns) {
        const __mmask16 m = lanes(width - c);
        const size_t at = column + c;
        const __m512i whole = _mm512_sub_epi32(_mm512_load_si512(sums + i * part_columns + c), _mm512_load_si512(excess_.get() + at));
        __m512 v = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(whole), _mm512_load_ps(scales_.get() + at)), peak);
        v = _mm512_add_ps(v, _mm512_load_ps(bias_.get() + at));
        if (gelu) v = gelu_of(v);
        _mm512_mask_storeu_ps(y + (t + i) * columns_ + at, m, v);
      }
    }
  }
}

}  // namespace trirank
