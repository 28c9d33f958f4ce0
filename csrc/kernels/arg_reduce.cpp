// Where the largest or smallest element is, along the middle axis of a dense (outer, n, inner) block. The first of
// equal elements counts; NaN beats every number.
//
// inner == 1: a piece of a row that fits the cache is searched twice, once for the extreme value and once for its
// place. inner > 1: a block of columns keeps its extremes and their places while the rows stream by.
#include <limits>

#include "kernels/element.h"
#include "runtime/parallel.h"
#include "runtime/table/reduce.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kRows = 4096;    // of axis n in one chunk; less than 2^24, so that a float counts them exactly
constexpr int64_t kColumns = 512;  // of axis inner in one block

template <class T>
using Value = std::conditional_t<std::is_same_v<T, bool>, uint8_t, Wide<T>>;
template <class T>
using Place = std::conditional_t<kFloating<T>, Value<T>, int64_t>;  // of one width with Value where that is a vector

struct Greatest {
  template <class A>
  static constexpr A kWorst = std::numeric_limits<A>::has_infinity ? -std::numeric_limits<A>::infinity()
                                                                   : std::numeric_limits<A>::lowest();
  template <class V>
  static inline V better(V a, V b) {
    return larger(a, b);
  }
  template <class T>
  static inline T across(Vec<T> v) {
    return hmax(v);
  }
  template <class V>
  static inline auto no_better(V a, V b) {
    return a <= b;
  }
};
struct Least {
  template <class A>
  static constexpr A kWorst = std::numeric_limits<A>::has_infinity ? std::numeric_limits<A>::infinity()
                                                                   : std::numeric_limits<A>::max();
  template <class V>
  static inline V better(V a, V b) {
    return smaller(a, b);
  }
  template <class T>
  static inline T across(Vec<T> v) {
    return hmin(v);
  }
  template <class V>
  static inline auto no_better(V a, V b) {
    return a >= b;
  }
};

template <class T>
inline Value<T> read(T x) {
  if constexpr (kHalf<T>) return to_float(x);
  if constexpr (!kHalf<T>) return static_cast<Value<T>>(x);
}

// ---- inner == 1

template <class E, class T>
inline Value<T> extreme(const T* x, int64_t n) {
  using A = Value<T>;
  if constexpr (kFloating<T>) {
    using V = Vec<A>;
    constexpr int64_t N = V::N;
    V best[4] = {E::template kWorst<A>, E::template kWorst<A>, E::template kWorst<A>, E::template kWorst<A>};
    int64_t i = 0;
    for (; i + 4 * N <= n; i += 4 * N)
      for (int k = 0; k < 4; ++k) best[k] = E::better(best[k], load<A>(x + i + k * N));
    for (; i + N <= n; i += N) best[0] = E::better(best[0], load<A>(x + i));
    if (i < n) best[1] = E::better(best[1], select(first_lanes<A>(n - i), load<A>(x + i, n - i), best[1]));
    return E::across(E::better(E::better(best[0], best[1]), E::better(best[2], best[3])));
  } else {
    A best = E::template kWorst<A>;
    for (int64_t i = 0; i < n; ++i) best = E::better(best, read(x[i]));
    return best;
  }
}

// The first of n elements that is `value`; there is one.
template <class T>
inline int64_t find(const T* x, int64_t n, Value<T> value) {
  int64_t i = 0;
  if constexpr (kFloating<T>) {
    using V = Vec<Value<T>>;
    constexpr int64_t N = V::N;
    const bool nan = value != value;
    const auto found = [&](V v) { return nan ? v != v : v == V(value); };
    while (i + N <= n && !any(found(load<Value<T>>(x + i)))) i += N;
    Value<T> lanes[N];
    for (int k = 0; k < N; ++k) lanes[k] = static_cast<Value<T>>(k);
    const int64_t left = n - i < N ? n - i : N;
    const auto here = found(load<Value<T>>(x + i, left)) & first_lanes<Value<T>>(left);
    const V place = select(here, load<Value<T>>(lanes), V(Value<T>(N)));
    return i + static_cast<int64_t>(fold_lanes<N / 2>(place, [](V a, V b) { return fast_min(a, b); }));
  } else {
    while (read(x[i]) != value) ++i;
    return i;
  }
}

// ---- inner > 1

// One row: x is at `place` of axis n, for columns 0 <= j < m. The first row initializes.
template <class E, class T>
inline void update(const T* x, int64_t place, int64_t m, Value<T>* best, Place<T>* where) {
  using A = Value<T>;
  if constexpr (kFloating<T>) {
    using V = Vec<A>;
    const auto step = [&](int64_t j, auto... count) {
      const V v = load<A>(x + j, count...), b = load<A>(best + j, count...);
      const auto wins = ~E::no_better(v, b) & (b == b);
      store(best + j, select(wins, v, b), count...);
      store(where + j, select(wins, V(static_cast<A>(place)), load<A>(where + j, count...)), count...);
    };
    int64_t j = 0;
    for (; j + V::N <= m; j += V::N) step(j);
    if (j < m) step(j, m - j);
  } else {
    for (int64_t j = 0; j < m; ++j) {
      const bool wins = !E::no_better(read(x[j]), best[j]);
      best[j] = wins ? read(x[j]) : best[j];
      where[j] = wins ? place : where[j];
    }
  }
}

