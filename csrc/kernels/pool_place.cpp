// Pooling at places that are known: what lies there, and adding there. Windows of 2 by 2 that follow one another hold
// one place each: their elements are written a vector of windows at a time, each the gradient or 0.
#include "kernels/pool.h"
#include "runtime/table/pool.h"
#include "simd/interleave.h"

namespace pydl::PYDL_ISA {
namespace {

// Two rows of gx, from the row of windows that begins at place `first` of the plane; width: of a row. y: 0, or what
// windows must have above 0.
template <class T>
void place_row(const T* g, const int32_t* index, int64_t first, int64_t width, int64_t out, const T* y, T* gx) {
  using C = Wide<T>;
  using Bits = typename Vec<C>::Bits;
  using Lane = std::remove_reference_t<decltype(Bits{}[0])>;
  constexpr int N = Vec<C>::N;
  const Bits step = places_apart<C>(2);
  for (int64_t o = 0; o < out; o += N) {
    const int64_t n = out - o < N ? out - o : N;
    const Bits from = load_places<C>(index + o, n) - step - static_cast<Lane>(first + 2 * o);
    Vec<C> sum = load_some<C>(g + o, n) + Vec<C>(C(0));  // of what is there, 0, and g
    if (y) sum = select(load_some<C>(y + o, n) > Vec<C>(C(0)), sum, Vec<C>());
    const auto part = [&](int64_t place) { return from_bits<C>(bits(sum) & (from == static_cast<Lane>(place))); };
    store_pairs(gx + 2 * o, 2 * n, part(0), part(1));
    store_pairs(gx + width + 2 * o, 2 * n, part(width), part(width + 1));
  }
}

template <class T>
void clear(T* from, T* end) {
  std::memset(static_cast<void*>(from), 0, static_cast<size_t>(end - from) * sizeof(T));
}

template <class T>
void place_quads(const PoolWindow& w, const View& g, const View& index, const View& y, const View& gx) {
  const PoolAxis &H = w.axis[1], &W = w.axis[2];
  parallel_for(g.shape[0], gx.shape[1] + 2 * g.shape[1], [&](int64_t plane, int64_t end) {
    for (; plane < end; ++plane) {
      T* to = gx.as<T>() + plane * gx.shape[1];
      for (int64_t oh = 0; oh < H.out; ++oh) {
        const int64_t first = 2 * oh * W.n, at = plane * g.shape[1] + oh * W.out;
        place_row(g.as<const T>() + at, index.as<const int32_t>() + at, first, W.n, W.out,
                  y.present() ? y.as<const T>() + at : nullptr, to + first);
        if (2 * W.out < W.n)
          for (int64_t row = first; row < first + 2 * W.n; row += W.n) clear(to + row + 2 * W.out, to + row + W.n);
      }
      clear(to + 2 * H.out * W.n, to + gx.shape[1]);
    }
  });
}

}  // namespace

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

void pool_place(PoolWindow w, View g, View index, View y, View gx) {
  const int64_t n = gx.shape[1], m = g.shape[1];
  with_floating(g.dtype, [&](auto type) {
    using T = decltype(type);
    if (is_quads(w)) return place_quads<T>(w, g, index, y, gx);
    const T* above = y.as<const T>();
    sum_planes<T>(gx, n + 2 * m, [&](int64_t p, Wide<T>* sum) {
      for (int64_t j = p * m; j < (p + 1) * m; ++j)
        if (!above || widened(above[j]) > 0) sum[index.as<int32_t>()[j]] += widened(g.as<T>()[j]);
    });
  });
}

}  // namespace pydl::PYDL_ISA
