// Resampling along the axes of planes (depth, height, width), one axis after the other: axes that shrink first, so that
// later passes see less, and those that grow last, the innermost first, whose reads at free places cost most. Passes
// over outer axes are sums of whole rows. If the outer axes only pick (padding, nearest), each row of outputs is made
// from its row of inputs at once.
#include "runtime/table/resample.h"

#include <cstring>

#include "kernels/sampling.h"
#include "kernels/taps.h"
#include "runtime/parallel.h"

namespace pydl::PYDL_ISA {
namespace {

enum ScratchSlot { kInSlot, kOutSlot, kFirstSlot, kSecondSlot };

template <class C>
void sum_row(const ResampleAxis& a, const C* x, C* y) {
  if (a.taps == 0) {
    std::memcpy(y, x, a.n * sizeof(C));
    return;
  }
  const C* weight = static_cast<const C*>(a.weight);
  sum_all_taps(a.taps, a.place, weight, a.out, x, y, 0, a.lo);
  if (a.hi > a.lo) std::memcpy(y + a.lo, x + a.lo + a.shift, (a.hi - a.lo) * sizeof(C));
  sum_all_taps(a.taps, a.place, weight, a.out, x, y, a.hi, a.out);
}

// y = (y if `more`) + the sum of K weighted rows.
template <int K, class C>
void add_rows(const C* const* rows, const C* weight, bool more, C* y, int64_t n) {
  using V = Vec<C>;
  V w[K];
  for (int k = 0; k < K; ++k) w[k] = V(weight[k]);
  int64_t i = 0;
  for (; i + V::N <= n; i += V::N) {
    V sum = more ? fma(w[0], load<C>(rows[0] + i), load<C>(y + i)) : w[0] * load<C>(rows[0] + i);
    for (int k = 1; k < K; ++k) sum = fma(w[k], load<C>(rows[k] + i), sum);
    store(y + i, sum);
  }
  if (i < n) {
    const int64_t rest = n - i;
    V sum = w[0] * load<C>(rows[0] + i, rest);
    if (more) sum = fma(w[0], load<C>(rows[0] + i, rest), load<C>(y + i, rest));
    for (int k = 1; k < K; ++k) sum = fma(w[k], load<C>(rows[k] + i, rest), sum);
    store(y + i, sum, rest);
  }
}

template <class C>
void add_some_rows(int count, const C* const* rows, const C* weight, bool more, C* y, int64_t n) {
  switch (count) {
    case 1:
      return add_rows<1>(rows, weight, more, y, n);
    case 2:
      return add_rows<2>(rows, weight, more, y, n);
    case 3:
      return add_rows<3>(rows, weight, more, y, n);
    default:
      return add_rows<4>(rows, weight, more, y, n);
  }
}

// Output o of an outer axis: the sum of its rows of n elements.
template <class C>
void sum_rows(const ResampleAxis& a, int64_t o, const C* x, C* y, int64_t n) {
  const C* rows[4];
  C weight[4];
  int count = 0;
  bool more = false;
  for (int64_t k = 0; k < a.taps; ++k) {
    const int32_t at = a.place[k * a.out + o];
    if (at < 0) continue;
    rows[count] = x + at * n;
    weight[count++] = static_cast<const C*>(a.weight)[k * a.out + o];
    if (count < 4) continue;
    add_some_rows(count, rows, weight, more, y, n);
    count = 0, more = true;
  }
  if (count == 1 && !more && weight[0] == 1)
    std::memcpy(y, rows[0], n * sizeof(C));
  else if (count)
    add_some_rows(count, rows, weight, more, y, n);
  else if (!more)
    std::memset(static_cast<void*>(y), 0, n * sizeof(C));
}

// One axis of (before, n, inner).
template <class C>
void pass(const ResampleAxis& a, int64_t before, int64_t inner, const C* x, C* y) {
  for (int64_t b = 0; b < before; ++b, x += a.n * inner, y += a.out * inner) {
    if (inner == 1) {
      sum_row(a, x, y);
      continue;
    }
    for (int64_t o = 0; o < a.out; ++o) sum_rows(a, o, x, y + o * inner, inner);
  }
}

int64_t picked(const ResampleAxis& a, int64_t o) { return a.taps ? a.place[o] : o; }

// Rows of outputs from the rows that the outer axes pick; a row picked again is copied.
template <class C>
void pick_plane(const ResampleMap& map, const C* x, C* y) {
  const auto& [D, H, W] = map.axis;
  int64_t last = -1;
  for (int64_t d = 0; d < D.out; ++d)
    for (int64_t h = 0; h < H.out; ++h, y += W.out) {
      const int64_t from_d = picked(D, d), from_h = picked(H, h), row = from_d * H.n + from_h;
      if (from_d < 0 || from_h < 0) {
        std::memset(static_cast<void*>(y), 0, W.out * sizeof(C));
        last = -1;
      } else if (row == last) {
        std::memcpy(y, y - W.out, W.out * sizeof(C));
      } else {
        sum_row(W, x + row * W.n, y);
        last = row;
      }
    }
}

template <class C>
void sum_plane(const ResampleMap& map, const C* x, C* y) {
  int order[3];
  const int count = order_of(map, order);
  int64_t size[3] = {map.axis[0].n, map.axis[1].n, map.axis[2].n};
  for (int i = 0; i < count; ++i) {
    const ResampleAxis& a = map.axis[order[i]];
    int64_t before = 1, inner = 1;
    for (int j = 0; j < order[i]; ++j) before *= size[j];
    for (int j = order[i] + 1; j < 3; ++j) inner *= size[j];
    const int slot = i % 2 ? kSecondSlot : kFirstSlot;
    C* made = i == count - 1 ? y : static_cast<C*>(scratch(slot, before * a.out * inner * sizeof(C)));
    pass(a, before, inner, x, made);
    size[order[i]] = a.out;
    x = made;
  }
}

template <class C>
void resample_plane(const ResampleMap& map, const C* x, C* y) {
  if (map.axis[0].picks && map.axis[1].picks) return pick_plane(map, x, y);
  sum_plane(map, x, y);
}

inline uint8_t rounded(float v) {
  const float near = __builtin_rintf(v);
  return static_cast<uint8_t>(near < 0 ? 0 : near > 255 ? 255 : near);
}

// A plane of a dtype that is computed in float.
template <class T>
void resample_narrow(const ResampleMap& map, const T* x, int64_t n, T* y, int64_t m) {
  float* in = static_cast<float*>(scratch(kInSlot, n * sizeof(float)));
  float* out = static_cast<float*>(scratch(kOutSlot, m * sizeof(float)));
  for (int64_t i = 0; i < n; ++i) in[i] = widened(x[i]);
  resample_plane(map, in, out);
  if constexpr (kHalf<T>)
    for (int64_t i = 0; i < m; ++i) y[i] = narrow<T>(out[i]);
  else
    for (int64_t i = 0; i < m; ++i) y[i] = rounded(out[i]);
}

template <class T>
void resample_planes(const ResampleMap& map, View x, View y) {
  const int64_t n = x.shape[1], m = y.shape[1];
  parallel_for(x.shape[0], 2 * (n + m), [&](int64_t p, int64_t end) {
    for (; p < end; ++p) {
      const T* in = x.as<T>() + p * n;
      T* out = y.as<T>() + p * m;
      if constexpr (std::is_floating_point_v<T>)
        resample_plane(map, in, out);
      else
        resample_narrow(map, in, n, out, m);
    }
  });
}

// The windows [lo, hi) of an axis whose place i is inside.
struct Reach {
  int64_t first, lo, hi;  // window o reads o * stride + first
};
Reach inside(const FoldAxis& a, int64_t i) {
  const int64_t first = i * a.dilation - a.pad;
  const int64_t lo = first >= 0 ? 0 : (-first + a.stride - 1) / a.stride;
  const int64_t end = a.n > first ? (a.n - first + a.stride - 1) / a.stride : 0;
  const int64_t hi = end < a.out ? end : a.out;
  return {first, lo < hi ? lo : hi, hi};
}

// Columns of place (i, j) of the windows, (h.out, w.out).
template <class T>
void unfold_place(const FoldWindow& f, int64_t i, int64_t j, const T* x, T* y) {
  const Reach r = inside(f.h, i), c = inside(f.w, j);
  for (int64_t oh = 0; oh < f.h.out; ++oh, y += f.w.out) {
    if (oh < r.lo || oh >= r.hi) {
      std::memset(static_cast<void*>(y), 0, f.w.out * sizeof(T));
      continue;
    }
    const int64_t row = (oh * f.h.stride + r.first) * f.w.n + c.first;
    std::memset(static_cast<void*>(y), 0, c.lo * sizeof(T));
    if (f.w.stride == 1 && c.hi > c.lo)
      std::memcpy(y + c.lo, x + row + c.lo, (c.hi - c.lo) * sizeof(T));
    else
      for (int64_t ow = c.lo; ow < c.hi; ++ow) y[ow] = x[row + ow * f.w.stride];
    std::memset(static_cast<void*>(y + c.hi), 0, (f.w.out - c.hi) * sizeof(T));
  }
}

template <class T>
void fold_place(const FoldWindow& f, int64_t i, int64_t j, const T* columns, Wide<T>* x) {
  const Reach r = inside(f.h, i), c = inside(f.w, j);
  for (int64_t oh = r.lo; oh < r.hi; ++oh) {
    const T* __restrict from = columns + oh * f.w.out;
    const int64_t row = (oh * f.h.stride + r.first) * f.w.n + c.first;
    if (f.w.stride == 1) {
      Wide<T>* __restrict to = x + row;
      for (int64_t ow = c.lo; ow < c.hi; ++ow) to[ow] += widened(from[ow]);
    } else {
      for (int64_t ow = c.lo; ow < c.hi; ++ow) x[row + ow * f.w.stride] += widened(from[ow]);
    }
  }
}

template <class T>
void fold_plane(const FoldWindow& f, const T* columns, T* x) {
  const int64_t n = f.h.n * f.w.n, m = f.h.out * f.w.out;
  Wide<T>* sum;
  if constexpr (kHalf<T>)
    sum = static_cast<Wide<T>*>(scratch(kFirstSlot, n * sizeof(Wide<T>)));
  else
    sum = x;
  std::memset(static_cast<void*>(sum), 0, n * sizeof(Wide<T>));
  for (int64_t i = 0; i < f.h.size; ++i)
    for (int64_t j = 0; j < f.w.size; ++j, columns += m) fold_place(f, i, j, columns, sum);
  if constexpr (kHalf<T>)
    for (int64_t i = 0; i < n; ++i) x[i] = narrow<T>(sum[i]);
}

}  // namespace

void resample(ResampleMap map, View x, View y) {
  if (x.dtype == Dtype::u8) return resample_planes<uint8_t>(map, x, y);
  with_floating(x.dtype, [&](auto type) { resample_planes<decltype(type)>(map, x, y); });
}

void unfold(FoldWindow f, View x, View columns) {
  const int64_t n = f.h.n * f.w.n, m = f.h.out * f.w.out, places = f.h.size * f.w.size;
  with_floating(x.dtype, [&](auto type) {
    using T = decltype(type);
    parallel_for(x.shape[0] * places, 2 * m, [&](int64_t p, int64_t end) {
      for (; p < end; ++p) {
        const int64_t at = p % places;
        unfold_place(f, at / f.w.size, at % f.w.size, x.as<T>() + p / places * n, columns.as<T>() + p * m);
      }
    });
  });
}

void fold(FoldWindow f, View columns, View x) {
  const int64_t n = f.h.n * f.w.n, m = f.h.out * f.w.out, places = f.h.size * f.w.size;
  with_floating(x.dtype, [&](auto type) {
    using T = decltype(type);
    parallel_for(x.shape[0], n + 2 * m * places, [&](int64_t p, int64_t end) {
      for (; p < end; ++p) fold_plane(f, columns.as<T>() + p * m * places, x.as<T>() + p * n);
    });
  });
}

}  // namespace pydl::PYDL_ISA
