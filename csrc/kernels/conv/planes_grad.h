// The gradient of few weights, planes one by one: a vector of sums for each tap, over all outputs of a plane. Where
// several channels of g meet a plane they share what is read of it.
#pragma once

#include "kernels/conv/planes.h"
#include "kernels/conv/weight_grad.h"

namespace pydl::PYDL_ISA {
namespace {

// So many channels of g share what is read of a plane, and so many taps are summed at a time for each: there are 32
// registers, or 16.
template <class T>
constexpr int kSharing = Tiling<T>::kBytes == 64 ? 4 : 2;
constexpr int kMostTaps[] = {0, 9, 5, 5, 5};  // by the number of channels

// A plane of x that is staged, of some images, and how it is walked.
template <class T>
struct Plane {
  const Axis* axis;
  Layout layout;
  Piece piece;
  const T* image;
  const int64_t* reads;  // of each tap
  int64_t taps;
};

// The plane of g that meets it: dense rows.
template <class T>
struct Rows {
  const T* p;
  int64_t image;  // from one image to the next
};

// acc[r][t] += g[r] times what tap t reads, for one vector of outputs of which n lanes count.
template <int R, int P, bool Full, class T>
inline __attribute__((always_inline)) void add_products(const T* row, const int64_t* reads, const T* const (&g)[R],
                                                        int64_t at, int64_t n, Register<T> (&acc)[R][P]) {
  const auto fetch = [n](const T* p) __attribute__((always_inline)) { return Full ? load<T>(p) : load<T>(p, n); };
  Register<T> gv[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) gv[r] = fetch(g[r] + at).v;
#pragma GCC unroll 9
  for (int t = 0; t < P; ++t) {
    const Vec<T> x = fetch(row + reads[t] + at);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) acc[r][t] = fma(Vec<T>(gv[r]), x, Vec<T>(acc[r][t])).v;
  }
}

// sums[r * apart + t] += g[r] times what tap t reads, for P taps from `first` on and all rows of a piece.
template <int R, int P, class T>
void sum_products(const Plane<T>& q, int64_t first, const Rows<T>* from, int64_t apart, Vec<T>* sums) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t count = q.axis[2].count, whole = count / N * N;
  Register<T> acc[R][P];
  const T* g[R];
  int64_t reads[P];
#pragma GCC unroll 9
  for (int t = 0; t < P; ++t) reads[t] = q.reads[first + t];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 9
    for (int t = 0; t < P; ++t) acc[r][t] = sums[r * apart + t].v;
  const Piece& p = q.piece;
  const int64_t step = q.axis[1].step * q.layout.y;
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) g[r] = from[r].p;
  for (int64_t b = 0; b < p.images; ++b) {
    for (int64_t z = 0; z < p.deep; ++z) {
      const T* row = q.image + b * q.layout.image + z * q.axis[0].step * q.layout.z;
      for (int64_t y = 0; y < p.high; ++y, row += step) {
        for (int64_t x = 0; x < whole; x += N) add_products<R, P, true>(row, reads, g, x, N, acc);
        if (whole < count) add_products<R, P, false>(row, reads, g, whole, count - whole, acc);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) g[r] += count;
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) g[r] += from[r].image - p.deep * p.high * count;
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 9
    for (int t = 0; t < P; ++t) sums[r * apart + t] = Vec<T>(acc[r][t]);
}

template <int R, class T, int... I>
void sum_some(int64_t first, int64_t taps, const Plane<T>& q, const Rows<T>* g, int64_t apart, Vec<T>* sums,
              std::integer_sequence<int, I...>) {
  using Sum = void (*)(const Plane<T>&, int64_t, const Rows<T>*, int64_t, Vec<T>*);
  static constexpr Sum table[] = {sum_products<R, I + 1, T>...};
  table[taps - 1](q, first, g, apart, sums + first);
}

// All taps, some at a time.
template <int R, class T>
void sum_all(const Plane<T>& q, const Rows<T>* g, int64_t apart, Vec<T>* sums) {
  const int64_t share = even_share(q.taps, kMostTaps[R]);
  for (int64_t t = 0; t < q.taps; t += share)
    sum_some<R>(t, least(share, q.taps - t), q, g, apart, sums, std::make_integer_sequence<int, kMostTaps[R]>{});
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
void sum_three_by_three(const Plane<T>& q, const Rows<T>& rows, Vec<T>* sums) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t count = q.axis[2].count, high = q.piece.high, step = q.layout.y;
  Register<T> acc[9];
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) acc[t] = sums[t].v;
  for (int64_t b = 0; b < q.piece.images; ++b)
    for (int64_t z = 0; z < q.piece.deep; ++z) {
      const T* image = q.image + b * q.layout.image + z * q.axis[0].step * q.layout.z;
      const T* g = rows.p + b * rows.image + z * high * count;
      int64_t x = 0;
      for (; x + N <= count; x += N) sum_column<T, true>(image + x, step, q.reads, g + x, count, high, N, acc);
      if (x < count) sum_column<T, false>(image + x, step, q.reads, g + x, count, high, count - x, acc);
    }
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) sums[t] = Vec<T>(acc[t]);
}

