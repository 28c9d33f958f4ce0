// Matrix products: c (b, m, n) = activation(alpha * a (b, m, k) b (b, k, n) + beta * c + bias (n)), any strides.
// The path is chosen by shape and strides alone (run_one), so a product has the same bits for any number of threads.
//   gemm/micro.h    a tile of c in registers            gemm/small.h    little work: nothing packed that need not be
//   gemm/pack.h     strips in the micro-kernel's order  gemm/gemv.h     few rows or columns: bound by memory
//   gemm/blocked.h  the loops around it, threads        gemm/integer.h  integers
#include "runtime/table/gemm.h"

#include "kernels/gemm/blocked.h"
#include "kernels/gemm/gemv.h"
#include "kernels/gemm/integer.h"
#include "kernels/gemm/small.h"

namespace pydl::PYDL_ISA {
namespace {

// Multiply-adds below which packing and other threads cost more than they give.
constexpr double kSmall = 64 * 64 * 64;

template <class S, class T>
void run_one(const Problem<S, T>& q) {
  if (gemv(q)) return;
  if constexpr (std::is_same_v<S, T>) {
    if (q.macs() <= kSmall && q.c.cs == 1) return small(q);
  }
  blocked(q);
}

// The products of a batch: large ones use all threads one after the other, small ones a thread each.
template <class S, class T>
void run_batch(const Problem<S, T>& q, int64_t batch, int64_t a_step, int64_t b_step, int64_t c_step) {
  const auto items = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Problem<S, T> one = q;
      one.a.p += i * a_step;
      one.b.p += i * b_step;
      one.c.p += i * c_step;
      run_one(one);
    }
  };
  const bool large = batch < 8 && q.macs() > 16 * kSmall;
  batch == 1 || large ? items(0, batch) : parallel_for(batch, gemm_cost(q.macs()), items);
}

template <class S, class T>
void run(View a, View b, View bias, double alpha, double beta, Activation activation, View c) {
  Problem<S, T> q{c.shape[1],
                  c.shape[2],
                  a.shape[2],
                  {a.as<const S>(), a.strides[1], a.strides[2]},
                  {b.as<const S>(), b.strides[1], b.strides[2]},
                  {c.as<S>(), c.strides[1], c.strides[2]},
                  bias.as<const S>(),
                  bias.strides[0],
                  static_cast<T>(alpha),
                  static_cast<T>(beta),
                  activation};
  int64_t batch = c.shape[0];
  // A matrix b that is the same for the whole batch: one product with more rows.
  if (batch > 1 && b.strides[0] == 0 && a.strides[0] == q.m * q.a.rs && c.strides[0] == q.m * q.c.rs) {
    q.m *= batch;
    batch = 1;
  }
  run_batch(q, batch, a.strides[0], b.strides[0], c.strides[0]);
}

template <class S>
void run_integer(View a, View b, View bias, double alpha, double beta, Activation activation, View c) {
  using U = std::make_unsigned_t<S>;
  for (int64_t i = 0; i < c.shape[0]; ++i) {
    integer_product(IntegerProduct<U>{c.shape[1],
                                      c.shape[2],
                                      a.shape[2],
                                      {a.as<const U>() + i * a.strides[0], a.strides[1], a.strides[2]},
                                      {b.as<const U>() + i * b.strides[0], b.strides[1], b.strides[2]},
                                      {c.as<U>() + i * c.strides[0], c.strides[1], c.strides[2]},
                                      bias.as<const U>(),
                                      bias.strides[0],
                                      static_cast<U>(static_cast<int64_t>(alpha)),
                                      static_cast<U>(static_cast<int64_t>(beta)),
                                      std::is_signed_v<S> && activation == Activation::relu});
  }
}

}  // namespace

void gemm(View a, View b, View bias, double alpha, double beta, Activation activation, View c) {
  if (c.numel() == 0) return;
  switch (c.dtype) {
    case Dtype::f32:
      return run<float, float>(a, b, bias, alpha, beta, activation, c);
    case Dtype::f64:
      return run<double, double>(a, b, bias, alpha, beta, activation, c);
    case Dtype::f16:
      return run<f16, float>(a, b, bias, alpha, beta, activation, c);
    case Dtype::bf16:
      return run<bf16, float>(a, b, bias, alpha, beta, activation, c);
    case Dtype::i32:
      return run_integer<int32_t>(a, b, bias, alpha, beta, activation, c);
    case Dtype::i64:
      return run_integer<int64_t>(a, b, bias, alpha, beta, activation, c);
    case Dtype::u8:
      return run_integer<uint8_t>(a, b, bias, alpha, beta, activation, c);
    case Dtype::b8:
      return;  // no product of bools is asked for
  }
}

}  // namespace pydl::PYDL_ISA
