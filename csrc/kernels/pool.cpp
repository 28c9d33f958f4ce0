// Pooling. A row of outputs is made tap by tap: for one place (kd, kh, kw) of the window the inputs of all outputs in
// the row lie `stride` apart, so that each tap is one vectorized pass over a row that stays in L1. Taps that fall into
// the padding are left out by shortening the pass, never by a test inside it.
#include "runtime/table/pool.h"

#include <cstring>
#include <limits>

#include "kernels/element.h"
#include "runtime/parallel.h"

namespace pydl::PYDL_ISA {
namespace {

enum ScratchSlot { kRowSlot, kPlaneSlot };

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Window o: its first place and how many it has.
int64_t begin(const PoolAxis& a, int64_t o) { return a.adaptive ? o * a.n / a.out : o * a.stride - a.pad; }
int64_t taps(const PoolAxis& a, int64_t o) {
  if (a.out == 0) return 0;
  return a.adaptive ? ceil_div((o + 1) * a.n, a.out) - begin(a, o) : a.size;
}

// The part [lo, hi) of a row of outputs for which tap k lies inside the axis.
struct Range {
  int64_t lo, hi;
};
template <class Stride>
Range inside(const PoolAxis& a, int64_t k, Stride stride) {
  const int64_t shift = k * a.dilation - a.pad;  // output o reads o * stride + shift
  const int64_t lo = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
  const int64_t hi = a.n > shift ? (a.n - shift + stride - 1) / stride : 0;
  return {lo, hi < a.out ? hi : a.out};
}

// The first place of window o that is not padding; some place of the axis if there is none.
int64_t first_place(const PoolAxis& a, int64_t o) {
  const int64_t at = begin(a, o);
  int64_t first = at >= 0 ? at : 0;
  if (at < 0 && a.dilation > 1) first = at + ceil_div(-at, a.dilation) * a.dilation;
  return first < a.n ? first : a.n - 1;
}

// Calls f(place, lo, hi) for each tap of the rows at output (od, oh): output o in [lo, hi) reads x[place + o * stride].
// Along the width, adaptive windows are taken one output at a time.
template <class Stride, class F>
void for_taps(const PoolWindow& w, int64_t od, int64_t oh, Stride stride, const F& f) {
  const auto& [D, H, W] = w.axis;
  const int64_t d0 = begin(D, od), h0 = begin(H, oh);
  for (int64_t kd = 0; kd < taps(D, od); ++kd) {
    const int64_t d = d0 + kd * D.dilation;
    if (d < 0 || d >= D.n) continue;
    for (int64_t kh = 0; kh < taps(H, oh); ++kh) {
      const int64_t h = h0 + kh * H.dilation;
      if (h < 0 || h >= H.n) continue;
      const int64_t row = (d * H.n + h) * W.n;
      if (W.adaptive) {
        for (int64_t o = 0; o < W.out; ++o)
          for (int64_t k = 0; k < taps(W, o); ++k) f(row + begin(W, o) + k - o * stride, o, o + 1);
        continue;
      }
      for (int64_t k = 0; k < W.size; ++k) {
        const Range r = inside(W, k, stride);
        f(row + k * W.dilation - W.pad, r.lo, r.hi);
      }
    }
  }
}

// f(o) for o in [lo, hi), with the strides of most networks known to the compiler.
template <class F>
inline void strided(int64_t stride, const F& f) {
  if (stride == 1) return f(std::integral_constant<int64_t, 1>{});
  if (stride == 2) return f(std::integral_constant<int64_t, 2>{});
  return f(stride);
}

// One tap of a row: x[o * stride] for o in [0, n), whose places are at + o * stride.
template <class T, class Stride>
inline void max_tap(const T* __restrict x, Stride stride, int32_t at, int64_t n, Wide<T>* __restrict best,
                    int32_t* __restrict index) {
  for (int64_t o = 0; o < n; ++o) {
    const Wide<T> v = widened(x[o * stride]);
    const bool take = (v > best[o]) | (v != v);
    best[o] = take ? v : best[o];
    index[o] = take ? at + static_cast<int32_t>(o * stride) : index[o];
  }
}

template <class T, class Stride>
inline void sum_tap(const T* __restrict x, Stride stride, int64_t n, Wide<T>* __restrict sum) {
  for (int64_t o = 0; o < n; ++o) sum[o] += widened(x[o * stride]);
}

template <class T, class Stride>
inline void share_tap(const T* __restrict part, Stride stride, int64_t n, T* __restrict gx) {
  for (int64_t o = 0; o < n; ++o) gx[o * stride] += part[o];
}

template <class T>
void max_row(const PoolWindow& w, const T* x, int64_t od, int64_t oh, T* y, int32_t* index) {
  using C = Wide<T>;
  const PoolAxis& W = w.axis[2];
  C* best;
  if constexpr (kHalf<T>)
    best = static_cast<C*>(scratch(kRowSlot, W.out * sizeof(C)));
  else
    best = y;
  const int64_t row = (first_place(w.axis[0], od) * w.axis[1].n + first_place(w.axis[1], oh)) * W.n;
  for (int64_t o = 0; o < W.out; ++o) best[o] = -std::numeric_limits<C>::infinity();
  for (int64_t o = 0; o < W.out; ++o) index[o] = static_cast<int32_t>(row + first_place(W, o));
  strided(W.stride, [&](auto stride) {
    for_taps(w, od, oh, stride, [&](int64_t place, int64_t lo, int64_t hi) {
      const int64_t at = place + lo * stride;
      max_tap(x + at, stride, static_cast<int32_t>(at), hi - lo, best + lo, index + lo);
    });
  });
  if constexpr (kHalf<T>)
    for (int64_t o = 0; o < W.out; ++o) y[o] = narrow<T>(best[o]);
}

// How many places an average divides by along one axis.
int64_t places(const PoolAxis& a, int64_t o, bool count_pad) {
  const int64_t first = begin(a, o), end = first + taps(a, o);
  if (a.adaptive) return end - first;
  const int64_t limit = count_pad ? a.n + a.pad : a.n;
  return (end < limit ? end : limit) - (count_pad || first > 0 ? first : 0);
}

// 1 / (what output o of row (od, oh) divides by), for all o.
template <class C>
void shares(const PoolWindow& w, int64_t od, int64_t oh, C* share) {
  const int64_t rows = places(w.axis[0], od, w.count_pad) * places(w.axis[1], oh, w.count_pad);
  for (int64_t o = 0; o < w.axis[2].out; ++o)
    share[o] = C(1) / static_cast<C>(w.divisor ? w.divisor : rows * places(w.axis[2], o, w.count_pad));
}

template <class T>
void avg_row(const PoolWindow& w, const T* x, int64_t od, int64_t oh, T* y) {
  using C = Wide<T>;
  const int64_t n = w.axis[2].out;
  C* sum = static_cast<C*>(scratch(kRowSlot, 2 * n * sizeof(C)));
  C* share = sum + n;
  std::memset(sum, 0, n * sizeof(C));
  strided(w.axis[2].stride, [&](auto stride) {
    for_taps(w, od, oh, stride, [&](int64_t place, int64_t lo, int64_t hi) {
      sum_tap(x + place + lo * stride, stride, hi - lo, sum + lo);
    });
  });
  shares(w, od, oh, share);
  for (int64_t o = 0; o < n; ++o) y[o] = narrow<T>(sum[o] * share[o]);
}

// gx of one plane: every window gives its share of g back to its places, in the order of the outputs.
template <class T>
void avg_plane(const PoolWindow& w, const T* g, Wide<T>* gx) {
  using C = Wide<T>;
  const auto& [D, H, W] = w.axis;
  C* part = static_cast<C*>(scratch(kRowSlot, W.out * sizeof(C)));
  for (int64_t od = 0; od < D.out; ++od)
    for (int64_t oh = 0; oh < H.out; ++oh, g += W.out) {
      shares(w, od, oh, part);
      for (int64_t o = 0; o < W.out; ++o) part[o] *= widened(g[o]);
      strided(W.stride, [&](auto stride) {
        for_taps(w, od, oh, stride, [&](int64_t place, int64_t lo, int64_t hi) {
          share_tap(part + lo, stride, hi - lo, gx + place + lo * stride);
        });
      });
    }
}

// Calls f(plane, accumulators set to 0) for each plane of y and rounds the sums of 16-bit floats once.
template <class T, class F>
void sum_planes(View y, int64_t cost, const F& f) {
  const int64_t planes = y.shape[0], n = y.shape[1];
  parallel_for(planes, cost, [&](int64_t p, int64_t end) {
    for (; p < end; ++p) {
      T* out = y.as<T>() + p * n;
      Wide<T>* sum;
      if constexpr (kHalf<T>)
        sum = static_cast<Wide<T>*>(scratch(kPlaneSlot, n * sizeof(Wide<T>)));
      else
        sum = out;
      std::memset(static_cast<void*>(sum), 0, n * sizeof(Wide<T>));
      f(p, sum);
      if constexpr (kHalf<T>)
        for (int64_t i = 0; i < n; ++i) out[i] = narrow<T>(sum[i]);
    }
  });
}

// Calls f(plane, od, oh) for each row of outputs.
template <class F>
void for_rows(const PoolWindow& w, int64_t planes, const F& f) {
  const auto& [D, H, W] = w.axis;
  const int64_t reads = taps(D, 0) * taps(H, 0) * taps(W, 0);
  parallel_for(planes * D.out * H.out, W.out * (reads + 1), [&](int64_t row, int64_t end) {
    for (; row < end; ++row) f(row / (D.out * H.out), row / H.out % D.out, row % H.out);
  });
}

}  // namespace

void max_pool(PoolWindow w, View x, View y, View index) {
  const auto& [D, H, W] = w.axis;
  with_floating(x.dtype, [&, &D = D, &H = H, &W = W](auto type) {
    using T = decltype(type);
    for_rows(w, x.shape[0], [&](int64_t p, int64_t od, int64_t oh) {
      const int64_t at = ((p * D.out + od) * H.out + oh) * W.out;
      max_row(w, x.as<T>() + p * x.shape[1], od, oh, y.as<T>() + at, index.as<int32_t>() + at);
    });
  });
}

void avg_pool(PoolWindow w, View x, View y) {
  const auto& [D, H, W] = w.axis;
  with_floating(x.dtype, [&, &D = D, &H = H, &W = W](auto type) {
    using T = decltype(type);
    for_rows(w, x.shape[0], [&](int64_t p, int64_t od, int64_t oh) {
      avg_row(w, x.as<T>() + p * x.shape[1], od, oh, y.as<T>() + ((p * D.out + od) * H.out + oh) * W.out);
    });
  });
}

void avg_pool_grad(PoolWindow w, View g, View gx) {
  const auto& [D, H, W] = w.axis;
  const int64_t cost = gx.shape[1] + g.shape[1] * (taps(D, 0) * taps(H, 0) * taps(W, 0) + 1);
  with_floating(g.dtype, [&](auto type) {
    using T = decltype(type);
    sum_planes<T>(gx, cost, [&](int64_t p, Wide<T>* sum) { avg_plane(w, g.as<T>() + p * g.shape[1], sum); });
  });
}

void pool_pick(View x, View index, View y) {
  const int64_t n = x.shape[1], m = y.shape[1];
  with_floating(x.dtype, [&](auto type) {
    using T = decltype(type);
    parallel_for(y.shape[0], 2 * m, [&](int64_t p, int64_t end) {
      for (; p < end; ++p)
        for (int64_t j = p * m; j < (p + 1) * m; ++j) y.as<T>()[j] = x.as<T>()[p * n + index.as<int32_t>()[j]];
    });
  });
}

void pool_place(View g, View index, View gx) {
  const int64_t m = g.shape[1];
  with_floating(g.dtype, [&](auto type) {
    using T = decltype(type);
    sum_planes<T>(gx, gx.shape[1] + 2 * m, [&](int64_t p, Wide<T>* sum) {
      for (int64_t j = p * m; j < (p + 1) * m; ++j) sum[index.as<int32_t>()[j]] += widened(g.as<T>()[j]);
    });
  });
}

}  // namespace pydl::PYDL_ISA
