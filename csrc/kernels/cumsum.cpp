// Running sums and products along the middle axis of a dense (outer, n, inner) block. float32 is computed in float64,
// since a running sum has no tree to keep its rounding errors small; integers may wrap around.
//
// inner == 1: long rows are cut into chunks; the chunks' sums come first, then each chunk starts from the sum before
// it. inner > 1: a block of columns keeps its sums while the rows stream by.
#include "kernels/element.h"
#include "runtime/parallel.h"
#include "runtime/table/reduce.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kChunk = 16384;  // elements of a row
constexpr int64_t kColumns = 512;  // columns in one block

template <class T>
using Total = std::conditional_t<!kFloating<T>, uint64_t, std::conditional_t<kHalf<T>, float, double>>;
template <class T>
using Out = std::conditional_t<kFloating<T>, T, int64_t>;

template <class T>
inline Total<T> read(T x) {
  if constexpr (kHalf<T>) return to_float(x);
  if constexpr (!kHalf<T>) return static_cast<Total<T>>(x);
}

struct Sum {
  static constexpr int kIdentity = 0;
  template <class A>
  static inline A apply(A a, A b) {
    return a + b;
  }
};
struct Product {
  static constexpr int kIdentity = 1;
  template <class A>
  static inline A apply(A a, A b) {
    return a * b;
  }
};

template <class Op, class T>
Total<T> total(const T* x, int64_t n) {
  Total<T> part[8];
  for (Total<T>& p : part) p = Op::kIdentity;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) part[k] = Op::apply(part[k], read(x[i + k]));
  for (; i < n; ++i) part[0] = Op::apply(part[0], read(x[i]));
  for (int step = 4; step > 0; step /= 2)
    for (int k = 0; k < step; ++k) part[k] = Op::apply(part[k], part[k + step]);
  return part[0];
}

// y[i] = carry + x[0] + ... + x[i], or the product. Four go ahead of the carry, which then takes one step for all four.
template <class Op, class T>
void scan_line(const T* x, Out<T>* y, int64_t n, Total<T> carry) {
  using A = Total<T>;
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const A a = read(x[i]), b = Op::apply(a, read(x[i + 1])), c = read(x[i + 2]), d = Op::apply(c, read(x[i + 3]));
    y[i] = narrow<Out<T>>(Op::apply(carry, a));
    y[i + 1] = narrow<Out<T>>(Op::apply(carry, b));
    y[i + 2] = narrow<Out<T>>(Op::apply(carry, Op::apply(b, c)));
    carry = Op::apply(carry, Op::apply(b, d));
    y[i + 3] = narrow<Out<T>>(carry);
  }
  for (; i < n; ++i) {
    carry = Op::apply(carry, read(x[i]));
    y[i] = narrow<Out<T>>(carry);
  }
}

template <class Op, class T>
void scan_rows(const T* x, Out<T>* y, int64_t rows, int64_t n) {
  using A = Total<T>;
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  if (chunks == 1)
    return parallel_for(rows, n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) scan_line<Op>(x + r * n, y + r * n, n, A(Op::kIdentity));
    });
  A* before = static_cast<A*>(scratch(0, rows * chunks * sizeof(A)));
  const auto each_chunk = [&](const auto& f) {
    parallel_for(rows * chunks, kChunk, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t c = i % chunks * kChunk;
        f(i, i / chunks * n + c, n - c < kChunk ? n - c : kChunk);
      }
    });
  };
  each_chunk([&](int64_t i, int64_t at, int64_t m) { before[i] = total<Op>(x + at, m); });
  for (int64_t r = 0; r < rows; ++r) {
    A carry = Op::kIdentity;
    for (int64_t i = r * chunks; i < (r + 1) * chunks; ++i) {
      const A sum = before[i];
      before[i] = carry;
      carry = Op::apply(carry, sum);
    }
  }
  each_chunk([&](int64_t i, int64_t at, int64_t m) { scan_line<Op>(x + at, y + at, m, before[i]); });
}

template <class Op, class T>
void scan_columns(const T* x, Out<T>* y, int64_t outer, int64_t n, int64_t inner) {
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  parallel_for(outer * blocks, n * (inner < kColumns ? inner : kColumns), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t column = item % blocks * kColumns;
      const int64_t m = inner - column < kColumns ? inner - column : kColumns;
      Total<T> sum[kColumns];
      for (int64_t j = 0; j < m; ++j) sum[j] = Op::kIdentity;
      for (int64_t i = 0; i < n; ++i) {
        const int64_t at = (item / blocks * n + i) * inner + column;
        for (int64_t j = 0; j < m; ++j) sum[j] = Op::apply(sum[j], read(x[at + j]));
        for (int64_t j = 0; j < m; ++j) y[at + j] = narrow<Out<T>>(sum[j]);
      }
    }
  });
}

template <class Op, class T>
void scan_as(const View& x, const View& y) {
  if (x.shape[2] == 1) return scan_rows<Op>(x.as<const T>(), y.as<Out<T>>(), x.shape[0], x.shape[1]);
  scan_columns<Op>(x.as<const T>(), y.as<Out<T>>(), x.shape[0], x.shape[1], x.shape[2]);
}

}  // namespace

void scan(Scan op, View x, View y) {
  if (x.numel() == 0) return;
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return op == Scan::cumsum ? scan_as<Sum, type>(x, y) : scan_as<Product, type>(x, y);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA
