#include "products.h"

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

// Functions that use the instructions are compiled for them one by one, so that the
// program starts on any processor.
#define VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define AMX __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")))

namespace trirank {

// Memory that will be read soon and is fetched meanwhile into the cache of the processor,
// some lines at a time.
struct Ahead {
  const int8_t* at;
  size_t lines;

  void fetch(size_t n) {
    n = std::min(n, lines);
    lines -= n;
    for (; n > 0; n--, at += line) _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
  }

  static constexpr size_t line = 64;
};

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

std::atomic<bool> tiles_allowed = true;

constexpr size_t lane_columns = 16;  // of a register
constexpr size_t pair_columns = 2 * lane_columns, pair_tiles = pair_columns * piece;  // of two tiles of weights

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

// GELU(x) = x (1/2 + erf(x/sqrt 2)/2). Half the error function is x times a polynomial of
// 2x^2/25 - 1 that is off by at most 1.6e-7 for x between -5 and 5, and beyond hardly
// changes: least squares, weighted anew until the error was even.
VNNI inline __m512 gelu_of(__m512 x) {
  const __m512 inside = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-5)), _mm512_set1_ps(5));
  const __m512 s = _mm512_fmadd_ps(_mm512_mul_ps(inside, inside), _mm512_set1_ps(2.f / 25), _mm512_set1_ps(-1));
  __m512 p = _mm512_set1_ps(0.000608728237f);
  for (float c : {-0.00161326554f, 0.00172279693f, -0.00268557409f, 0.00641051286f, -0.0111643401f, 0.0164021734f, -0.0232686524f, 0.0314421726f, -0.0404426074f, 0.0515205223f,
                  -0.0702962806f, 0.141363788f})
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(c));
  return _mm512_mul_ps(x, _mm512_fmadd_ps(inside, p, _mm512_set1_ps(.5f)));
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

void allow_tiles(bool allowed) { tiles_allowed = allowed; }

bool supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

VNNI float round_token(Row<const float> x, size_t channels, const float* factors, Row<uint8_t> q) {
  // Magnitudes are in the order of their bits, with NaN above all: so it is not lost.
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const auto value = [&](size_t c, size_t i) VNNI {
    const __mmask16 m = lanes(channels - c - i);
    const __m512 v = _mm512_maskz_loadu_ps(m, x(c) + i);
    return factors == nullptr ? v : _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, factors + c + i));
  };
  __m512i most = _mm512_castps_si512(_mm512_set1_ps(0x1p-100f));
  for (size_t c = 0; c < channels; c += piece)
    for (size_t i = 0; i < std::min(piece, channels - c); i += 16) most = _mm512_max_epu32(most, _mm512_and_si512(magnitude, _mm512_castps_si512(value(c, i))));
  const uint32_t bits = _mm512_reduce_max_epu32(most);
  float peak;
  std::memcpy(&peak, &bits, sizeof peak);
  const __m512 stretch = _mm512_set1_ps(127 / peak);
  for (size_t c = 0; c < channels; c += piece)
    for (size_t i = 0; i < std::min(piece, channels - c); i += 16) {
      const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(value(c, i), stretch));
      _mm_mask_storeu_epi8(q(c) + i, lanes(channels - c - i), _mm512_cvtusepi32_epi8(_mm512_add_epi32(whole, _mm512_set1_epi32(middle))));
    }
  return peak;
}

VNNI void add_normalize(Row<const float> a, const float* b, const Normalization& n, size_t channels, float* y) {
  __m512 sum = _mm512_setzero_ps();
  for (size_t c = 0; c < channels; c += piece)
    for (size_t i = c; i < std::min(c + piece, channels); i += 16) {
      const __mmask16 m = lanes(channels - i);
      const __m512 x = _mm512_add_ps(_mm512_maskz_loadu_ps(m, a(c) + i - c), _mm512_maskz_loadu_ps(m, b + i));
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
  const __m512 factor = _mm512_set1_ps(1 / std::sqrt(_mm512_reduce_add_ps(squares) / float(channels) + n.epsilon));
  for (size_t i = 0; i < channels; i += 16) {
    const __mmask16 m = lanes(channels - i);
    const __m512 x = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, y + i), mean), factor);
    _mm512_mask_storeu_ps(y + i, m, _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(m, n.weight + i), _mm512_maskz_loadu_ps(m, n.bias + i)));
  }
}

