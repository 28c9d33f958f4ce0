// Where the sums of a product gather while k runs, block after block: c itself, or a buffer of T in its place where c
// is of another type or has no unit column stride. The first block adds what is to be added; the last applies bias and
// activation.
#pragma once

#include "kernels/gemm/micro.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Sums {
  T* p;
  int64_t rs;
  const T* add;  // null: none, or already in the buffer
  int64_t add_rs;
  const T *bias, *row_bias;
  bool buffered;
};

// Whether c, and what is added, are as the micro-kernel wants them.
template <class S, class T>
inline bool direct(const Problem<S, T>& q) {
  return std::is_same_v<S, T> && q.c.cs == 1 && (!q.add.p || q.add.cs == 1);
}

// Elements that open_sums needs for so many rows of c.
template <class S, class T>
inline int64_t sums_room(const Problem<S, T>& q, int64_t rows) {
  const int64_t width = round_up(q.n, Vec<T>::N);
  return (direct(q) ? 0 : rows * width) + (q.bias.p ? width + rows : 0) + Vec<T>::N;
}

// The sums of rows i0 .. i0 + rows of c.
template <class S, class T>
Sums<T> open_sums(const Problem<S, T>& q, int64_t i0, int64_t rows, T* room) {
  const int64_t width = round_up(q.n, Vec<T>::N);
  Sums<T> sums{room, width, nullptr, 0, nullptr, nullptr, !direct(q)};
  if constexpr (std::is_same_v<S, T>) {
    if (!sums.buffered) {
      sums.p = q.c.at(i0, 0);
      sums.rs = q.c.rs;
      sums.add = q.add.p ? q.add.at(i0, 0) : nullptr;
      sums.add_rs = q.add.rs;
    }
  }
  if (!q.bias.p) return sums;
  T* bias = sums.buffered ? room + rows * width : room;
  const bool by_row = q.bias.rs != 0;
  for (int64_t l = 0; l < (by_row ? rows : q.n); ++l)
    bias[l] = widen<T>(*(by_row ? q.bias.at(i0 + l, 0) : q.bias.at(0, l)));
  (by_row ? sums.row_bias : sums.bias) = bias;
  return sums;
}

// What the micro-kernel does at one block of k.
template <class S, class T>
inline Output<T> output(const Problem<S, T>& q, const Sums<T>& sums, bool first, bool last) {
  Output<T> out{sums.p, sums.rs, q.alpha, first ? q.beta : T(1), nullptr, Activation::none};
  if (first && sums.add) {
    out.add = sums.add;
    out.add_rs = sums.add_rs;
  }
  if (last) {
    out.bias = sums.bias;
    out.row_bias = sums.row_bias;
    out.activation = q.activation;
  }
  return out;
}

// Before the first block of k: what is to be added, in a buffer. (i, j) counts from the sums' first row.
template <class S, class T>
void fill(const Problem<S, T>& q, const Sums<T>& sums, int64_t i0, int64_t rows, int64_t j0, int64_t cols) {
  if (!sums.buffered || !q.add.p) return;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = j0; j < j0 + cols; ++j) sums.p[i * sums.rs + j] = widen<T>(*q.add.at(i0 + i, j));
}

// After the last: from a buffer to c.
template <class S, class T>
void empty(const Problem<S, T>& q, const Sums<T>& sums, int64_t i0, int64_t rows, int64_t j0, int64_t cols) {
  if (!sums.buffered) return;
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = sums.p + i * sums.rs;
    int64_t j = j0;
    if (q.c.cs == 1)
      for (; j < j0 + cols; j += Vec<T>::N) store(q.c.at(i0 + i, j), load<T>(row + j), least(Vec<T>::N, j0 + cols - j));
    for (; j < j0 + cols; ++j) *q.c.at(i0 + i, j) = narrow<S>(row[j]);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA
