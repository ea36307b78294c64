// The arithmetic of the operators, without ONNX Runtime.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace trirank {

// Whether this processor has what the functions below need (AVX-512 with VNNI).
bool supported();

// Stretches each row of x, of shape [rows, channels], so that its greatest magnitude is
// 127, rounds it and adds 128. That magnitude, at least 2^-100, is written to peaks; it is
// NaN if the row has a NaN.
void round_tokens(const float* x, size_t rows, size_t channels, uint8_t* q, float* peaks);

// Writes to y the layer normalisation of each row of a + b, of shape [rows, channels]:
// their mean taken off, divided by their deviation, times weight, plus bias. b has period
// rows and begins again after them.
void add_normalize(const float* a, const float* b, size_t period, const float* weight, const float* bias, float epsilon, size_t rows, size_t channels, float* y);

// Writes to y what one head of one text attends to: softmax(q k / sqrt(channels) + mask) v.
// q, k, v and y are of shape [tokens, channels], their rows stride apart; mask is [tokens,
// tokens], its rows mask_stride apart, 0 if they are one.
void attend(const float* q, const float* k, const float* v, const float* mask, size_t mask_stride, size_t tokens, size_t channels, size_t stride, float* y);

// A constant matrix of 8 bits, of at most 65,536 rows, in which 128 stands for 0, as the processor reads it fastest.
class Matrix {
 public:
  // w has the shape [rows, columns], scales and bias [columns].
  Matrix(const uint8_t* w, const float* scales, const float* bias, size_t rows, size_t columns);

  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  // How many parts multiply may be called for.
  size_t parts() const { return (columns_ + part_columns - 1) / part_columns; }

  // Writes to y, of shape [tokens, columns], the columns of one part of
  // (q - 128) (w - 128) * scales * peaks + bias, through GELU if gelu is set.
  // What is added up are whole numbers: a row's result does not depend on the others.
  void multiply(const uint8_t* q, const float* peaks, size_t tokens, size_t part, bool gelu, float* y) const;

 private:
  static constexpr size_t lane_columns = 16;  // of a register
  static constexpr size_t part_columns = 64;

  size_t rows_, columns_;
  size_t depth_;  // rows, filled up to whole tiles
  struct Free {
    void operator()(void* p) const;
  };
  template <class T>
  using Array = std::unique_ptr<T[], Free>;
  Array<int8_t> packed_;  // [columns/16][depth/4][16][4]
  Array<float> scales_, bias_;
  Array<int32_t> excess_;  // what 128 in place of 0 adds to a column's sums

  void by_vectors(const uint8_t* q, size_t tokens, size_t panel, int32_t* sums) const;
  void by_numbers(const uint8_t* q, size_t tokens, size_t panel, int32_t* sums) const;
  void by_tiles(const uint8_t* q, size_t tokens, size_t panel, int32_t* sums) const;
};

}  // namespace trirank
