// Reductions over any set of axes of a strided array.
//
// The axes are sorted by stride, so that the innermost one walks through memory, whatever order the caller sees.
//   rows:    the innermost axis is reduced. Vectors run along it; a line is folded into one number at its end.
//   columns: the innermost axis is kept. A block of accumulators stays in cache while lines are added to it.
// Either way a fixed amount of work makes one partial result (a chunk), and the chunks of an output are combined as a
// binary tree: rounding errors grow with the logarithm of the size, and the chunks are what threads share.
#include "kernels/reduce.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/element.h"
#include "runtime/parallel.h"
#include "runtime/table/reduce.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kScalars = 32;    // accumulators of a line that is not added by vectors, for the compiler to make some
constexpr int64_t kPack = 512;  // elements of a strided line that are gathered at a time

// An operation names the type that elements of T are combined in and the type of the result. Integers are added and
// multiplied as unsigned numbers, which may wrap around.
template <class T>
struct Arithmetic {
  using Acc = std::conditional_t<kFloating<T>, Wide<T>, uint64_t>;
  using Out = std::conditional_t<kFloating<T>, T, int64_t>;
};
template <class T>
struct Order {
  using Acc = std::conditional_t<std::is_same_v<T, bool>, uint8_t, Wide<T>>;
  using Out = T;
  static constexpr bool kInfinite = std::numeric_limits<Acc>::has_infinity;
};
template <class T>
struct Logic {
  using Acc = uint8_t;
  using Out = bool;
};

template <class T>
struct Sum : Arithmetic<T> {
  using A = typename Arithmetic<T>::Acc;
  static constexpr A kIdentity = 0;
  template <class V>
  static inline V apply(V a, V b) {
    return a + b;
  }
  static inline A across(Vec<A> v) { return sum(v); }
};
template <class T>
struct Prod : Arithmetic<T> {
  using A = typename Arithmetic<T>::Acc;
  static constexpr A kIdentity = 1;
  template <class V>
  static inline V apply(V a, V b) {
    return a * b;
  }
  static inline A across(Vec<A> v) { return hprod(v); }
};
template <class T>
struct Max : Order<T> {
  using A = typename Order<T>::Acc;
  static constexpr A kIdentity =
      Order<T>::kInfinite ? A(-std::numeric_limits<A>::infinity()) : std::numeric_limits<A>::lowest();
  template <class V>
  static inline V apply(V a, V b) {
    return larger(a, b);
  }
  static inline A across(Vec<A> v) { return hmax(v); }
};
template <class T>
struct Min : Order<T> {
  using A = typename Order<T>::Acc;
  static constexpr A kIdentity =
      Order<T>::kInfinite ? std::numeric_limits<A>::infinity() : std::numeric_limits<A>::max();
  template <class V>
  static inline V apply(V a, V b) {
    return smaller(a, b);
  }
  static inline A across(Vec<A> v) { return hmin(v); }
};
template <class T>
struct Any : Logic<T> {
  static constexpr uint8_t kIdentity = 0;
  static inline uint8_t apply(uint8_t a, uint8_t b) { return a | b; }
};
template <class T>
struct All : Logic<T> {
  static constexpr uint8_t kIdentity = 1;
  static inline uint8_t apply(uint8_t a, uint8_t b) { return a & b; }
};

template <class T>
struct Norm : Sum<T> {
  using A = typename Arithmetic<T>::Acc;
  static inline A root(A a) {
    if constexpr (kFloating<T>) return std::sqrt(a);
    if constexpr (!kFloating<T>) return a;
  }
};

template <class Op>
using Acc = typename Op::Acc;
template <class Op, class T>
constexpr bool kNorm = std::is_same_v<Op, Norm<T>>;
template <class Op>
constexpr bool kVector = std::is_floating_point_v<Acc<Op>>;
template <class Op, class T>
constexpr bool kLogic = std::is_same_v<Op, Any<T>> || std::is_same_v<Op, All<T>>;

template <class Op, class T>
inline Acc<Op> read(T x) {
  if constexpr (kLogic<Op, T> && kHalf<T>) {
    return (x.bits & 0x7fffu) != 0;
  } else if constexpr (kLogic<Op, T> && std::is_same_v<T, bool>) {
    return static_cast<uint8_t>(x);
  } else if constexpr (kLogic<Op, T>) {
    return x != T(0);
  } else if constexpr (kHalf<T>) {
    return to_float(x);
  } else {
    return static_cast<Acc<Op>>(x);
  }
}

