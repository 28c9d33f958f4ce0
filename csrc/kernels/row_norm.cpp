// Rows normalised each by itself. A row is read three times, from the first- or second-level cache after the first: for
// its mean, for the squares of what is left, and for the result; so a large mean costs no accuracy.
//
// The gradients of the weights are sums over rows. Rows are cut into blocks by their number alone; each block sums in
// the order of its rows, and the blocks are summed in turn.
#include <cmath>

#include "kernels/norm.h"
#include "runtime/parallel.h"
#include "runtime/table/norm.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kColumns = 1024;  // of the weights' sums in one task

template <class T>
struct Weights {
  const Wide<T>*weight, *bias;  // of this row; null where absent
};

template <class T>
void write_row(const RowNorm& o, const T* x, int64_t n, Weights<T> w, Wide<T> mean, Wide<T> rstd, T* y) {
  using C = Wide<T>;
  if (o.inner > 1) {
    for (int64_t j = 0; j * o.inner < n; ++j) {
      const C a = w.weight ? rstd * w.weight[j] : rstd;
      affine_run<C>(x + j * o.inner, o.inner, mean, a, w.bias ? w.bias[j] : C(0), y + j * o.inner);
    }
    return;
  }
  if (!w.weight && !w.bias) return affine_run<C>(x, n, mean, rstd, C(0), y);
  each_vector_of<C>(n, [&](int64_t i, int64_t k) {
    Vec<C> v = (load_some<C>(x + i, k) - Vec<C>(mean)) * Vec<C>(rstd);
    if (w.weight) v = v * load_some<C>(w.weight + i, k);
    if (w.bias) v = v + load_some<C>(w.bias + i, k);
    store_some(y + i, v, k);
  });
}

// What the gradient of a row needs to know of it: sums over its elements of g w and of g w (x - mean), and where the
// sums of its weights' gradients go.
template <class C>
struct RowSums {
  C plain = 0, product = 0;
};

// One weight for each element.
template <class T>
RowSums<Wide<T>> sum_elements(const T* g, const T* x, int64_t n, const Wide<T>* weight, Wide<T> mean, Wide<T> rstd,
                              Wide<T>* gw, Wide<T>* gb) {
  using C = Wide<T>;
  RowSums<C> s;
  Vec<C> plain, product;
  each_vector_of<C>(n, [&](int64_t i, int64_t k) {
    const Vec<C> gi = load_some<C>(g + i, k), d = load_some<C>(x + i, k) - Vec<C>(mean);
    if (gw) {
      store_some(gw + i, fma(gi, d * Vec<C>(rstd), load_some<C>(gw + i, k)), k);
      store_some(gb + i, load_some<C>(gb + i, k) + gi, k);
    }
    const Vec<C> w = weight ? gi * load_some<C>(weight + i, k) : gi;
    plain += w;  // lanes past the end are 0 in g
    product = fma(w, d, product);
  });
  s.plain = sum(plain), s.product = sum(product);
  return s;
}

// One weight for `inner` elements.
template <class T>
RowSums<Wide<T>> sum_segments(const T* g, const T* x, int64_t n, int64_t inner, const Wide<T>* weight, Wide<T> mean,
                              Wide<T> rstd, Wide<T>* gw, Wide<T>* gb) {
  using C = Wide<T>;
  RowSums<C> s;
  for (int64_t j = 0; j * inner < n; ++j) {
    const C plain = sum_run<C>(g + j * inner, inner),
            product = product_run<C>(g + j * inner, x + j * inner, inner, mean);
    if (gw) gw[j] += product * rstd, gb[j] += plain;
    s.plain += weight ? weight[j] * plain : plain;
    s.product += weight ? weight[j] * product : product;
  }
  return s;
}

// gx = rstd (g w - mean(g w) - xhat mean(g w xhat)); without centring, the middle term is left out.
template <class T>
void write_gradient(const RowNorm& o, const T* g, const T* x, int64_t n, const Wide<T>* weight, Wide<T> mean,
                    Wide<T> rstd, RowSums<Wide<T>> s, T* gx) {
  using C = Wide<T>;
  const C b = -s.product / static_cast<C>(n) * rstd * rstd * rstd;
  const C c = o.centred ? -s.plain / static_cast<C>(n) * rstd : C(0);
  if (o.inner > 1 || !weight) {
    const int64_t run = o.inner > 1 ? o.inner : n;
    for (int64_t j = 0; j * run < n; ++j)
      blend_run<C>(g + j * run, x + j * run, run, mean, weight ? rstd * weight[j] : rstd, b, c, gx + j * run);
    return;
  }
  each_vector_of<C>(n, [&](int64_t i, int64_t k) {
    const Vec<C> gw = load_some<C>(g + i, k) * load_some<C>(weight + i, k);
    const Vec<C> d = load_some<C>(x + i, k) - Vec<C>(mean);
    store_some(gx + i, fma(gw, Vec<C>(rstd), fma(d, Vec<C>(b), Vec<C>(c))), k);
  });
}

