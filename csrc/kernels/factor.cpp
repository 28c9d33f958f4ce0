// Substitution in small triangles, and the elimination of a few columns: what is left of dense factorizations when
// products have done the rest. Rows are read as they lie; a row of the result is finished in registers, a few vectors
// at a time.
#include "runtime/table/factor.h"

#include "runtime/parallel.h"
#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kAbreast = 4;  // vectors of a row that are computed at a time

template <class T>
struct Triangle {
  const T* a;
  int64_t n, row, column;  // steps between its rows and columns
  bool upper, unit;
};

// Columns [0, count) of x, at most kAbreast vectors: row after row, from the corner of the triangle on.
template <class T, int vectors>
void substitute_columns(const Triangle<T>& t, T* x, int64_t step, int64_t count) {
  constexpr int64_t N = Vec<T>::N;
  for (int64_t i = 0; i < t.n; ++i) {
    const int64_t r = t.upper ? t.n - 1 - i : i;
    Vec<T> sum[vectors];
    const auto width = [&](int v) { return count - v * N < N ? count - v * N : N; };
    for (int v = 0; v < vectors; ++v) sum[v] = load<T>(x + r * step + v * N, width(v));
    for (int64_t j = 0; j < i; ++j) {
      const int64_t c = t.upper ? t.n - 1 - j : j;
      const Vec<T> factor(-t.a[r * t.row + c * t.column]);
      for (int v = 0; v < vectors - 1; ++v) sum[v] = fma(factor, load<T>(x + c * step + v * N), sum[v]);
      sum[vectors - 1] = fma(factor, load<T>(x + c * step + (vectors - 1) * N, width(vectors - 1)), sum[vectors - 1]);
    }
    const Vec<T> divisor(t.unit ? T(1) : t.a[r * (t.row + t.column)]);
    for (int v = 0; v < vectors; ++v) store(x + r * step + v * N, t.unit ? sum[v] : sum[v] / divisor, width(v));
  }
}

template <class T>
void substitute_some(const Triangle<T>& t, T* x, int64_t step, int64_t count) {
  switch ((count + Vec<T>::N - 1) / Vec<T>::N) {
    case 1:
      return substitute_columns<T, 1>(t, x, step, count);
    case 2:
      return substitute_columns<T, 2>(t, x, step, count);
    case 3:
      return substitute_columns<T, 3>(t, x, step, count);
    default:
      return substitute_columns<T, 4>(t, x, step, count);
  }
}

template <class T>
void substitute_all(View a, View x, bool upper, bool unit) {
  const int64_t n = x.shape[1], k = x.shape[2], width = kAbreast * Vec<T>::N, blocks = (k + width - 1) / width;
  parallel_for(x.shape[0] * blocks, n * n * width / 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / blocks, from = i % blocks * width;
      const Triangle<T> t{a.as<T>() + b * a.strides[0], n, a.strides[1], a.strides[2], upper, unit};
      T* first = x.as<T>() + b * x.strides[0] + from;
      substitute_some(t, first, x.strides[1], k - from < width ? k - from : width);
    }
  });
}

// The row of the largest |element| of a column from row j on, the first of equal ones; a NaN is larger than all.
template <class T>
int64_t largest_row(const T* column, int64_t step, int64_t j, int64_t m) {
  int64_t best = j;
  T most = T(-1);
  for (int64_t i = j; i < m; ++i) {
    const T v = column[i * step], size = v < T(0) ? -v : v;
    if (size > most) most = size, best = i;
    if (v != v) return i;
  }
  return best;
}

template <class T>
void exchange(T* a, T* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T t = a[i];
    a[i] = b[i];
    b[i] = t;
  }
}

// The columns of a panel below its first row, each dense: they lie `step` apart, never a power of two.
template <class T>
struct Panel {
  T* at;
  int64_t rows, width, step;
  T* column(int64_t c) const { return at + c * step; }
};