// What goes into the result: the elements, or their squares.
template <class Op, class T, class V>
inline V taken(V v) {
  if constexpr (kNorm<Op, T>) return v * v;
  if constexpr (!kNorm<Op, T>) return v;
}

// What comes out.
template <class Op, class T>
inline typename Op::Out made(Acc<Op> a) {
  if constexpr (kNorm<Op, T>) return narrow<typename Op::Out>(Op::root(a));
  if constexpr (!kNorm<Op, T>) return narrow<typename Op::Out>(a);
}

// ---- rows

template <class Op, class T, class V>
inline void vector_line(const T* x, int64_t n, V* acc) {
  using A = Acc<Op>;
  constexpr int64_t N = V::N;
  int64_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N)
    for (int k = 0; k < 4; ++k) acc[k] = Op::apply(acc[k], taken<Op, T>(load<A>(x + i + k * N)));
  for (int k = 0; k < 3; ++k) {
    if (i + N > n) break;
    acc[k] = Op::apply(acc[k], taken<Op, T>(load<A>(x + i)));
    i += N;
  }
  if (i < n)
    acc[3] = Op::apply(acc[3], select(first_lanes<A>(n - i), taken<Op, T>(load<A>(x + i, n - i)), V(Op::kIdentity)));
}

// Calls f(pointer, count) for pieces of n elements that are adjacent in memory, if need be in a copy.
template <class T, class F>
inline void adjacent(const T* x, int64_t stride, int64_t n, const F& f) {
  if (stride == 1) return f(x, n);
  T packed[kPack];
  for (int64_t i = 0; i < n; i += kPack) {
    const int64_t m = n - i < kPack ? n - i : kPack;
    for (int64_t j = 0; j < m; ++j) packed[j] = x[(i + j) * stride];
    f(packed, m);
  }
}

template <class Op, class V>
inline V tree(const V* acc) {
  return Op::apply(Op::apply(acc[0], acc[1]), Op::apply(acc[2], acc[3]));
}

// n elements from `begin` on of lines l0 <= l < l1, as one number.
template <class Op, class T>
[[gnu::noinline]] Acc<Op> reduce_lines(const Plan& p, const T* x, int64_t begin, int64_t n, int64_t l0, int64_t l1) {
  using A = Acc<Op>;
  x += begin * p.inner.x;
  if constexpr (kVector<Op>) {
    Vec<A> acc[4] = {Op::kIdentity, Op::kIdentity, Op::kIdentity, Op::kIdentity};
    for (int64_t l = l0; l < l1; ++l)
      adjacent(x + p.reduced.at(l, &Axis::x), p.inner.x, n,
               [&](const T* line, int64_t m) { vector_line<Op>(line, m, acc); });
    return Op::across(tree<Op>(acc));
  } else {
    A acc[kScalars];
    for (A& a : acc) a = Op::kIdentity;
    for (int64_t l = l0; l < l1; ++l)
      adjacent(x + p.reduced.at(l, &Axis::x), p.inner.x, n, [&](const T* line, int64_t m) {
        int64_t i = 0;
        for (; i + kScalars <= m; i += kScalars)
          for (int k = 0; k < kScalars; ++k) acc[k] = Op::apply(acc[k], taken<Op, T>(read<Op>(line[i + k])));
        for (; i < m; ++i) acc[0] = Op::apply(acc[0], taken<Op, T>(read<Op>(line[i])));
      });
    for (int k = 1; k < kScalars; ++k) acc[0] = Op::apply(acc[0], acc[k]);
    return acc[0];
  }
}

// Outputs [from, to), each of which is one short line of adjacent elements.
template <class Op, class T>
void reduce_short_lines(const Plan& p, const T* x, typename Op::Out* y, int64_t from, int64_t to) {
  using A = Acc<Op>;
  using V = Vec<A>;
  const int64_t n = p.inner.size, x_step = p.kept.axis[0].x, y_step = p.kept.axis[0].y;
  for (int64_t o = from; o < to; ++o) {
    const T* line = x + o * x_step;
    V total;
    if (n <= V::N) {
      total = select(first_lanes<A>(n), taken<Op, T>(load<A>(line, n)), V(Op::kIdentity));
    } else {
      V acc[4] = {Op::kIdentity, Op::kIdentity, Op::kIdentity, Op::kIdentity};
      vector_line<Op>(line, n, acc);
      total = tree<Op>(acc);
    }
    y[o * y_step] = made<Op, T>(Op::across(total));
  }
}

// ---- columns

// acc[j] = op(acc[j], x[0][j], ..., x[K - 1][j])
template <class Op, int K, class T>
[[gnu::noinline]] void add_lines(const T* const* x, int64_t stride, int64_t n, Acc<Op>* acc) {
  using A = Acc<Op>;
  int64_t j = 0;
  if constexpr (kVector<Op>) {
    constexpr int64_t N = Vec<A>::N;
    const auto step = [&](auto... count) {
      const auto in = [&](int k) { return taken<Op, T>(load<A>(x[k] + j, count...)); };
      Vec<A> v = in(0);
      if constexpr (K == 4) v = Op::apply(Op::apply(v, in(1)), Op::apply(in(2), in(3)));
      store(acc + j, Op::apply(load<A>(acc + j, count...), v), count...);
    };
    if (stride == 1) {
      for (; j + N <= n; j += N) step();
      if (j < n) step(n - j);
      return;
    }
  }
  for (; j < n; ++j) {
    const auto in = [&](int k) { return taken<Op, T>(read<Op>(x[k][j * stride])); };
    A v = in(0);
    if constexpr (K == 4) {
      const A w = Op::apply(in(2), in(3));
      v = Op::apply(Op::apply(v, in(1)), w);
    }
    acc[j] = Op::apply(acc[j], v);
  }
}

template <class Op, class T>
void add_all_lines(const T* x, const Axes& lines, int64_t l0, int64_t l1, int64_t stride, int64_t n, Acc<Op>* acc) {
  int64_t l = l0;
  for (; l + 4 <= l1; l += 4) {
    const T* four[4];
    for (int k = 0; k < 4; ++k) four[k] = x + lines.at(l + k, &Axis::x);
    add_lines<Op, 4>(four, stride, n, acc);
  }
  for (; l < l1; ++l) {
    const T* one = x + lines.at(l, &Axis::x);
    add_lines<Op, 1>(&one, stride, n, acc);
  }
}

// Columns `begin` to begin + n of lines l0 <= l < l1. acc has room for kColumns.
template <class Op, class T>
[[gnu::noinline]] void reduce_columns(const Plan& p, const T* x, int64_t begin, int64_t n, int64_t l0, int64_t l1,
                                      Acc<Op>* acc) {
  const int64_t folded = (l1 - l0) / p.fold;
  const int64_t wide = p.fold * n;
  for (int64_t j = 0; j < wide; ++j) acc[j] = Op::kIdentity;
  if (p.fold > 1) {
    Axes lines;
    lines.n = 1;
    lines.axis[0] = {folded, wide, 0, false};
    add_all_lines<Op>(x + l0 * n, lines, 0, folded, 1, wide, acc);
    l0 += folded * p.fold;
  }
  add_all_lines<Op>(x + begin * p.inner.x, p.reduced, l0, l1, p.inner.x, n, acc);
  for (int64_t j = n; j < wide; ++j) acc[j % n] = Op::apply(acc[j % n], acc[j]);
}

// ---- all outputs

// Writes output `o` (of outer * blocks) from its accumulators.
template <class Op, class T>
[[gnu::noinline]] void finish(const Plan& p, int64_t o, const Acc<Op>* acc, typename Op::Out* y) {
  const int64_t begin = o % p.blocks * p.width;
  const int64_t left = p.inner.size - begin;
  const int64_t n = !p.inner.kept ? 1 : left < p.width ? left : p.width;
  y += p.kept.at(o / p.blocks, &Axis::y) + begin * p.inner.y;
  if (n == 1 || p.inner.y != 1) {
    for (int64_t j = 0; j < n; ++j) y[j * p.inner.y] = made<Op, T>(acc[j]);
  } else {
    for (int64_t j = 0; j < n; ++j) y[j] = made<Op, T>(acc[j]);
  }
}

