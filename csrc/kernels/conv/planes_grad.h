// The gradient of few weights, by planes: a vector of sums for each tap, while the planes of the image and of the
// gradient are passed over in vectors along x.
#pragma once

#include "kernels/conv/planes.h"
#include "kernels/conv/weight_grad.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kMostTaps = 9;  // sums that are kept in registers

// sums[t] += g times what tap t reads, for P taps and all rows of a piece.
template <int P, class S, class T>
void sum_products(const Axis (&axis)[kAxes], const Layout& l, const Piece& p, const T* image, const T* g,
                  const int64_t* reads, Vec<T>* sums) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t count = axis[2].count, whole = count / N * N;
  Register<T> acc[P];
#pragma GCC unroll 9
  for (int t = 0; t < P; ++t) acc[t] = sums[t].v;
  for (int64_t z = 0; z < p.deep; ++z)
    for (int64_t y = 0; y < p.high; ++y, g += count) {
      const T* row = image + z * axis[0].step * l.z + y * axis[1].step * l.y;
      for (int64_t x = 0; x < whole; x += N) {
        const Vec<T> gv = load<T>(g + x);
#pragma GCC unroll 9
        for (int t = 0; t < P; ++t) acc[t] = fma(gv, load<T>(row + reads[t] + x), Vec<T>(acc[t])).v;
      }
      if (whole == count) continue;
      const Vec<T> gv = load<T>(g + whole, count - whole);
#pragma GCC unroll 9
      for (int t = 0; t < P; ++t) acc[t] = fma(gv, load<T>(row + reads[t] + whole, count - whole), Vec<T>(acc[t])).v;
    }
#pragma GCC unroll 9
  for (int t = 0; t < P; ++t) sums[t] = Vec<T>(acc[t]);
}

// acc[t] += for 3 by 3 taps, down one column of vectors: each vector of the image serves 3 rows of g. n: the lanes that
// count.
template <class T, bool Full>
inline void sum_column(const T* image, int64_t step, const int64_t* reads, const T* g, int64_t g_step, int64_t high,
                       int64_t n, Register<T> (&acc)[9]) {
  const auto fetch = [n](const T* p) { return Full ? load<T>(p) : load<T>(p, n); };
  Vec<T> above, over, here;  // the rows of g that the last, the middle and the first row of taps meet
  for (int64_t y = 0; y < high + 2; ++y, image += step) {
    const Register<T> v[3] = {fetch(image + reads[0]).v, fetch(image + reads[1]).v, fetch(image + reads[2]).v};
    above = over;
    over = here;
    const auto add = [&](Vec<T> row, int tap) __attribute__((always_inline)) {
#pragma GCC unroll 3
      for (int t = 0; t < 3; ++t) acc[tap + t] = fma(row, Vec<T>(v[t]), Vec<T>(acc[tap + t])).v;
    };
    if (y < high) add(here = fetch(g + y * g_step), 0);
    if (y > 0 && y <= high) add(over, 3);
    if (y > 1) add(above, 6);
  }
}

template <class T>
void sum_three_by_three(const Axis (&axis)[kAxes], const Layout& l, const Piece& p, const T* image, const T* g,
                        const int64_t* reads, Vec<T>* sums) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t count = axis[2].count;
  Register<T> acc[9];
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) acc[t] = sums[t].v;
  for (int64_t z = 0; z < p.deep; ++z, g += p.high * count, image += axis[0].step * l.z) {
    int64_t x = 0;
    for (; x + N <= count; x += N) sum_column<T, true>(image + x, l.y, reads, g + x, count, p.high, N, acc);
    if (x < count) sum_column<T, false>(image + x, l.y, reads, g + x, count, p.high, count - x, acc);
  }
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) sums[t] = Vec<T>(acc[t]);
}

template <class S, class T, int... I>
void sum_products(int64_t taps, const Axis (&axis)[kAxes], const Layout& l, const Piece& p, const T* image, const T* g,
                  const int64_t* reads, Vec<T>* sums, std::integer_sequence<int, I...>) {
  using Sum = void (*)(const Axis(&)[kAxes], const Layout&, const Piece&, const T*, const T*, const int64_t*, Vec<T>*);
  static constexpr Sum table[] = {sum_products<I + 1, S, T>...};
  for (int64_t t = 0; t < taps; t += kMostTaps)
    table[least(kMostTaps, taps - t) - 1](axis, l, p, image, g, reads + t, sums + t);
}

// The rows of g that belong to a piece, dense and in T.
template <class S, class T>
const T* gradient_rows(const Image<S>& g, const Axis& x, const Piece& p, int64_t channel, T* to) {
  for (int64_t z = 0; z < p.deep; ++z)
    for (int64_t y = 0; y < p.high; ++y)
      copy_row(g.p + p.b * g.image + channel * g.channel + (p.z + z) * g.z + (p.y + y) * g.y, g.x, x.count,
               to + (z * p.high + y) * x.count);
  return to;
}

template <class S, class T>
const T* gradient_of(const Image<S>& g, const Axis (&axis)[kAxes], const Piece& p, int64_t channel, T* room) {
  if constexpr (std::is_same_v<S, T>) {
    if (g.x == 1 && g.y == axis[2].count && (p.deep == 1 || g.z == p.high * g.y))
      return g.p + p.b * g.image + channel * g.channel + p.z * g.z + p.y * g.y;
  }
  return gradient_rows(g, axis[2], p, channel, room);
}

// What a task of the weights' gradient sums: some images, for all rows and channels of a group.
template <class S, class T>
void sum_images(const WeightGrad<S>& w, const PlaneJob<S, T>& q, int64_t group, int64_t first, int64_t last,
                Vec<T>* sums) {
  const int64_t taps = w.taps(), count = w.axis[2].count;
  const int64_t piece = q.pieces.full.deep * q.pieces.full.high * count;
  T* rows = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(piece + 1)));
  for (int64_t t = 0; t < w.rows * w.channels * taps; ++t) sums[t] = Vec<T>();
  for (int64_t i = first * q.pieces.count(); i < last * q.pieces.count(); ++i) {
    Piece p = q.pieces.at(i % q.pieces.count());
    p.b = i / q.pieces.count();
    for (int64_t c = 0; c < w.channels; ++c) {
      const bool again = q.pieces.count() == 1 && (i > first || c > 0);
      const T* image = stage_plane<S, T>(w.x, w.axis, p, group * w.channels + c, q.layout, again);
      for (int64_t r = 0; r < w.rows; ++r) {
        const T* g = gradient_of(w.g, w.axis, p, group * w.rows + r, rows);
        Vec<T>* to = sums + (r * w.channels + c) * taps;
        if (is_three_by_three(*q.c)) {
          sum_three_by_three(w.axis, q.layout, p, image, g, q.reads, to);
          continue;
        }
        sum_products<S, T>(taps, w.axis, q.layout, p, image, g, q.reads, to,
                           std::make_integer_sequence<int, kMostTaps>{});
      }
    }
  }
}

// A task for each group, or, where these are few, for each and a part of the images; parts are added in order.
template <class S, class T>
void weight_planes(const WeightGrad<S>& w) {
  Correlation<S> c{{w.axis[0], w.axis[1], w.axis[2]},
                   w.images,
                   1,
                   w.rows,
                   w.groups,
                   w.x,
                   {},
                   nullptr,
                   0,
                   0,
                   0,
                   0,
                   nullptr,
                   0,
                   Activation::none};
  PlaneJob<S, T> q;
  make_plane_jobs(&c, 1, &q);
  const int64_t outputs = c.axis[0].count * c.axis[1].count * c.axis[2].count, size = w.rows * w.channels * c.taps();
  const int64_t each = even_share(w.images, most(1, w.images * w.groups / ConvLimits::kTasks));
  const int64_t parts = ceil_div(w.images, each);
  Vec<T>* sums =
      static_cast<Vec<T>*>(scratch(kWeightSlot, sizeof(Vec<T>) * static_cast<size_t>(w.groups * parts * size)));
  parallel_for(w.groups * parts, each * outputs * size / 8 + 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = t % parts * each;
      sum_images(w, q, t / parts, first, least(w.images, first + each), sums + t * size);
    }
  });
  for (int64_t i = 0; i < w.groups * size; ++i) {
    Vec<T> total = sums[i / size * parts * size + i % size];
    for (int64_t p = 1; p < parts; ++p) total = total + sums[(i / size * parts + p) * size + i % size];
    w.w[i] = narrow<S>(sum(total));
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA
