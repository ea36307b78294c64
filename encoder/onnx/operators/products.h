// The arithmetic of the operators, without ONNX Runtime.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace trirank {

// Whether this processor has what the functions below need (AVX-512 with VNNI).
bool supported();

// Has Matrix multiply by tiles where the processor has them (AMX), or never. It does at first;
// the results are the same.
void allow_tiles(bool allowed);

// By how many channels activations lie apart where a tensor is not wanted: as many as a
// processor multiplies at a time.
constexpr size_t piece = 64;

// The channels of one token, in pieces whose beginnings lie step apart; in a tensor they
// follow each other, and step is piece.
template <class T>
struct Row {
  T* at;
  size_t step = piece;

  T* operator()(size_t channel) const { return at + channel / piece * step + channel % piece; }
  operator Row<const T>() const { return {at, step}; }
};

// The rows of tokens, whose beginnings lie apart.
template <class T>
struct Rows {
  T* at;
  size_t apart, step = piece;

  Row<T> operator[](size_t token) const { return {at + token * apart, step}; }
  operator Rows<const T>() const { return {at, apart, step}; }
};

// Activations of 8 bits and the peaks of their tokens, as Matrix reads them: [tokens/16][channels/64][16][64].
// Where tokens and channels are no multiples of these there is room for more, whose values
// do not matter.
struct Tiles {
  static constexpr size_t tokens = 16, bytes = tokens * piece;

  uint8_t* at;
  float* peaks;
  size_t depth;  // channels, filled up to whole pieces

  static size_t fill(size_t channels) { return (channels + piece - 1) / piece * piece; }
  static size_t size(size_t n, size_t channels) { return (n + tokens - 1) / tokens * tokens * fill(channels); }
  Row<uint8_t> operator[](size_t token) const { return {at + token / tokens * tokens * depth + token % tokens * piece, bytes}; }
};

// Stretches the channels of a token so that their greatest magnitude is 127, rounds them
// and adds 128. Returns that magnitude, at least 2^-100; it is NaN if one of them is. With
// factors, one for each channel, they are multiplied by these before.
float round_token(Row<const float> x, size_t channels, const float* factors, Row<uint8_t> q);

// What follows the mean in a layer normalisation.
struct Normalization {
  const float *weight, *bias;
  float epsilon;
};

// Writes to y the layer normalisation of a + b: their mean taken off, divided by their
// deviation, times weight, plus bias.
void add_normalize(Row<const float> a, const float* b, const Normalization& n, size_t channels, float* y);

// Writes to the channels of y from first on what one head, which has these, of one text
// attends to: softmax(q k / sqrt(channels) + mask) v. mask is [tokens, tokens], its rows
// mask_apart, 0 if they are one.
void attend(Rows<const float> q, Rows<const float> k, Rows<const float> v, size_t first, size_t channels, const float* mask, size_t mask_apart, size_t tokens, Rows<float> y);

// Keeps the tiles of this thread set up, where the processor has them, which Matrix::multiply
// does for each part otherwise. Nothing else may set them up meanwhile: of ONNX Runtime only other
// operators do, and they do not run on this thread before the one that holds this returns.
class TilesSetUp {
 public:
  TilesSetUp();
  ~TilesSetUp();
  TilesSetUp(const TilesSetUp&) = delete;

 private:
  bool mine_ = false;
};

struct Ahead;

// A constant matrix of 8 bits, of at most 65,536 rows, in which 128 stands for 0, as the processor reads it fastest.
class Matrix {
 public:
  // w has the shape [rows, columns], scales and bias [columns].
  Matrix(const uint8_t* w, const float* scales, const float* bias, size_t rows, size_t columns);

  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  // How many parts, of piece columns each, multiply may be called for.
  size_t parts() const { return (columns_ + piece - 1) / piece; }
  // Says what is multiplied after this matrix and lives as long: what is needed first of it is fetched while the
  // last part is multiplied.
  void precede(const Matrix& next) { next_ = &next; }

  // Writes to y the columns of one part of (x - 128) (w - 128) * scales * peaks + bias,
  // through GELU if gelu is set; y is where the first of them goes, and its rows are apart.
  // What is added up are whole numbers: a row's result does not depend on the others.
  void multiply(const Tiles& x, size_t tokens, size_t part, bool gelu, float* y, size_t apart) const;

 private:
  size_t rows_, columns_, depth_;
  struct Free {
    void operator()(void* p) const;
  };
  template <class T>
  using Array = std::unique_ptr<T[], Free>;
  Array<int8_t> packed_;  // [columns/32][depth/64][2][16][16][4]: of 32 columns, of 64 rows, of 16 columns, of 4 rows
  Array<float> scales_, bias_;
  Array<int32_t> excess_;  // what 128 in place of 0 adds to a column's sums
  const Matrix* next_ = nullptr;

  void by_vectors(const Tiles& x, size_t from, size_t tokens, const int8_t* w, int32_t* sums) const;
  void by_tiles(const Tiles& x, size_t from, size_t tokens, const int8_t* w, int32_t* sums, Ahead& ahead) const;
};

}  // namespace trirank
