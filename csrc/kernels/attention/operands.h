// What all paths of attention share: where operands lie, which keys a query sees, what a mask adds, what dropout keeps.
// Axes: b batch, h head, t query, s key, d feature of queries and keys, e feature of values.
#pragma once

#include <limits>

#include "kernels/gemm/pack.h"
#include "kernels/philox_words.h"
#include "runtime/table/attention.h"

namespace pydl::PYDL_ISA {
namespace {

// S is the type in memory, T that of the arithmetic: float for f16 and bf16, else S.
template <class S>
struct Heads {
  S* p;
  int64_t batch, head, row;  // strides; 1 within a row

  explicit Heads(const View& x) : p(x.as<S>()), batch(x.strides[0]), head(x.strides[1]), row(x.strides[2]) {}
  S* at(int64_t b, int64_t h, int64_t t) const { return p + b * batch + h * head + t * row; }
};

struct Range {
  int64_t begin, end;

  bool empty() const { return begin >= end; }
  // What lies in both, in bounds of o also where it is empty.
  Range within(Range o) const {
    const int64_t from = least(begin > o.begin ? begin : o.begin, o.end), to = least(end, o.end);
    return {from, to > from ? to : from};
  }
};

inline int64_t even_blocks(int64_t n, int64_t most, int64_t multiple) {
  return n > 0 ? round_up(ceil_div(n, ceil_div(n, most)), multiple) : multiple;
}

// What dropout leaves. Weight (b, h, t, s) is decided by word s of the row's words, which begin at a whole counter.
struct Drops {
  Chance drop;
  Stream stream;
  int64_t row_counters;
  double scale;  // of what is kept
  bool on;

  Drops(double p, const View& rng, int64_t keys)
      : drop(p), stream{0, 0}, row_counters(ceil_div(keys, 4)), scale(p < 1 ? 1 / (1 - p) : 0), on(p > 0) {
    if (on) stream = {rng.as<const uint64_t>()[0], rng.as<const uint64_t>()[1]};
  }
  // Words of keys s .. s + n of a row, for s a multiple of 4; writes up to the end of a group.
  void words(int64_t row, int64_t s, int64_t n, uint32_t* to) const {
    fill(stream, static_cast<uint64_t>(row * row_counters + s / 4), ceil_div(n, 4), to);
  }
  static int64_t room(int64_t n) { return round_up(n, 4 * kGroup); }
};

// What a mask adds to scores.
template <class T>
struct Mask {
  View x;

  bool present() const { return x.present(); }
  // The numbers of query t for keys s .. s + n: in place, or in `room`.
  const T* row(int64_t b, int64_t h, int64_t t, int64_t s, int64_t n, T* room) const {
    const int64_t at = b * x.strides[0] + h * x.strides[1] + t * x.strides[2] + s * x.strides[3];
    switch (x.dtype) {
      case Dtype::b8:
        return hide(x.as<const bool>() + at, n, room);
      case Dtype::f16:
        return widened(x.as<const f16>() + at, n, room);
      case Dtype::bf16:
        return widened(x.as<const bf16>() + at, n, room);
      case Dtype::f64:
        return numbers(x.as<const double>() + at, n, room);
      default:
        return numbers(x.as<const float>() + at, n, room);
    }
  }

 private:
  const T* hide(const bool* p, int64_t n, T* room) const {
    const T hidden = -std::numeric_limits<T>::infinity();
    const int64_t step = x.strides[3];
    if (step == 1) {
      for (int64_t j = 0; j < n; ++j) room[j] = p[j] ? T(0) : hidden;
    } else {
      for (int64_t j = 0; j < n; ++j) room[j] = p[j * step] ? T(0) : hidden;
    }
    return room;
  }
  template <class M>
  const T* widened(const M* p, int64_t n, T* room) const {
    for (int64_t j = 0; j < n; ++j) room[j] = static_cast<T>(to_float(p[j * x.strides[3]]));
    return room;
  }
  template <class M>
  const T* numbers(const M* p, int64_t n, T* room) const {
    if constexpr (std::is_same_v<M, T>) {
      if (x.strides[3] == 1) return p;
    }
    for (int64_t j = 0; j < n; ++j) room[j] = static_cast<T>(p[j * x.strides[3]]);
    return room;
  }
};

// Sizes and settings of one call.
template <class T>
struct Call {
  const AttentionSpec& spec;
  int64_t batch, heads, group, queries, keys, width, value_width;  // group: query heads to a head of keys
  Mask<T> mask;
  const int64_t* lengths;
  Drops drops;