// What a piece reads of a channel of g, where it lies or, dense and in T, in `room`.
template <class S, class T>
Rows<T> gradient_of(const Image<S>& g, const Axis (&axis)[kAxes], const Piece& p, int64_t channel, T* room) {
  const S* from = g.p + p.b * g.image + channel * g.channel + p.z * g.z + p.y * g.y;
  const int64_t count = axis[2].count;
  if constexpr (std::is_same_v<S, T>) {
    if (g.x == 1 && g.y == count && (p.deep == 1 || g.z == p.high * g.y)) return {from, g.image};
  }
  T* to = room;
  for (int64_t b = 0; b < p.images; ++b)
    for (int64_t z = 0; z < p.deep; ++z)
      for (int64_t y = 0; y < p.high; ++y, to += count)
        copy_row(from + b * g.image + z * g.z + y * g.y, g.x, count, to);
  return {room, p.deep * p.high * count};
}

// sum_products of `channels` channels of g.
template <class T, int... I>
void sum_channels(int64_t channels, const Plane<T>& q, const Rows<T>* g, int64_t apart, Vec<T>* sums,
                  std::integer_sequence<int, I...>) {
  using Sum = void (*)(const Plane<T>&, const Rows<T>*, int64_t, Vec<T>*);
  static constexpr Sum table[] = {sum_all<I + 1, T>...};
  table[channels - 1](q, g, apart, sums);
}

// Some images for all rows and channels of a group.
template <class S, class T>
struct PlaneSums {
  const WeightGrad<S>& w;
  const PlaneJob<S, T>& q;
  int64_t group;
  Vec<T>* sums;

  // What one piece adds. staged: an earlier one, no smaller, has left the border.
  void add(const Piece& p, bool staged) const {
    const int64_t taps = w.taps(), size = p.images * p.deep * p.high * w.axis[2].count;
    T* room = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(kSharing<T> * size + 1)));
    const bool three = is_three_by_three(*q.c);
    const int64_t share = three ? 1 : kSharing<T>;
    for (int64_t c = 0; c < w.channels; ++c) {
      const T* image =
          stage_plane<S, T>(w.x, w.axis, p, group * w.channels + c, q.layout, staged || (c > 0 && whole()));
      const Plane<T> plane{w.axis, q.layout, p, image, q.reads, taps};
      for (int64_t r = 0; r < w.rows; r += share) {
        const int64_t some = least(share, w.rows - r);
        Rows<T> g[kSharing<T>];
        for (int64_t k = 0; k < some; ++k) g[k] = gradient_of(w.g, w.axis, p, group * w.rows + r + k, room + k * size);
        Vec<T>* to = sums + (r * w.channels + c) * taps;
        three ? sum_three_by_three(plane, g[0], to)
              : sum_channels(some, plane, g, w.channels * taps, to, std::make_integer_sequence<int, kSharing<T>>{});
      }
    }
  }

  // Whether pieces are whole images, whose borders lie alike.
  bool whole() const { return q.pieces.along_z() * q.pieces.along_y() == 1; }

  void add_images(int64_t first, int64_t last) const {
    for (int64_t t = 0; t < w.rows * w.channels * w.taps(); ++t) sums[t] = Vec<T>();
    Pieces some = q.pieces;
    some.images = last - first;
    for (int64_t i = 0; i < some.count(); ++i) {
      Piece p = some.at(i);
      p.b += first;
      add(p, i > 0 && whole());
    }
  }
};

// How many images a piece has: with the channels of g that meet it, it stays in the first-level cache.
template <class S, class T>
int64_t images_of(const PlaneJob<S, T>& q, int64_t outputs, int64_t images) {
  if (q.pieces.along_z() * q.pieces.along_y() > 1) return 1;
  const int64_t bytes = static_cast<int64_t>(sizeof(T)) * (q.layout.image + kSharing<T> * outputs);
  return most(1, least(images, kPlaneRoom / bytes));
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
  q.pieces.full.images = images_of(q, outputs, each);
  Vec<T>* sums =
      static_cast<Vec<T>*>(scratch(kWeightSlot, sizeof(Vec<T>) * static_cast<size_t>(w.groups * parts * size)));
  parallel_for(w.groups * parts, each * outputs * size / 8 + 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = t % parts * each;
      PlaneSums<S, T>{w, q, t / parts, sums + t * size}.add_images(first, least(w.images, first + each));
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
