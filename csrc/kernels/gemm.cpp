// Matrix products: c (b..., m, n) = activation(alpha * a (b..., m, k) b (b..., k, n) + beta * add + bias), any strides.
// The path is chosen by shape and strides alone (run_one), so a product has the same bits for any number of threads.
//   gemm/micro.h    a tile of c in registers            gemm/small.h    little work: nothing packed that need not be
//   gemm/pack.h     strips in the micro-kernel's order  gemm/gemv.h     few rows or columns: bound by memory
//   gemm/blocked.h  the loops around it, threads        gemm/large.h    both operands packed ahead
//   gemm/integer.h  integers                            gemm/tiles.h    bfloat16, and floats as sums of them, where the
//                                                                       machine multiplies it
#include "runtime/table/gemm.h"

#include "kernels/gemm/gemv.h"
#include "kernels/gemm/integer.h"
#include "kernels/gemm/large.h"
#include "kernels/gemm/small.h"
#if defined(__AMX_BF16__) || defined(__AVX512BF16__)
#include "kernels/gemm/tiles.h"
#endif

namespace pydl::PYDL_ISA {
namespace {

// Multiply-adds up to which packing costs more than it gives. Other threads would not help yet either (parallel_for).
constexpr double kSmall = 120 * 120 * 120;
// And from which all threads share each product of a short batch.
constexpr double kShared = 160 * 160 * 160;

template <class S, class T>
void run_one(const Problem<S, T>& q) {
  if (gemv(q)) return;
  if constexpr (kTiled<S>) {
    if (tiled(q)) return by_tiles(q);
  }
  if constexpr (std::is_same_v<S, T>) {
    if (q.macs() <= kSmall && direct(q)) return small(q);
  }
  blocked(q);
}

// The matrices of the batch: (batch..., rows, columns), any strides.
template <class S>
struct Batched {
  View x;

  Matrix<S> at(int64_t item) const {
    S* p = x.as<S>();
    if (!p) return {};
    for (int i = x.ndim - 3; i >= 0; item /= x.shape[i], --i) p += item % x.shape[i] * x.strides[i];
    return {p, x.strides[x.ndim - 2], x.strides[x.ndim - 1]};
  }
  int64_t items() const {
    int64_t n = 1;
    for (int i = 0; i + 2 < x.ndim; ++i) n *= x.shape[i];
    return n;
  }
};

// Rows of a times a matrix b that is the same for the whole batch, a and c dense: one product with more rows.
inline void merge_rows(View& a, View& b, View& add, View& bias, View& c) {
  if (c.ndim != 3 || c.shape[0] == 1 || b.strides[0] != 0) return;
  const auto follows = [&](const View& x) { return !x.present() || x.strides[0] == x.shape[1] * x.strides[1]; };
  if (!follows(a) || !follows(add) || !follows(c) || !follows(bias)) return;
  for (View* x : {&a, &add, &bias, &c}) {
    if (!x->present()) continue;
    x->shape[1] *= x->shape[0];
    x->shape[0] = 1;
  }
  b.shape[0] = 1;
}

// The products of a batch: large ones use all threads one after the other, small ones a thread each.
template <class S, class T, class F>
void each_product(View a, View b, View add, View bias, View c, double macs, const F& f) {
  const int64_t batch = Batched<S>{c}.items();
  const auto items = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      f(Batched<const S>{a}.at(i), Batched<const S>{b}.at(i), Batched<const S>{add}.at(i), Batched<const S>{bias}.at(i),
        Batched<S>{c}.at(i));
  };
  const bool large = batch < 8 && macs > kShared;
  batch == 1 || large ? items(0, batch) : parallel_for(batch, gemm_cost(macs), items);
}

template <class S, class T>
void run(View a, View b, View add, View bias, double alpha, double beta, Activation activation, View c) {
  merge_rows(a, b, add, bias, c);
  const int64_t m = c.shape[c.ndim - 2], n = c.shape[c.ndim - 1], k = a.shape[a.ndim - 1];
  using In = Matrix<const S>;
  each_product<S, T>(a, b, add, bias, c, static_cast<double>(m) * n * k, [&](In a1, In b1, In add1, In bias1, auto c1) {
    run_one(Problem<S, T>{m, n, k, a1, b1, add1, bias1, c1, static_cast<T>(alpha), static_cast<T>(beta), activation});
  });
}

template <class S>
void run_integer(View a, View b, View add, View bias, double alpha, double beta, Activation activation, View c) {
  using U = std::make_unsigned_t<S>;
  const int64_t m = c.shape[c.ndim - 2], n = c.shape[c.ndim - 1], k = a.shape[a.ndim - 1];
  using In = Matrix<const U>;
  each_product<U, U>(a, b, add, bias, c, static_cast<double>(m) * n * k, [&](In a1, In b1, In add1, In bias1, auto c1) {
    integer_product(IntegerProduct<U>{m, n, k, a1, b1, add1, bias1, c1, static_cast<U>(static_cast<int64_t>(alpha)),
                                      static_cast<U>(static_cast<int64_t>(beta)),
                                      std::is_signed_v<S> && activation == Activation::relu});
  });
}

}  // namespace

void gemm(View a, View b, View add, View bias, double alpha, double beta, Activation activation, View c) {
  if (c.numel() == 0) return;
  if (beta == 0) add = View{};
  if (!add.present()) beta = 0;
  switch (c.dtype) {
    case Dtype::f32:
      return run<float, float>(a, b, add, bias, alpha, beta, activation, c);
    case Dtype::f64:
      return run<double, double>(a, b, add, bias, alpha, beta, activation, c);
    case Dtype::f16:
      return run<f16, float>(a, b, add, bias, alpha, beta, activation, c);
    case Dtype::bf16:
      return run<bf16, float>(a, b, add, bias, alpha, beta, activation, c);
    case Dtype::i32:
      return run_integer<int32_t>(a, b, add, bias, alpha, beta, activation, c);
    case Dtype::i64:
      return run_integer<int64_t>(a, b, add, bias, alpha, beta, activation, c);
    case Dtype::u8:
      return run_integer<uint8_t>(a, b, add, bias, alpha, beta, activation, c);
    case Dtype::b8:
      return;  // no product of bools is asked for
  }
}

}  // namespace pydl::PYDL_ISA