namespace {

constexpr size_t few = 6;  // sums at a time, so that one need not wait for its last term

// sums[i][j] is the sum over k below n of left[i][k * left_apart] times the sixteen numbers at
// right[k * right_apart + 16 j].
template <size_t wide>
VNNI inline void few_sums(const float* const left[few], size_t left_apart, const float* right, size_t right_apart, size_t n, __m512 sums[few][2]) {
  for (size_t i = 0; i < few; i++)
    for (size_t j = 0; j < wide; j++) sums[i][j] = _mm512_setzero_ps();
  for (size_t k = 0; k < n; k++, right += right_apart) {
    __m512 r[wide];
#pragma GCC unroll 2
    for (size_t j = 0; j < wide; j++) r[j] = _mm512_loadu_ps(right + 16 * j);
#pragma GCC unroll 6
    for (size_t i = 0; i < few; i++) {
      const __m512 x = _mm512_set1_ps(left[i][k * left_apart]);
#pragma GCC unroll 2
      for (size_t j = 0; j < wide; j++) sums[i][j] = _mm512_fmadd_ps(x, r[j], sums[i][j]);
    }
  }
}

// Memory of a thread, of so many numbers, at a multiple of 64 bytes.
float* memory(size_t n) {
  static thread_local std::unique_ptr<float[], decltype(&std::free)> held(nullptr, std::free);
  static thread_local size_t size = 0;
  if (n > size) {
    held.reset(aligned<float>(n));
    size = n;
  }
  return held.get();
}

// What a head has of the rows of a text: whole sixteens of channels, one after the other.
struct Head {
  const float* at;
  size_t apart;

