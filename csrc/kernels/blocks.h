// Blocks of elements moved between places with strides of their own, as the walk over strided arrays needs it: numbers
// of four and eight bytes by vectors where a block is turned over, or every second number of a row is taken.
#pragma once

#include <cstdint>
#include <type_traits>

#include "simd/interleave.h"
#include "simd/transpose.h"

namespace pydl::PYDL_ISA {
namespace {

inline int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

// The floating type in whose vectors the bits of a U travel.
template <class U>
using Number = std::conditional_t<sizeof(U) == 8, double, float>;

// to[r * to_row + c] = from[r + c * from_column]
template <class T>
void turn_block(const T* from, int64_t from_column, T* to, int64_t to_row, int64_t rows, int64_t columns) {
  constexpr int N = Vec<T>::N;
  for (int64_t r = 0; r < rows; r += N)
    for (int64_t c = 0; c < columns; c += N) {
      const int64_t high = rows - r < N ? rows - r : N, wide = columns - c < N ? columns - c : N;
      Vec<T> v[N];
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i)
        if (i < wide)
          v[i] =
              high == N ? load<T>(from + r + (c + i) * from_column) : load<T>(from + r + (c + i) * from_column, high);
      transpose<N / 2>(v);
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i)
        if (i < high) wide == N ? store(to + (r + i) * to_row + c, v[i]) : store(to + (r + i) * to_row + c, v[i], wide);
    }
}

// to[r * to_row + c] = from[r * from_row + 2 * c]
template <class T>
void thin_block(const T* from, int64_t from_row, T* to, int64_t to_row, int64_t rows, int64_t columns) {
  constexpr int N = Vec<T>::N;
  for (int64_t r = 0; r < rows; ++r, from += from_row, to += to_row) {
    int64_t c = 0;
    // A vector reaches one number further than its last: the row must go on.
    for (; c + N < columns; c += N) store(to + c, evens(load<T>(from + 2 * c), load<T>(from + 2 * c + N)));
    for (; c < columns; ++c) to[c] = from[2 * c];
  }
}

// Moves a (rows, columns) block between two places; strides in elements, 0 allowed on the source.
template <class U>
inline void move_block(const U* from, int64_t from_row, int64_t from_column, U* to, int64_t to_row, int64_t to_column,
                       int64_t rows, int64_t columns) {
  if constexpr (sizeof(U) >= 4) {
    using T = Number<U>;
    const T* source = reinterpret_cast<const T*>(from);
    T* target = reinterpret_cast<T*>(to);
    if (from_row == 1 && to_column == 1) return turn_block(source, from_column, target, to_row, rows, columns);
    if (from_column == 2 && to_column == 1) return thin_block(source, from_row, target, to_row, rows, columns);
  }
  // The inner loop runs along the side that lies closer together, so that cache lines are used whole.
  if (distance(from_row) + distance(to_row) < distance(from_column) + distance(to_column)) {
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = 0; r < rows; ++r) to[r * to_row + c * to_column] = from[r * from_row + c * from_column];
  } else {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) to[r * to_row + c * to_column] = from[r * from_row + c * from_column];
  }
}

struct Block {
  char* data;
  int64_t row, column;
};

inline void move_block(int64_t size, Block from, Block to, int64_t rows, int64_t columns) {
#define PYDL_MOVE(bytes, U)                                                                                        \
  if (size == bytes)                                                                                               \
    return move_block(reinterpret_cast<const U*>(from.data), from.row, from.column, reinterpret_cast<U*>(to.data), \
                      to.row, to.column, rows, columns);
  PYDL_MOVE(1, uint8_t)
  PYDL_MOVE(2, uint16_t)
  PYDL_MOVE(4, uint32_t)
  PYDL_MOVE(8, uint64_t)
#undef PYDL_MOVE
}

}  // namespace
}  // namespace pydl::PYDL_ISA
