// Pooling; pool_place.cpp: at places that are known. Outputs whose windows lie inside the width are made a vector at a
// time: for each place of the window the inputs of neighbouring outputs lie `stride` apart. Outputs at the borders, and
// adaptive ones, are made one by one.
#include "runtime/table/pool.h"

#include <cstring>
#include <limits>

#include "kernels/pool.h"
#include "simd/interleave.h"

namespace pydl::PYDL_ISA {
namespace {

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

// The places of window o that are not padding: `count` of them, from `at` on. Without any, `at` is some place.
struct Places {
  int64_t at, count;
};
Places places(const PoolAxis& a, int64_t o) {
  const int64_t first = begin(a, o), skipped = first < 0 ? ceil_div(-first, a.dilation) : 0;
  const int64_t at = first + skipped * a.dilation, fitting = at < a.n ? ceil_div(a.n - at, a.dilation) : 0;
  const int64_t left = taps(a, o) - skipped;
  const int64_t count = left < fitting ? left : fitting;
  return {at < a.n ? at : a.n - 1, count > 0 ? count : 0};
}

// The outputs whose windows lie inside the axis; none of adaptive ones, which differ in size.
Range whole(const PoolAxis& a) {
  const int64_t room = a.n + a.pad - 1 - (a.size - 1) * a.dilation;
  const int64_t hi = a.adaptive || room < 0 ? 0 : room / a.stride + 1, lo = ceil_div(a.pad, a.stride);
  return {lo < hi ? lo : 0, lo < hi ? (hi < a.out ? hi : a.out) : 0};
}

// The rows of the image that a row of outputs reads.
struct Lines {
  Places depth, height;
  int64_t down, back;  // from one line to the next, along the height and the depth

  Lines(const PoolWindow& w, int64_t od, int64_t oh)
      : depth(places(w.axis[0], od)),
        height(places(w.axis[1], oh)),
        down(w.axis[1].dilation * w.axis[2].n),
        back(w.axis[0].dilation * w.axis[1].n * w.axis[2].n),
        first((depth.at * w.axis[1].n + height.at) * w.axis[2].n) {}
  int64_t first;