  const float* operator[](size_t token) const { return at + token * apart; }
};

// The channels of a head, from first on, of rows; copied to room, of tokens times deep
// numbers, if they do not lie like that.
Head head_of(Rows<const float> rows, size_t first, size_t channels, size_t tokens, size_t deep, float* room) {
  if (channels == deep && first % piece + channels <= piece) return {rows[0](first), rows.apart};
  for (size_t t = 0; t < tokens; t++) {
    for (size_t c = 0; c < channels; c++) room[t * deep + c] = *rows[t](first + c);
    std::fill(room + t * deep + channels, room + (t + 1) * deep, 0.f);
  }
  return {room, deep};
}

// Attends for wide sixteens of tokens from one on. Lanes of registers are tokens that ask;
// turned has room for their channels, and shares for what each of all tokens gets of them.
template <size_t wide>
VNNI inline void attend_from(size_t from, Head q, Head k, Head v, size_t first, size_t channels, size_t deep, const float* mask, size_t mask_apart, size_t tokens, float* turned, float* shares, Rows<float> y) {
  constexpr size_t asking = 16 * wide;
  const size_t n = std::min(asking, tokens - from);
  for (size_t i = 0; i < asking; i++) {
    const float* x = q[from + std::min(i, n - 1)];
    for (size_t c = 0; c < deep; c++) turned[c * asking + i] = x[c];
  }
  const __m512 scale = _mm512_set1_ps(1 / std::sqrt(float(channels)));
  __m512 top[wide];
  for (auto& x : top) x = _mm512_set1_ps(-INFINITY);
  for (size_t t = 0; t < tokens; t += few) {
    const size_t some = std::min(few, tokens - t);
    const float* key[few];
    for (size_t i = 0; i < few; i++) key[i] = k[t + std::min(i, some - 1)];
    __m512 sum[few][2];
    few_sums<wide>(key, 1, turned, asking, deep, sum);
    for (size_t i = 0; i < some; i++)
      for (size_t j = 0; j < wide; j++) {
        __m512 added = _mm512_set1_ps(mask[t + i]);
        if (mask_apart != 0) {
          alignas(64) float each[16];
          for (size_t l = 0; l < 16; l++) each[l] = mask[(from + std::min(16 * j + l, n - 1)) * mask_apart + t + i];
          added = _mm512_load_ps(each);
        }
        const __m512 logit = _mm512_fmadd_ps(sum[i][j], scale, added);
        top[j] = _mm512_max_ps(top[j], logit);
        _mm512_store_ps(shares + (t + i) * asking + 16 * j, logit);
      }
  }
  __m512 sum[wide];
  for (auto& x : sum) x = _mm512_setzero_ps();
  for (size_t t = 0; t < tokens; t++)
    for (size_t j = 0; j < wide; j++) {
      float* const at = shares + t * asking + 16 * j;
      const __m512 e = exp_of(_mm512_sub_ps(_mm512_load_ps(at), top[j]));
      sum[j] = _mm512_add_ps(sum[j], e);
      _mm512_store_ps(at, e);
    }
  alignas(64) float whole[asking];
  for (size_t j = 0; j < wide; j++) _mm512_store_ps(whole + 16 * j, _mm512_div_ps(_mm512_set1_ps(1), sum[j]));
  for (size_t t = 0; t < n; t += few) {
    const size_t some = std::min(few, n - t);
    const float* share[few];
    for (size_t i = 0; i < few; i++) share[i] = shares + t + std::min(i, some - 1);
    const auto put = [&](size_t c, size_t i, __m512 s) VNNI {
      const __m512 x = _mm512_mul_ps(s, _mm512_set1_ps(whole[t + i]));
      const Row<float> row = y[from + t + i];
      if ((first + c) % piece <= piece - 16) return _mm512_mask_storeu_ps(row(first + c), lanes(channels - c), x);
      alignas(64) float values[16];
      _mm512_store_ps(values, x);
      for (size_t l = 0; l < std::min<size_t>(16, channels - c); l++) *row(first + c + l) = values[l];
    };
    size_t c = 0;
    __m512 sums[few][2];
    for (; c + 32 <= deep; c += 32) {
      few_sums<2>(share, asking, v.at + c, v.apart, tokens, sums);
      for (size_t i = 0; i < some; i++)
        for (size_t j = 0; j < 2; j++) put(c + 16 * j, i, sums[i][j]);
    }
    if (c < deep) {
      few_sums<1>(share, asking, v.at + c, v.apart, tokens, sums);
      for (size_t i = 0; i < some; i++) put(c, i, sums[i][0]);
    }
  }
}

}  // namespace

VNNI void attend(Rows<const float> q, Rows<const float> k, Rows<const float> v, size_t first, size_t channels, const float* mask, size_t mask_apart, size_t tokens, Rows<float> y) {
  const size_t deep = (channels + 15) / 16 * 16, asking = 32;
  float* const room = memory(asking * (deep + tokens) + 3 * tokens * deep);
  float *const turned = room, *const shares = turned + asking * deep, *copies = shares + asking * tokens;
  const auto head = [&](Rows<const float> r) {
    copies += tokens * deep;
    return head_of(r, first, channels, tokens, deep, copies - tokens * deep);
  };
  const Head query = head(q), key = head(k), value = head(v);
  for (size_t t = 0; t < tokens; t += asking) {
    if (tokens - t > 16) {
      attend_from<2>(t, query, key, value, first, channels, deep, mask, mask_apart, tokens, turned, shares, y);
    } else {
      attend_from<1>(t, query, key, value, first, channels, deep, mask, mask_apart, tokens, turned, shares, y);
    }
  }
}

void Matrix::Free::operator()(void* p) const { std::free(p); }