// ---- all outputs

struct Job {
  int64_t n, inner, blocks, width, chunks;  // width: of a block of columns
};

// Chunk c of n, for m columns from x on: extreme values and their places in n.
template <class E, class T>
void search(const Job& job, const T* x, int64_t c, int64_t m, Value<T>* best, int64_t* index) {
  const int64_t begin = c * kRows;
  const int64_t n = job.n - begin < kRows ? job.n - begin : kRows;
  x += begin * job.inner;
  if (job.inner == 1) {
    best[0] = extreme<E>(x, n);
    index[0] = begin + find(x, n, best[0]);
    return;
  }
  Place<T> where[kColumns];
  for (int64_t j = 0; j < m; ++j) best[j] = read(x[j]);
  for (int64_t j = 0; j < m; ++j) where[j] = 0;
  for (int64_t i = 1; i < n; ++i) update<E>(x + i * job.inner, i, m, best, where);
  for (int64_t j = 0; j < m; ++j) index[j] = begin + static_cast<int64_t>(where[j]);
}

// Items [from, to), an item being one chunk of one block of outputs. A lone chunk is the output.
template <class E, class T>
[[gnu::noinline]] void search_items(const Job& job, const T* x, int64_t* y, Value<T>* best, int64_t* index,
                                    int64_t from, int64_t to) {
  Value<T> local[kColumns];
  for (int64_t item = from; item < to; ++item) {
    const int64_t output = job.chunks > 1 ? item / job.chunks : item;
    const int64_t outer = job.blocks > 1 ? output / job.blocks : output;
    const int64_t column = job.blocks > 1 ? output % job.blocks * job.width : 0;
    const int64_t m = job.inner - column < job.width ? job.inner - column : job.width;
    const T* block = x + outer * job.n * job.inner + column;
    if (job.chunks == 1) {
      search<E>(job, block, 0, m, local, y + outer * job.inner + column);
    } else {
      search<E>(job, block, item % job.chunks, m, best + item * job.width, index + item * job.width);
    }
  }
}

// The best chunk of each output; the first of equals.
template <class E, class A>
void combine(const Job& job, const A* best, const int64_t* index, int64_t outputs, int64_t* y) {
  for (int64_t o = 0; o < outputs; ++o) {
    const int64_t outer = o / job.blocks, column = o % job.blocks * job.width;
    const int64_t m = job.inner - column < job.width ? job.inner - column : job.width;
    for (int64_t j = 0; j < m; ++j) {
      int64_t at = o * job.chunks * job.width + j;
      for (int64_t c = 1, next = at + job.width; c < job.chunks; ++c, next += job.width)
        if (!E::no_better(best[next], best[at]) && best[at] == best[at]) at = next;
      y[outer * job.inner + column + j] = index[at];
    }
  }
}

template <class E, class T>
void arg_reduce_as(const View& x, const View& y) {
  using A = Value<T>;
  Job job{x.shape[1], x.shape[2], 1, x.shape[2], (x.shape[1] + kRows - 1) / kRows};
  if (job.inner > kColumns) {
    job.blocks = (job.inner + kColumns - 1) / kColumns;
    job.width = kColumns;
  }
  const int64_t outputs = x.shape[0] * job.blocks, items = outputs * job.chunks;
  A* best = nullptr;
  int64_t* index = nullptr;
  if (job.chunks > 1) {
    index = static_cast<int64_t*>(scratch(0, items * job.width * (sizeof(int64_t) + sizeof(A))));
    best = reinterpret_cast<A*>(index + items * job.width);
  }
  const T* from = x.as<const T>();
  int64_t* to = y.as<int64_t>();
  parallel_for(items, x.numel() / items + 8,
               [&](int64_t begin, int64_t end) { search_items<E>(job, from, to, best, index, begin, end); });
  if (job.chunks > 1) combine<E>(job, best, index, outputs, to);
}

template <class E>
void arg_reduce_any(const View& x, const View& y) {
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return arg_reduce_as<E, type>(x, y);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace

void arg_reduce(ArgReduce op, View x, View y) {
  if (y.numel() == 0) return;
  if (op == ArgReduce::argmax) return arg_reduce_any<Greatest>(x, y);
  return arg_reduce_any<Least>(x, y);
}

}  // namespace pydl::PYDL_ISA