// Works on items [from, to), an item being one chunk of one output; a lone chunk is the output.
template <class Op, class T>
[[gnu::noinline]] void reduce_items(const Plan& p, const T* x, typename Op::Out* y, Acc<Op>* partial, int64_t from,
                                    int64_t to) {
  if constexpr (kVector<Op>)
    if (p.short_lines()) return reduce_short_lines<Op>(p, x, y, from, to);
  alignas(64) Acc<Op> acc[kColumns];
  for (int64_t item = from; item < to; ++item) {
    const int64_t chunk = p.chunks > 1 ? item % p.chunks : 0;
    const int64_t o = p.chunks > 1 ? item / p.chunks : item;
    const int64_t block = p.blocks > 1 ? o % p.blocks : 0;
    const T* from_x = x + p.kept.at(p.blocks > 1 ? o / p.blocks : o, &Axis::x);
    const int64_t l0 = (p.runs > 1 ? chunk / p.runs : chunk) * p.chunk_lines;
    const int64_t l1 = l0 + p.chunk_lines < p.lines ? l0 + p.chunk_lines : p.lines;
    const int64_t step = p.inner.kept ? p.width : kRun;
    const int64_t begin = (p.inner.kept ? block : p.runs > 1 ? chunk % p.runs : 0) * step;
    const int64_t n = p.inner.size - begin < step ? p.inner.size - begin : step;
    if (p.inner.kept) {
      reduce_columns<Op>(p, from_x, begin, n, l0, l1, acc);
    } else {
      acc[0] = reduce_lines<Op>(p, from_x, begin, n, l0, l1);
    }
    if (partial == nullptr) {
      finish<Op, T>(p, o, acc, y);
    } else {
      for (int64_t j = 0; j < (p.inner.kept ? n : 1); ++j) partial[item * p.width + j] = acc[j];
    }
  }
}

// The chunks of outputs [from, to), combined as a tree.
template <class Op, class T>
[[gnu::noinline]] void combine(const Plan& p, typename Op::Out* y, Acc<Op>* partial, int64_t from, int64_t to) {
  for (int64_t o = from; o < to; ++o) {
    Acc<Op>* acc = partial + o * p.chunks * p.width;
    for (int64_t step = 1; step < p.chunks; step *= 2)
      for (int64_t c = 0; c + step < p.chunks; c += 2 * step)
        for (int64_t j = 0; j < p.width; ++j)
          acc[c * p.width + j] = Op::apply(acc[c * p.width + j], acc[(c + step) * p.width + j]);
    finish<Op, T>(p, o, acc, y);
  }
}

template <class Op, class T>
void reduce_as(const View& x, const View& y) {
  const Plan p = make_plan(x, y);
  const int64_t outputs = p.outer * p.blocks;
  const int64_t items = outputs * p.chunks;
  const T* from = x.as<const T>() + p.x0;
  auto* to = y.as<typename Op::Out>() + p.y0;
  Acc<Op>* partial = nullptr;
  if (p.chunks > 1) partial = static_cast<Acc<Op>*>(scratch(0, items * p.width * sizeof(Acc<Op>)));
  parallel_for(items, x.numel() / items + 1,
               [&](int64_t begin, int64_t end) { reduce_items<Op>(p, from, to, partial, begin, end); });
  if (partial == nullptr) return;
  parallel_for(outputs, p.chunks * p.width,
               [&](int64_t begin, int64_t end) { combine<Op, T>(p, to, partial, begin, end); });
}

template <template <class> class Op>
void reduce_any(const View& x, const View& y) {
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return reduce_as<Op<type>, type>(x, y);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace

void reduce(Reduce op, View x, View y) {
  if (y.numel() == 0) return;
  switch (op) {
    case Reduce::sum:
      return reduce_any<Sum>(x, y);
    case Reduce::prod:
      return reduce_any<Prod>(x, y);
    case Reduce::amax:
      return reduce_any<Max>(x, y);
    case Reduce::amin:
      return reduce_any<Min>(x, y);
    case Reduce::any:
      return reduce_any<Any>(x, y);
    case Reduce::all:
      return reduce_any<All>(x, y);
    case Reduce::norm:
      return reduce_any<Norm>(x, y);
  }
}

}  // namespace pydl::PYDL_ISA