  Call(const AttentionSpec& s, const View& q, const View& k, const View& v, const View& m, const View& len,
       const View& rng)
      : spec(s),
        batch(q.shape[0]),
        heads(q.shape[1]),
        group(k.shape[1] > 0 ? q.shape[1] / k.shape[1] : 1),
        queries(q.shape[2]),
        keys(k.shape[2]),
        width(q.shape[3]),
        value_width(v.shape[3]),
        mask{m},
        lengths(len.as<const int64_t>()),
        drops(s.dropout, rng, k.shape[2]) {}

  int64_t length(int64_t b) const { return lengths ? lengths[b] : keys; }
  int64_t row(int64_t b, int64_t h, int64_t t) const { return (b * heads + h) * queries + t; }
  // Keys that one of the queries t .. t + n sees, of so many.
  Range keys_seen(int64_t t, int64_t n, int64_t length) const {
    return Range{t - spec.below, t + n + spec.above}.within({0, length});
  }
  // Queries that see one of the keys s .. s + n.
  Range queries_seeing(int64_t s, int64_t n) const {
    return Range{s - spec.above, s + n + spec.below}.within({0, queries});
  }
};

// The buffers of attention in runtime/parallel.h.
enum Slot : int { kQuerySlot, kKeySlot, kTileSlot, kRowSlot, kSumSlot, kLineSlot, kAllSlot = 7 };

template <class T>
T* room(Slot slot, int64_t n) {
  return static_cast<T*>(scratch(slot, sizeof(T) * static_cast<size_t>(n + 2 * Vec<T>::N)));
}

// A matrix (n, columns) as panels of columns for the micro-kernel: panel c begins at c * n, its rows `width` apart.
template <class T>
inline int64_t panel_width(int64_t c, int64_t columns) {
  return round_up(least(Tiling<T>::kCols, columns - c), Vec<T>::N);
}
template <class T>
inline int64_t panels_room(int64_t n, int64_t columns) {
  return n * round_up(columns, Vec<T>::N);
}
// From rows of memory: panel c holds their columns c, c + 1, ...
template <class S, class T>
void pack_panels(const S* from, int64_t row, int64_t n, int64_t columns, T* to) {
  for (int64_t c = 0; c < columns; c += Tiling<T>::kCols)
    pack(from + c, int64_t{1}, row, least(Tiling<T>::kCols, columns - c), n, panel_width<T>(c, columns), to + c * n);
}
// The transposed matrix: panel c holds rows c, c + 1, ... of n, each as a column of `depth`.
template <class S, class T>
void pack_transposed(const S* from, int64_t row, int64_t n, int64_t depth, T* to) {
  for (int64_t c = 0; c < n; c += Tiling<T>::kCols)
    pack(from + c * row, row, int64_t{1}, least(Tiling<T>::kCols, n - c), depth, panel_width<T>(c, n), to + c * depth);
}

template <class T>
inline void scale_all(T* x, int64_t n, T by) {
  constexpr int N = Vec<T>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) store(x + i, load<T>(x + i) * Vec<T>(by));
  for (; i < n; ++i) x[i] *= by;
}

template <class T>
inline void clear(T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = T(0);
}

// c = alpha * tile + beta * c
template <class T>
inline Output<T> into(T* c, int64_t rs, T alpha, T beta) {
  return {c, rs, alpha, beta, nullptr, Activation::none};
}

}  // namespace
}  // namespace pydl::PYDL_ISA