Matrix::Matrix(const uint8_t* w, const float* scales, const float* bias, size_t rows, size_t columns)
    : rows_(rows), columns_(columns), depth_(Tiles::fill(rows)) {
  const size_t wide = parts() * piece;
  packed_.reset(aligned<int8_t>(depth_ * wide));
  scales_.reset(aligned<float>(wide));
  bias_.reset(aligned<float>(wide));
  excess_.reset(aligned<int32_t>(wide));
  for (size_t k = 0; k < rows; k++)
    for (size_t n = 0; n < columns; n++) {
      const int v = w[k * columns + n] - middle;
      const size_t pair = (n / pair_columns * depth_ + k / piece * piece) * pair_columns, tile = n % pair_columns / lane_columns * Tiles::bytes;
      const size_t row = k % piece / 4 * 4 * lane_columns, four = n % lane_columns * 4;
      packed_[pair + tile + row + four + k % 4] = int8_t(v);
      excess_[n] += middle * v;
    }
  std::copy_n(scales, columns, scales_.get());
  std::copy_n(bias, columns, bias_.get());
}

namespace {

// Tokens that are multiplied by a part before their sums are scaled: as many as the tiles
// of two of activations, two of weights and four of sums.
constexpr size_t block = 2 * Tiles::tokens;

}  // namespace

// The sums of at most block tokens with the columns of a part, [tokens, piece].
VNNI void Matrix::by_vectors(const Tiles& x, size_t from, size_t tokens, const int8_t* w, int32_t* sums) const {
  constexpr int most = 6, wide = piece / lane_columns;  // 24 sums, and 5 registers more
  for (size_t t = 0; t < tokens; t += most) {
    const int n = int(std::min<size_t>(most, tokens - t));
    Row<const uint8_t> row[most];
    for (int i = 0; i < most; i++) row[i] = x[from + t + std::min(i, n - 1)];
    __m512i sum[most][wide];
    for (auto& s : sum)
      for (auto& x : s) x = _mm512_setzero_si512();
    for (size_t c = 0; c < depth_; c += piece)
      for (size_t k = 0; k < piece; k += 4) {
        __m512i b[wide];
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) b[j] = _mm512_load_si512(w + (j / 2 * depth_ + c) * pair_columns + j % 2 * Tiles::bytes + k * lane_columns);
#pragma GCC unroll 6
        for (int i = 0; i < most; i++) {
          int32_t four;
          std::memcpy(&four, row[i](c) + k, 4);
          const __m512i a = _mm512_set1_epi32(four);
#pragma GCC unroll 4
          for (int j = 0; j < wide; j++) sum[i][j] = _mm512_dpbusd_epi32(sum[i][j], a, b[j]);
        }
      }
    for (int i = 0; i < n; i++)
      for (int j = 0; j < wide; j++) _mm512_store_si512(sums + (t + i) * piece + j * lane_columns, sum[i][j]);
  }
}

namespace {

// The layout that _tile_loadconfig reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// Sets tiles up. 0 to 3 are sums, 4 and 5 activations, 6 and 7 weights. All are whole:
// rows of tokens that are not there cost less than setting them up anew.
AMX void configure() {
  TileConfig c;
  std::fill_n(c.bytes, 8, piece);
  std::fill_n(c.rows, 8, 16);
  // GCC takes the instruction to read the first 8 bytes only.
  __asm__ volatile("" : : "m"(c));
  _tile_loadconfig(&c);
}

AMX void release() { _tile_release(); }

thread_local bool set_up = false;

}  // namespace

TilesSetUp::TilesSetUp() {
  if (set_up || !tiles_allowed || !tiles()) return;
  configure();
  set_up = mine_ = true;
}

TilesSetUp::~TilesSetUp() {
  if (!mine_) return;
  release();
  set_up = false;
}