  // Calls f(where a line begins).
  template <class F>
  void each(const F& f) const {
    for (int64_t d = 0; d < depth.count; ++d)
      for (int64_t h = 0; h < height.count; ++h) f(first + d * back + h * down);
  }
};

// Calls vectors(o, n) for outputs [o, o + n) inside the width, n at most N, and one(o) for each of the others.
template <int64_t N, class F, class G>
void for_outputs(const PoolAxis& a, const F& vectors, const G& one) {
  const Range r = whole(a);
  for (int64_t o = 0; o < r.lo; ++o) one(o);
  for (int64_t o = r.lo; o < r.hi; o += N) vectors(o, r.hi - o < N ? r.hi - o : N);
  for (int64_t o = r.hi; o < a.out; ++o) one(o);
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

template <class T, class Stride>
inline void share_tap(const T* __restrict part, Stride stride, int64_t n, T* __restrict gx) {
  for (int64_t o = 0; o < n; ++o) gx[o * stride] += part[o];
}

// Outputs [o, o + n) of a row, n at most a vector: the first largest, or the last NaN, and where it is.
template <class T>
inline void max_vector(const PoolAxis& a, const Lines& lines, const T* x, int64_t o, int64_t n, T* y, int32_t* index) {
  using C = Wide<T>;
  using Bits = typename Vec<C>::Bits;
  using Lane = std::remove_reference_t<decltype(Bits{}[0])>;
  const Bits step = places_apart<C>(a.stride);
  const int64_t from = o * a.stride - a.pad;
  Vec<C> best(-std::numeric_limits<C>::infinity());
  Bits found = step + static_cast<Lane>(lines.first + from);
  lines.each([&](int64_t line) {
    for (int64_t k = 0; k < a.size; ++k) {
      const int64_t place = line + from + k * a.dilation;
      const Vec<C> v = load_apart<C>(x + place, a.stride, n);
      const auto take = (v > best) | isnan(v);
      best = select(take, v, best);
      found = bits(select(take, from_bits<C>(step + static_cast<Lane>(place)), from_bits<C>(found)));
    }
  });
  store_some(y + o, best, n);
  store_places<C>(index + o, found, n);
}

template <class T>
void max_one(const PoolAxis& a, const Lines& lines, const T* x, int64_t o, T* y, int32_t* index) {
  using C = Wide<T>;
  const Places p = places(a, o);
  C best = -std::numeric_limits<C>::infinity();
  int64_t found = lines.first + p.at;
  lines.each([&](int64_t line) {
    for (int64_t k = 0; k < p.count; ++k) {
      const int64_t at = line + p.at + k * a.dilation;
      const C v = widened(x[at]);
      if (v > best || v != v) best = v, found = at;
    }
  });
  y[o] = narrow<T>(best);
  index[o] = static_cast<int32_t>(found);
}

template <class T>
void max_row(const PoolWindow& w, const T* x, int64_t od, int64_t oh, T* y, int32_t* index) {
  const Lines lines(w, od, oh);
  for_outputs<Vec<Wide<T>>::N>(
      w.axis[2], [&](int64_t o, int64_t n) { max_vector(w.axis[2], lines, x, o, n, y, index); },
      [&](int64_t o) { max_one(w.axis[2], lines, x, o, y, index); });
}

// A row of outputs; top and the row below it begin at place `first` of the plane, `width` elements apart.
template <class T>
void quads_row(const T* top, int64_t width, int64_t first, int64_t out, T* y, int32_t* index) {
  using C = Wide<T>;
  using Bits = typename Vec<C>::Bits;
  using Lane = std::remove_reference_t<decltype(Bits{}[0])>;
  constexpr int N = Vec<C>::N;
  const Bits step = places_apart<C>(2);
  for (int64_t o = 0; o < out; o += N) {
    const int64_t n = out - o < N ? out - o : N;
    Vec<C> best, v[3];  // the places of a window in their order
    load_pairs(top + 2 * o, 2 * n, &best, v);
    load_pairs(top + width + 2 * o, 2 * n, v + 1, v + 2);
    Bits found = step + static_cast<Lane>(first + 2 * o);
    const Bits place[3] = {found + 1, found + static_cast<Lane>(width), found + static_cast<Lane>(width + 1)};
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) {
      const auto take = (v[k] > best) | isnan(v[k]);
      best = select(take, v[k], best);
      found = bits(select(take, from_bits<C>(place[k]), from_bits<C>(found)));
    }
    store_some(y + o, best, n);
    store_places<C>(index + o, found, n);
  }
}

template <class T>
void max_quads(const PoolWindow& w, const View& x, const View& y, const View& index) {
  const PoolAxis &H = w.axis[1], &W = w.axis[2];
  parallel_for(x.shape[0] * H.out, 10 * W.out, [&](int64_t row, int64_t end) {
    int64_t plane = row / H.out, oh = row % H.out;
    for (; row < end; ++row) {
      const int64_t first = 2 * oh * W.n, at = row * W.out;
      quads_row(x.as<const T>() + plane * x.shape[1] + first, W.n, first, W.out, y.as<T>() + at,
                index.as<int32_t>() + at);
      if (++oh == H.out) oh = 0, ++plane;
    }
  });
}

// How many places an average divides by along one axis.
int64_t divides_by(const PoolAxis& a, int64_t o, bool count_pad) {
  const int64_t first = begin(a, o), end = first + taps(a, o);
  if (a.adaptive) return end - first;
  const int64_t limit = count_pad ? a.n + a.pad : a.n;
  return (end < limit ? end : limit) - (count_pad || first > 0 ? first : 0);
}

// 1 / (what output o of row (od, oh) divides by), for all o.
template <class C>
void shares(const PoolWindow& w, int64_t od, int64_t oh, C* share) {
  const int64_t rows = divides_by(w.axis[0], od, w.count_pad) * divides_by(w.axis[1], oh, w.count_pad);
  for (int64_t o = 0; o < w.axis[2].out; ++o)
    share[o] = C(1) / static_cast<C>(w.divisor ? w.divisor : rows * divides_by(w.axis[2], o, w.count_pad));
}

template <class T>
inline Vec<Wide<T>> sum_vector(const PoolAxis& a, const Lines& lines, const T* x, int64_t o, int64_t n) {
  using C = Wide<T>;
  Vec<C> sum;
  lines.each([&](int64_t line) {
    for (int64_t k = 0; k < a.size; ++k)
      sum += load_apart<C>(x + line + o * a.stride - a.pad + k * a.dilation, a.stride, n);
  });
  return sum;
}

// Averages have no dilation: the places of a window are runs of memory, one run where they fill the width.
template <class T>
Wide<T> sum_one(const PoolAxis& a, const Lines& lines, const T* x, int64_t o) {
  using C = Wide<T>;
  const Places p = places(a, o);
  C sum = 0;
  if (p.count == a.n) {
    for (int64_t d = 0; d < lines.depth.count; ++d)
      sum += sum_run<C>(x + lines.first + d * lines.back, lines.height.count * a.n);
  } else {
    lines.each([&](int64_t line) { sum += sum_run<C>(x + line + p.at, p.count); });
  }
  return sum;
}

template <class T>
void avg_row(const PoolWindow& w, const T* x, int64_t od, int64_t oh, T* y) {
  using C = Wide<T>;
  const Lines lines(w, od, oh);
  C* share = static_cast<C*>(scratch(kRowSlot, w.axis[2].out * sizeof(C)));
  shares(w, od, oh, share);
  for_outputs<Vec<C>::N>(
      w.axis[2],
      [&](int64_t o, int64_t n) {
        store_some(y + o, sum_vector(w.axis[2], lines, x, o, n) * load_some<C>(share + o, n), n);
      },
      [&](int64_t o) { y[o] = narrow<T>(sum_one(w.axis[2], lines, x, o) * share[o]); });
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
    if (is_quads(w)) return max_quads<T>(w, x, y, index);
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

}  // namespace pydl::PYDL_ISA