// sums[j] = the sum of part[block, j] over the blocks, in turn.
template <class C>
void sum_blocks(const C* part, int64_t blocks, int64_t n, C* sums) {
  parallel_for((n + kColumns - 1) / kColumns, blocks * kColumns, [&](int64_t task, int64_t end) {
    const int64_t last = end * kColumns < n ? end * kColumns : n;
    for (int64_t j = task * kColumns; j < last; ++j) sums[j] = 0;
    for (int64_t b = 0; b < blocks; ++b)
      for (int64_t j = task * kColumns; j < last; ++j) sums[j] += part[b * n + j];
  });
}

template <class T>
void gradients(const RowNorm& o, View g, View x, View weight, View mean, View rstd, View gx, View part, View sums) {
  using C = Wide<T>;
  const int64_t rows = x.shape[0], n = x.shape[1], per_row = n / o.inner, weights = per_row * o.groups;
  const int64_t blocks = part.present() ? part.shape[0] : rows, height = blocks ? (rows + blocks - 1) / blocks : 0;
  parallel_for(blocks, 4 * height * n, [&](int64_t block, int64_t end) {
    for (; block < end; ++block) {
      C* gw = part.present() ? part.as<C>() + 2 * block * weights : nullptr;
      for (int64_t j = 0; gw && j < 2 * weights; ++j) gw[j] = 0;
      const int64_t last = (block + 1) * height < rows ? (block + 1) * height : rows;
      for (int64_t r = block * height; r < last; ++r) {
        const int64_t at = r % o.groups * per_row;
        const T *gr = g.as<T>() + r * n, *xr = x.as<T>() + r * n;
        const C* w = weight.present() ? weight.as<C>() + at : nullptr;
        const C m = mean.as<C>()[r], s = rstd.as<C>()[r];
        C *row_gw = gw ? gw + at : nullptr, *row_gb = gw ? gw + weights + at : nullptr;
        const RowSums<C> made = o.inner > 1 ? sum_segments(gr, xr, n, o.inner, w, m, s, row_gw, row_gb)
                                            : sum_elements(gr, xr, n, w, m, s, row_gw, row_gb);
        write_gradient(o, gr, xr, n, w, m, s, made, gx.as<T>() + r * n);
      }
    }
  });
  if (part.present()) sum_blocks(part.as<C>(), blocks, 2 * weights, sums.as<C>());
}

}  // namespace

void row_norm(RowNorm o, View x, View weight, View bias, View y, View mean, View rstd) {
  const int64_t n = x.shape[1], per_row = n / o.inner;
  with_floating(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = Wide<T>;
    parallel_for(x.shape[0], 3 * n, [&](int64_t r, int64_t end) {
      for (; r < end; ++r) {
        const T* row = x.as<T>() + r * n;
        const int64_t at = r % o.groups * per_row;
        const C first = n ? widened(*row) : C(0);
        const C m = o.centred ? first + shifted_run<C>(row, n, first) / static_cast<C>(n) : C(0);
        const C s = C(1) / std::sqrt(spread_run<C>(row, n, m) / static_cast<C>(n) + static_cast<C>(o.eps));
        mean.as<C>()[r] = m, rstd.as<C>()[r] = s;
        write_row<T>(o, row, n,
                     {weight.present() ? weight.as<C>() + at : nullptr, bias.present() ? bias.as<C>() + at : nullptr},
                     m, s, y.as<T>() + r * n);
      }
    });
  });
}

void row_norm_grad(RowNorm o, View g, View x, View weight, View mean, View rstd, View gx, View part, View sums) {
  with_floating(x.dtype, [&](auto type) { gradients<decltype(type)>(o, g, x, weight, mean, rstd, gx, part, sums); });
}

}  // namespace pydl::PYDL_ISA
