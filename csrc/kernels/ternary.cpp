// ternary: three inputs of one floating dtype, the same dtype out, in one pass. The walk is in strided.h.
#include "kernels/rows.h"
#include "runtime/table/elementwise.h"

namespace pydl::PYDL_ISA {
namespace {

// From the nearer end, so that a weight of 0 gives exactly a and one of 1 exactly b.
struct Lerp {
  template <class T>
  static inline Vec<T> run(Vec<T> a, Vec<T> b, Vec<T> w, Vec<T>) {
    const Vec<T> gap = b - a;
    return select(w < T(0.5), fma(w, gap, a), fma(w - T(1), gap, b));
  }
};
struct AddProduct {
  template <class T>
  static inline Vec<T> run(Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> value) {
    return fma(value * b, c, a);
  }
};
struct AddQuotient {
  template <class T>
  static inline Vec<T> run(Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> value) {
    return fma(value, b / c, a);
  }
};

template <class F, class S>
inline void row3(char* const* p, const int64_t* step, int64_t n, const Context& context) {
  using T = Wide<S>;
  constexpr int N = Vec<T>::N;
  const S* a = reinterpret_cast<const S*>(p[0]);
  const S* b = reinterpret_cast<const S*>(p[1]);
  const S* c = reinterpret_cast<const S*>(p[2]);
  S* y = reinterpret_cast<S*>(p[3]);
  const Vec<T> value(static_cast<T>(context.numbers[0]));
  const auto move = [&](int64_t count) {
    a += step[0] * count, b += step[1] * count, c += step[2] * count, y += count, n -= count;
  };
  const auto part = [&](int64_t count) {
    write(y, F::run(load<T>(a, count), load<T>(b, count), load<T>(c, count), value), count);
    move(count);
  };
  const auto whole = [&] { return F::run(load<T>(a), load<T>(b), load<T>(c), value); };
  if constexpr (std::is_same_v<S, T>) {
    if (context.stream) {
      if (const int64_t head = to_boundary(y, n)) part(head);
      for (; n >= N; move(N)) stream(y, whole());
      stream_fence();
    }
  }
  for (; n >= N; move(N)) store(y, whole());
  if (n > 0) part(n);
}

template <class F>
inline RowFn row3_of(Dtype t) {
  return t == Dtype::f32   ? row3<F, float>
         : t == Dtype::f64 ? row3<F, double>
         : t == Dtype::f16 ? row3<F, f16>
                           : row3<F, bf16>;
}

}  // namespace

void ternary(Ternary op, double value, View a, View b, View c, View y) {
  const View* views[] = {&a, &b, &c, &y};
  const RowFn row = op == Ternary::lerp      ? row3_of<Lerp>(y.dtype)
                    : op == Ternary::addcmul ? row3_of<AddProduct>(y.dtype)
                                             : row3_of<AddQuotient>(y.dtype);
  run(views, 4, row, 2, &value);
}

}  // namespace pydl::PYDL_ISA