// Column j without what the columns before it account for: a small triangle, then all rows below it.
template <class T>
void reduce_column(const Panel<T>& p, int64_t j) {
  constexpr int64_t N = Vec<T>::N;
  T* own = p.column(j);
  for (int64_t c = 0; c < j; ++c)
    for (int64_t i = c + 1; i < j; ++i) own[i] -= p.column(c)[i] * own[c];
  int64_t i = j;
  for (; i + kAbreast * N <= p.rows; i += kAbreast * N) {
    Vec<T> sum[kAbreast];
    for (int v = 0; v < kAbreast; ++v) sum[v] = load<T>(own + i + v * N);
    for (int64_t c = 0; c < j; ++c) {
      const Vec<T> factor(-own[c]);
      for (int v = 0; v < kAbreast; ++v) sum[v] = fma(factor, load<T>(p.column(c) + i + v * N), sum[v]);
    }
    for (int v = 0; v < kAbreast; ++v) store(own + i + v * N, sum[v]);
  }
  for (; i < p.rows; i += N) {
    const int64_t count = p.rows - i < N ? p.rows - i : N;
    Vec<T> sum = load<T>(own + i, count);
    for (int64_t c = 0; c < j; ++c) sum = fma(Vec<T>(-own[c]), load<T>(p.column(c) + i, count), sum);
    store(own + i, sum, count);
  }
}

// The factors of a panel in place, and by which row each column was exchanged.
template <class T>
void eliminate_panel(const Panel<T>& p, bool pivot, int64_t* pivots) {
  for (int64_t j = 0; j < p.width; ++j) {
    T* own = p.column(j);
    reduce_column(p, j);
    const int64_t row = pivot ? largest_row(own, 1, j, p.rows) : j;
    pivots[j] = row;
    for (int64_t c = 0; row != j && c < p.width; ++c) exchange(p.column(c) + j, p.column(c) + row, 1);
    const T divisor = own[j] == T(0) ? T(1) : own[j];
    for (int64_t i = j + 1; i < p.rows; ++i) own[i] /= divisor;
  }
}

// Columns [start, stop) of y (m, n). Between, they stand by columns: rows of y may lie a power of two apart, where a
// cache holds few of them.
template <class T>
void eliminate(T* y, int64_t m, int64_t n, int64_t start, int64_t stop, bool pivot, int64_t* pivots) {
  const int64_t rows = m - start, width = stop - start, step = (rows + 31) / 16 * 16;
  const Panel<T> p{static_cast<T*>(scratch(0, sizeof(T) * step * width)), rows, width, step};
  T* first = y + start * n + start;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < width; ++c) p.column(c)[i] = first[i * n + c];
  eliminate_panel(p, pivot, pivots + start);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < width; ++c) first[i * n + c] = p.column(c)[i];
  for (int64_t j = start; j < stop; ++j) {
    const int64_t row = pivots[j] += start;
    if (row == j) continue;
    exchange(y + j * n, y + row * n, start);
    exchange(y + j * n + stop, y + row * n + stop, n - stop);
  }
}

}  // namespace

void substitute(View a, View x, bool upper, bool unit) {
  if (x.dtype == Dtype::f64) return substitute_all<double>(a, x, upper, unit);
  substitute_all<float>(a, x, upper, unit);
}

void lu_panel(View y, int64_t start, int64_t stop, bool pivot, View pivots) {
  const int64_t m = y.shape[1], n = y.shape[2];
  parallel_for(y.shape[0], (m - start) * (stop - start) * (stop - start), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      int64_t* rows = pivots.as<int64_t>() + b * pivots.shape[1];
      if (y.dtype == Dtype::f64)
        eliminate(y.as<double>() + b * m * n, m, n, start, stop, pivot, rows);
      else
        eliminate(y.as<float>() + b * m * n, m, n, start, stop, pivot, rows);
    }
  });
}

}  // namespace pydl::PYDL_ISA
