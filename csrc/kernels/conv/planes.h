// Groups of one input channel, where nothing is shared between channels: no product of matrices, whose tiles would stay
// empty. Planes are staged one after the other, a piece that stays in the first-level cache at a time, and passed over
// in vectors along x, each the sum over the taps.
#pragma once

#include "kernels/conv/correlate.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kPlaneRoom = 32 << 10;  // bytes of a staged piece of a plane

// One vector after the other of a row: V of them share the load of each weight.
template <class T, int V>
inline __attribute__((always_inline)) void sum_taps(const T* image, const T* w, const int64_t* reads, int64_t taps,
                                                    T bias, Register<T> (&acc)[V]) {
#pragma GCC unroll 4
  for (int j = 0; j < V; ++j) acc[j] = Vec<T>(bias).v;
  for (int64_t t = 0; t < taps; ++t) {
    const Vec<T> wv(w[t]);
    const T* from = image + reads[t];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[j] = fma(wv, load<T>(from + j * Vec<T>::N), Vec<T>(acc[j])).v;
  }
}

// What the planes of one product have in common.
template <class S, class T>
struct PlaneJob {
  const Correlation<S>* c;
  Pieces pieces;
  Layout layout;
  const int64_t *places,
      *reads;  // of each tap, in the weights and in the staged image
};

// Whether outputs may go from registers to memory as they are.
inline bool stores_vectors(Activation f) { return f == Activation::relu || f == Activation::none; }

// A vector of outputs, n <= N numbers, to where it belongs.
template <class S, class T>
inline __attribute__((always_inline)) void put_vector(Vec<T> v, bool relu, int64_t n, S* y, int64_t pitch) {
  if (relu) v = max(v, Vec<T>());
  store_apart(y, pitch, v, least(n, Vec<T>::N));
}

// The same for n numbers that are not plain.
template <class S, class T>
__attribute__((noinline)) void put_apart(const Correlation<S>& c, T* lanes, int64_t n, S* y) {
  activate(lanes, 0, 1, n, c.activation);
  constexpr int64_t N = Vec<T>::N;
  const int64_t pitch = c.axis[2].pitch;
  for (int64_t l = 0; l < n; l += N) store_apart(y + l * pitch, pitch, load<T>(lanes + l), least(N, n - l));
}

template <int V, class S, class T>
inline void write_vectors(const Correlation<S>& c, const T* image, const T* w, const int64_t* reads, T bias, int64_t n,
                          S* y) {
  constexpr int64_t N = Vec<T>::N;
  Register<T> acc[V];
  const int64_t pitch = c.axis[2].pitch;
  sum_taps<T, V>(image, w, reads, c.taps(), bias, acc);
  if (stores_vectors(c.activation)) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j)
      put_vector(Vec<T>(acc[j]), c.activation == Activation::relu, n - j * N, y + j * N * pitch, pitch);
    return;
  }
  T lanes[V * N];
#pragma GCC unroll 4
  for (int j = 0; j < V; ++j) store(lanes + j * N, Vec<T>(acc[j]));
  put_apart(c, lanes, n, y);
}

// Whether the taps are 3 rows of 3, one row of the image after the other: then each vector read serves 3 outputs.
template <class S>
inline bool is_three_by_three(const Correlation<S>& c) {
  const Axis& y = c.axis[1];
  if (c.axis[0].taps != 1 || y.taps != 3 || c.axis[2].taps != 3 || y.step != 1 || y.span != 2) return false;
  return y.shift[0] + y.shift[2] == 2 * y.shift[1];
}

// H rows of outputs, a vector wide; w: by row of the image, then tap. step: of an image's row.
template <class T, int H>
inline __attribute__((always_inline)) void sum_three_by_three(const T* image, int64_t step, const int64_t (&at)[3],
                                                              const Register<T> (&w)[9], T bias,
                                                              Register<T> (&acc)[H]) {
#pragma GCC unroll 8
  for (int h = 0; h < H; ++h) acc[h] = Vec<T>(bias).v;
#pragma GCC unroll 10
  for (int r = 0; r < H + 2; ++r) {
    const T* row = image + r * step;
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) {
      const Vec<T> v = load<T>(row + at[k]);
#pragma GCC unroll 8
      for (int h = 0; h < H; ++h)
        if (r - h >= 0 && r - h < 3) acc[h] = fma(Vec<T>(w[3 * (r - h) + k]), v, Vec<T>(acc[h])).v;
    }
  }
}

// All rows of a piece, H at a time. Meanwhile what lies below in the output, and `ahead`, is fetched.
template <int H, class S, class T>
int64_t write_three_by_three(const Correlation<S>& c, const Layout& l, const T* image, const T* w, const int64_t* reads,
                             T bias, int64_t from, int64_t rows, const S* ahead, S* y) {
  constexpr int64_t N = Vec<T>::N;
  const bool down = c.axis[1].shift[0] > c.axis[1].shift[2];  // the gradient reads its rows backwards
  const int64_t first = down ? 6 : 0;
  const int64_t at[3] = {reads[first], reads[first + 1], reads[first + 2]};
  Register<T> wv[9];
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) wv[t] = Vec<T>(w[down ? 3 * (2 - t / 3) + t % 3 : t]).v;
  const int64_t count = c.axis[2].count, y_step = c.axis[1].pitch * c.y_y;
  const bool plain = stores_vectors(c.activation) && c.axis[2].pitch == 1, relu = c.activation == Activation::relu;
  for (; from + H <= rows; from += H)
    for (int64_t x = 0; x < count; x += N) {
      const int64_t n = least(N, count - x);
      S* to = y + from * y_step + x * c.axis[2].pitch;
#pragma GCC unroll 8
      for (int h = 0; h < H; ++h) {
        __builtin_prefetch(to + (H + h) * y_step, 1);
        __builtin_prefetch(ahead + (from + h) * c.x.y + x);
      }
      Register<T> acc[H];
      sum_three_by_three<T, H>(image + from * l.y + x, l.y, at, wv, bias, acc);
      if (plain) {
#pragma GCC unroll 8
        for (int h = 0; h < H; ++h, to += y_step) put_vector(Vec<T>(acc[h]), relu, n, to, 1);
        continue;
      }
      T lanes[H][N];
#pragma GCC unroll 8
      for (int h = 0; h < H; ++h) store(lanes[h], Vec<T>(acc[h]));
      for (int h = 0; h < H; ++h, to += y_step) put_apart(c, lanes[h], n, to);
    }
  return from;
}

template <class S, class T>
void write_row(const Correlation<S>& c, const T* image, const T* w, const int64_t* reads, T bias, S* y) {
  constexpr int64_t N = Vec<T>::N;
  for (int64_t x = 0; x < c.axis[2].count; x += 4 * N) {
    const int64_t n = least(4 * N, c.axis[2].count - x);
    S* to = y + x * c.axis[2].pitch;
    switch ((n + N - 1) / N) {
      case 1:
        write_vectors<1>(c, image + x, w, reads, bias, n, to);
        break;
      case 2:
        write_vectors<2>(c, image + x, w, reads, bias, n, to);
        break;
      case 3:
        write_vectors<3>(c, image + x, w, reads, bias, n, to);
        break;
      default:
        write_vectors<4>(c, image + x, w, reads, bias, n, to);
    }
  }
}

// The piece of plane `channel` of the images that p reads, staged. inner: see stage.
template <class S, class T>
const T* stage_plane(const Image<S>& x, const Axis (&axis)[kAxes], const Piece& p, int64_t channel, const Layout& l,
                     bool inner) {
  const int64_t size = p.images * l.image;
  T* image = static_cast<T*>(scratch(kImageSlot, sizeof(T) * static_cast<size_t>(size + 5 * Vec<T>::N)));
  stage(x, axis, p, channel, 1, l, image, inner);
  if (!inner) clear(image + size, 5 * Vec<T>::N);  // vectors that begin in the last row end here
  return image;
}

// One product's outputs of a staged piece, whose first plane is `image`; ahead: what is staged next.
template <class S, class T>
void write_piece(const PlaneJob<S, T>& q, const Piece& p, const T* image, int64_t group, const S* ahead) {
  const Correlation<S>& c = *q.c;
  const int64_t taps = c.taps(), high = least(p.high, c.axis[1].count - p.y),
                deep = least(p.deep, c.axis[0].count - p.z);
  T* w = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(taps + 1)));
  for (int64_t r = 0; r < c.rows; ++r) {
    const int64_t m = group * c.rows + r;
    const T bias = c.bias ? widen<T>(c.bias[m * c.bias_stride]) : T(0);
    for (int64_t t = 0; t < taps; ++t) w[t] = widen<T>(c.w.p[group * c.w.group + r * c.w.row + q.places[t]]);
    S* to = c.y + p.b * c.y_image + m * c.y_channel + (c.axis[0].start + p.z * c.axis[0].pitch) * c.y_z +
            (c.axis[1].start + p.y * c.axis[1].pitch) * c.y_y + c.axis[2].start;
    for (int64_t z = 0; z < deep; ++z, to += c.axis[0].pitch * c.y_z) {
      const T* plane = image + z * c.axis[0].step * q.layout.z;
      int64_t y = 0;
      if (is_three_by_three(c)) {
        y = write_three_by_three<8>(c, q.layout, plane, w, q.reads, bias, y, high, ahead, to);
        y = write_three_by_three<4>(c, q.layout, plane, w, q.reads, bias, y, high, ahead, to);
        y = write_three_by_three<1>(c, q.layout, plane, w, q.reads, bias, y, high, ahead, to);
      }
      for (; y < high; ++y)
        write_row(c, plane + y * c.axis[1].step * q.layout.y, w, q.reads, bias, to + y * c.axis[1].pitch * c.y_y);
    }
  }
}

// The tables of a plane's taps; room: twice as many numbers.
template <class S, class T>
void make_tables(PlaneJob<S, T>& q, int64_t* room) {
  const Correlation<S>& c = *q.c;
  int64_t *places = room, *reads = room + c.taps(), t = 0;
  for (int64_t z = 0; z < c.axis[0].taps; ++z)
    for (int64_t y = 0; y < c.axis[1].taps; ++y)
      for (int64_t x = 0; x < c.axis[2].taps; ++x, ++t) {
        places[t] = c.axis[0].tap[z] * c.w.z + c.axis[1].tap[y] * c.w.y + c.axis[2].tap[x] * c.w.x;
        reads[t] = tap_offset(c.axis, q.layout, z, y, x);
      }
  q.places = places;
  q.reads = reads;
}

// Jobs that share the pieces and the layout of the first; gives how many taps they have together.
template <class S, class T>
int64_t make_plane_jobs(const Correlation<S>* c, int64_t products, PlaneJob<S, T>* q) {
  int64_t taps = 0;
  for (int64_t i = 0; i < products; ++i) taps += c[i].taps();
  int64_t* room = static_cast<int64_t*>(scratch(kTableSlot, sizeof(int64_t) * static_cast<size_t>(2 * taps + 1)));
  const Pieces pieces = cut(c->axis, 1, axis_bytes<T>(c->axis[2]), kPlaneRoom, 1, 1);
  const Layout l = layout<T>(c->axis, pieces.full, 1, c->axis[2].step, Vec<T>::N);
  for (int64_t i = 0; i < products; room += 2 * c[i++].taps()) {
    q[i] = {c + i, pieces, l, nullptr, nullptr};
    make_tables(q[i], room);
  }
  return taps;
}

// Products of the same images, plane after plane; the first has the most outputs along each axis.
template <class S, class T>
void correlate_planes(const Correlation<S>* c, int64_t products) {
  for (const Axis& a : c->axis)
    if (a.count <= 0) return;
  auto* q = static_cast<PlaneJob<S, T>*>(scratch(kStripSlot, sizeof(PlaneJob<S, T>) * static_cast<size_t>(products)));
  const int64_t taps = make_plane_jobs(c, products, q);
  const int64_t outputs = c->axis[0].count * c->axis[1].count * c->axis[2].count, pieces = q->pieces.count();
  const auto begins = [&](int64_t i, const Piece& p) {
    return c->x.p + i / c->groups * c->x.image + i % c->groups * c->x.channel + p.z * c->x.z + p.y * c->x.y;
  };
  parallel_for(c->images * c->groups, outputs * c->rows * (taps / 8 + 2 * products), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < pieces; ++j) {
        Piece p = q->pieces.at(j);
        p.b = i / c->groups;
        const bool again = i > begin && pieces == 1;
        const T* image = stage_plane<S, T>(c->x, c->axis, p, i % c->groups, q->layout, again);
        const S* ahead = begins(i + (j + 1) / pieces, q->pieces.at((j + 1) % pieces));
        for (int64_t k = 0; k < products; ++k) write_piece(q[k], p, image, i % c->groups, ahead);
      }
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA
