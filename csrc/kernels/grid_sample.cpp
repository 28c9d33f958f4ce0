// Images read at free places, in blocks of outputs whose taps (grid_taps.h) serve every channel. Where channels and
// outputs are many enough, images are turned first, groups of channels innermost, so that a place is one vector and a
// tap one product.
#include "kernels/grid_taps.h"
#include "kernels/turn.h"
#include "runtime/table/resample.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kGroup = 16;             // channels that share the taps of a transpose
constexpr int64_t kRun = 1024;             // places that are turned by one task, of as many channels as a vector has
constexpr int64_t kTurnedBytes = 8 << 20;  // of images that are turned at a time

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Whether it pays to turn images of c channels and n places for m outputs each.
template <class C>
bool turns(const GridSampling& s, int64_t c, int64_t n, int64_t m) {
  return 8 * c >= Vec<C>::N && taps_of(s) * m >= n;
}

template <class C>
int64_t groups_of(int64_t channels) {
  return ceil_div(channels, int64_t{Vec<C>::N});
}

// x (images, channels, n) as (images, groups, n, lanes); lanes without a channel are 0.
template <class T>
const Wide<T>* turned_images(const T* x, int64_t images, int64_t channels, int64_t n) {
  using C = Wide<T>;
  constexpr int64_t N = Vec<C>::N;
  const int64_t groups = groups_of<C>(channels), runs = ceil_div(n, kRun);
  C* to = static_cast<C*>(scratch(kTurnedSlot, static_cast<size_t>(images * groups * n * N) * sizeof(C)));
  parallel_for(images * groups * runs, N * kRun, [&](int64_t q, int64_t end) {
    for (; q < end; ++q) {
      const int64_t at = q % runs * kRun, image = q / runs / groups, first = q / runs % groups * N;
      transpose_to<C>(x + (image * channels + first) * n + at, n, least(N, channels - first), least(kRun, n - at),
                      to + (q / runs * n + at) * N, N, N);
    }
  });
  return to;
}

// Calls f(first image, how many, their turned images) until all are done.
template <class T, class F>
void for_turned(View x, const F& f) {
  using C = Wide<T>;
  const int64_t c = x.shape[1], n = x.shape[2], each = groups_of<C>(c) * n * Vec<C>::N;
  const int64_t fitting = kTurnedBytes / (each * static_cast<int64_t>(sizeof(C))), most = fitting > 1 ? fitting : 1;
  for (int64_t b = 0; b < x.shape[0]; b += most) {
    const int64_t images = least(most, x.shape[0] - b);
    f(b, images, turned_images(x.as<const T>() + b * c * n, images, c, n));
  }
}

// Output i of a group of channels of a turned image.
template <class C>
inline Vec<C> sum_places(const Taps<C>& t, int64_t i, const C* x) {
  Vec<C> sum;
  for (int64_t k = 0; k < t.count; ++k) {
    const int64_t at = t.place[k * kBlock + i];
    if (at >= 0) sum = fma(Vec<C>(t.weight[k * kBlock + i]), load<C>(x + at * Vec<C>::N), sum);
  }
  return sum;
}

template <class T>
void sample_turned(const GridSampling& s, View x, View grid, View y) {
  using C = Wide<T>;
  constexpr int64_t N = Vec<C>::N;
  const int64_t c = x.shape[1], n = x.shape[2], m = y.shape[2], groups = groups_of<C>(c);
  for_turned<T>(x, [&](int64_t image, int64_t images, const C* turned) {
    for_blocks(images, m, taps_of(s) * (groups + 4), [&](int64_t b, int64_t first, int64_t count) {
      const Taps<C> t = make_taps(s, grid.as<T>() + (image + b) * m * s.axes, first, count, false);
      for (int64_t group = 0; group < groups; ++group) {
        C sums[kBlock * N];
        for (int64_t i = 0; i < count; ++i)
          store(sums + i * N, sum_places(t, i, turned + (b * groups + group) * n * N));
        transpose_to<C>(sums, N, count, least(N, c - group * N), y.as<T>() + ((image + b) * c + group * N) * m + first,
                        m, count);
      }
    });
  });
}

template <class T>
void sample(const GridSampling& s, View x, View grid, View y) {
  using C = Wide<T>;
  const int64_t c = x.shape[1], n = x.shape[2], m = y.shape[2], taps = taps_of(s);
  if (turns<C>(s, c, n, m)) return sample_turned<T>(s, x, grid, y);
  for_blocks(x.shape[0], m, taps * (c + 4), [&](int64_t b, int64_t first, int64_t count) {
    const Taps<C> t = make_taps(s, grid.as<T>() + b * m * s.axes, first, count, false);
    for (int64_t i = b * c; i < (b + 1) * c; ++i) {
      T* to = y.as<T>() + i * m + first;
      if constexpr (kHalf<T>) {
        C sum[kBlock];
        sum_all_taps(taps, t.place, t.weight, kBlock, x.as<T>() + i * n, sum, 0, count);
        for (int64_t j = 0; j < count; ++j) to[j] = narrow<T>(sum[j]);
      } else {
        sum_all_taps(taps, t.place, t.weight, kBlock, x.as<T>() + i * n, to, 0, count);
      }
    }
  });
}

template <class T>
void give(const Taps<Wide<T>>& t, const T* g, int64_t count, Wide<T>* gx) {
  for (int64_t i = 0; i < count; ++i) {
    const Wide<T> share = widened(g[i]);
    for (int64_t k = 0; k < t.count; ++k) {
      const int32_t at = t.place[k * kBlock + i];
      if (at >= 0) gx[at] += t.weight[k * kBlock + i] * share;
    }
  }
}

// Up to a vector's lanes of channels of image b: each output gives to its places, in the order of the outputs.
template <class T>
void give_turned(const GridSampling& s, const T* g, const T* grid, int64_t m, int64_t n, int64_t channels, T* gx) {
  using C = Wide<T>;
  constexpr int64_t N = Vec<C>::N;
  C* sum = static_cast<C*>(scratch(kTurnedSlot, static_cast<size_t>(n * N) * sizeof(C)));
  for (int64_t i = 0; i < n; ++i) store(sum + i * N, Vec<C>());
  for (int64_t first = 0; first < m; first += kBlock) {
    const int64_t count = least(kBlock, m - first);
    const Taps<C> t = make_taps(s, grid, first, count, false);
    C shares[kBlock * N];
    transpose_to<C>(g + first, m, channels, count, shares, N, N);
    for (int64_t i = 0; i < count; ++i) {
      const Vec<C> share = load<C>(shares + i * N);
      for (int64_t k = 0; k < t.count; ++k) {
        const int64_t at = t.place[k * kBlock + i];
        if (at < 0) continue;
        store(sum + at * N, fma(Vec<C>(t.weight[k * kBlock + i]), share, load<C>(sum + at * N)));
      }
    }
  }
  transpose_to<C>(sum, N, n, channels, gx, n, n);
}

// A group of channels of image b: each output gives to its places, in the order of the outputs.
template <class T>
void sample_back(const GridSampling& s, const T* g, const T* grid, int64_t m, int64_t n, int64_t channels, T* gx) {
  using C = Wide<T>;
  C* sum;
  if constexpr (kHalf<T>)
    sum = static_cast<C*>(scratch(kPlaneSlot, channels * n * sizeof(C)));
  else
    sum = gx;
  for (int64_t i = 0; i < channels * n; ++i) sum[i] = 0;
  for (int64_t first = 0; first < m; first += kBlock) {
    const int64_t count = m - first < kBlock ? m - first : kBlock;
    const Taps<C> t = make_taps(s, grid, first, count, false);
    for (int64_t i = 0; i < channels; ++i) give(t, g + i * m + first, count, sum + i * n);
  }
  if constexpr (kHalf<T>)
    for (int64_t i = 0; i < channels * n; ++i) gx[i] = narrow<T>(sum[i]);
}

// move[axis][output] += g times the derivative of one channel.
template <class T>
void add_moves(const GridSampling& s, const Taps<Wide<T>>& t, const T* x, const T* g, int64_t count,
               Wide<T> (*move)[kBlock]) {
  for (int64_t k = 0; k < t.count; ++k) {
    const int32_t* __restrict place = t.place + k * kBlock;
    Wide<T> part[kBlock];
    for (int64_t i = 0; i < count; ++i) part[i] = widened(g[i]) * read(x, place[i]);
    for (int a = 0; a < s.axes; ++a) {
      const Wide<T>* __restrict slope = t.slope[a] + k * kBlock;
      for (int64_t i = 0; i < count; ++i) move[a][i] += slope[i] * part[i];
    }
  }
}

// The derivatives in a block's places, as (output, axis).
template <class T>
void put_moves(const GridSampling& s, const Wide<T> (*move)[kBlock], int64_t count, T* to) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t a = 0; a < s.axes; ++a) to[i * s.axes + s.axes - 1 - a] = narrow<T>(move[a][i]);
}

// dots[axis] += the products of g and the derivative of output i, of a group of channels.
template <class C>
inline void add_dots(const Taps<C>& t, int axes, int64_t i, const C* x, Vec<C> g, Vec<C>* dots) {
  Vec<C> slope[3];
  for (int64_t k = 0; k < t.count; ++k) {
    const int64_t at = t.place[k * kBlock + i];
    if (at < 0) continue;
    const Vec<C> v = load<C>(x + at * Vec<C>::N);
    for (int a = 0; a < axes; ++a) slope[a] = fma(Vec<C>(t.slope[a][k * kBlock + i]), v, slope[a]);
  }
  for (int a = 0; a < axes; ++a) dots[a] = fma(slope[a], g, dots[a]);
}

template <class T>
void move_turned(const GridSampling& s, View x, View grid, View g, View ggrid) {
  using C = Wide<T>;
  constexpr int64_t N = Vec<C>::N;
  const int64_t c = x.shape[1], n = x.shape[2], m = g.shape[2], groups = groups_of<C>(c);
  for_turned<T>(x, [&](int64_t image, int64_t images, const C* turned) {
    for_blocks(images, m, taps_of(s) * s.axes * (groups + 4), [&](int64_t b, int64_t first, int64_t count) {
      const int64_t at = (image + b) * m;
      const Taps<C> t = make_taps(s, grid.as<T>() + at * s.axes, first, count, true);
      Vec<C> dots[kBlock][3];
      for (int64_t group = 0; group < groups; ++group) {
        C shares[kBlock * N];
        transpose_to<C>(g.as<const T>() + at * c + group * N * m + first, m, least(N, c - group * N), count, shares, N,
                        N);
        for (int64_t i = 0; i < count; ++i)
          add_dots(t, s.axes, i, turned + (b * groups + group) * n * N, load<C>(shares + i * N), dots[i]);
      }
      C move[3][kBlock];
      for (int64_t i = 0; i < count; ++i)
        for (int a = 0; a < s.axes; ++a) move[a][i] = sum(dots[i][a]);
      put_moves(s, move, count, ggrid.as<T>() + (at + first) * s.axes);
    });
  });
}

template <class T>
void sample_move(const GridSampling& s, View x, View grid, View g, View ggrid) {
  using C = Wide<T>;
  const int64_t c = x.shape[1], n = x.shape[2], m = g.shape[2], taps = taps_of(s);
  if (turns<C>(s, c, n, m)) return move_turned<T>(s, x, grid, g, ggrid);
  for_blocks(x.shape[0], m, taps * s.axes * (c + 4), [&](int64_t b, int64_t first, int64_t count) {
    const Taps<C> t = make_taps(s, grid.as<T>() + b * m * s.axes, first, count, true);
    C move[3][kBlock] = {};
    for (int64_t i = b * c; i < (b + 1) * c; ++i)
      add_moves(s, t, x.as<T>() + i * n, g.as<T>() + i * m + first, count, move);
    put_moves(s, move, count, ggrid.as<T>() + (b * m + first) * s.axes);
  });
}

}  // namespace

void grid_sample(GridSampling s, View x, View grid, View y) {
  with_floating(x.dtype, [&](auto type) { sample<decltype(type)>(s, x, grid, y); });
}

void grid_sample_back(GridSampling s, View g, View grid, View gx) {
  const int64_t c = gx.shape[1], n = gx.shape[2], m = g.shape[2];
  with_floating(g.dtype, [&](auto type) {
    using T = decltype(type);
    const bool turned = turns<Wide<T>>(s, c, n, m);
    const int64_t size = turned ? int64_t{Vec<Wide<T>>::N} : kGroup, groups = ceil_div(c, size);
    const int64_t cost = turned ? size * n / 4 + m * taps_of(s) * 4 : kGroup * (n + 4 * m * taps_of(s));
    parallel_for(gx.shape[0] * groups, cost, [&](int64_t q, int64_t end) {
      for (; q < end; ++q) {
        const int64_t b = q / groups, first = q % groups * size, channels = least(size, c - first);
        const T *from = g.as<T>() + (b * c + first) * m, *at = grid.as<T>() + b * m * s.axes;
        T* to = gx.as<T>() + (b * c + first) * n;
        turned ? give_turned(s, from, at, m, n, channels, to) : sample_back(s, from, at, m, n, channels, to);
      }
    });
  });
}

void grid_sample_move(GridSampling s, View x, View grid, View g, View ggrid) {
  with_floating(x.dtype, [&](auto type) { sample_move<decltype(type)>(s, x, grid, g, ggrid); });
}

}  // namespace pydl::PYDL_ISA