// As by_vectors. Of as much as a part is, half is fetched ahead.
AMX void Matrix::by_tiles(const Tiles& x, size_t from, size_t tokens, const int8_t* w, int32_t* sums, Ahead& ahead) const {
  const uint8_t* upper = x[from].at;
  const uint8_t* lower = upper + Tiles::tokens * depth_;
  constexpr size_t pitch = piece * sizeof(int32_t), lines = pair_tiles / Ahead::line / 2;
  for (size_t j = 0; j < piece; j += pair_columns) {
    _tile_zero(0);
    _tile_zero(1);
    if (tokens > Tiles::tokens) {
      _tile_zero(2);
      _tile_zero(3);
      for (size_t k = 0; k < depth_ * Tiles::tokens; k += Tiles::bytes, w += pair_tiles) {
        _tile_loadd(4, upper + k, piece);
        _tile_loadd(6, w, piece);
        ahead.fetch(lines);
        _tile_dpbusd(0, 4, 6);
        _tile_loadd(7, w + Tiles::bytes, piece);
        _tile_dpbusd(1, 4, 7);
        _tile_loadd(5, lower + k, piece);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
      }
      _tile_stored(2, sums + Tiles::tokens * piece + j, pitch);
      _tile_stored(3, sums + Tiles::tokens * piece + j + lane_columns, pitch);
    } else {
      for (size_t k = 0; k < depth_ * Tiles::tokens; k += Tiles::bytes, w += pair_tiles) {
        _tile_loadd(4, upper + k, piece);
        _tile_loadd(6, w, piece);
        ahead.fetch(lines);
        _tile_dpbusd(0, 4, 6);
        _tile_loadd(7, w + Tiles::bytes, piece);
        _tile_dpbusd(1, 4, 7);
      }
    }
    _tile_stored(0, sums + j, pitch);
    _tile_stored(1, sums + j + lane_columns, pitch);
  }
}

VNNI void Matrix::multiply(const Tiles& x, size_t tokens, size_t part, bool gelu, float* y, size_t apart) const {
  alignas(64) int32_t sums[block * piece];
  constexpr size_t wide = piece / lane_columns;
  const size_t column = part * piece, width = std::min(piece, columns_ - column);
  const int8_t* w = packed_.get() + column * depth_;
  const TilesSetUp held;
  __m512 scale[wide], bias[wide];
  __m512i excess[wide];
  for (size_t j = 0; j < wide; j++) {
    const size_t at = column + j * lane_columns;
    scale[j] = _mm512_load_ps(scales_.get() + at);
    bias[j] = _mm512_load_ps(bias_.get() + at);
    excess[j] = _mm512_load_si512(excess_.get() + at);
  }
  // A few tokens are multiplied faster than weights come: the next part's are on their way meanwhile,
  // but no more than a part of this matrix takes.
  Ahead ahead = {w + piece * depth_, piece * depth_ / Ahead::line};
  if (part + 1 == parts()) ahead = next_ != nullptr ? Ahead{next_->packed_.get(), piece * std::min(depth_, next_->depth_) / Ahead::line} : Ahead{};
  for (size_t t = 0; t < tokens; t += block) {
    const size_t n = std::min(block, tokens - t);
    if (set_up) {
      by_tiles(x, t, n, w, sums, ahead);
    } else {
      by_vectors(x, t, n, w, sums);
    }
    for (size_t i = 0; i < n; i++) {
      ahead.fetch(ahead.lines / (n - i));
      const __m512 peak = _mm512_set1_ps(x.peaks[t + i]);
      __m512 v[wide];
#pragma GCC unroll 4
      for (size_t j = 0; j < wide; j++) {
        const __m512i whole = _mm512_sub_epi32(_mm512_load_si512(sums + i * piece + j * lane_columns), excess[j]);
        v[j] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(whole), scale[j]), peak, bias[j]);
      }
      if (gelu) {
#pragma GCC unroll 4
        for (size_t j = 0; j < wide; j++) v[j] = gelu_of(v[j]);
      }
      float* const to = y + (t + i) * apart;
      if (width == piece) {
#pragma GCC unroll 4
        for (size_t j = 0; j < wide; j++) _mm512_storeu_ps(to + j * lane_columns, v[j]);
      } else {
        for (size_t j = 0; j < wide; j++)
          if (const size_t c = j * lane_columns; c < width) _mm512_mask_storeu_ps(to + c, lanes(width - c), v[j]);
      }
    }
  }
}

}  // namespace trirank
