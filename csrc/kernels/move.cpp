// Copies between two layouts of one dtype: transposes, slices, joins, flips and broadcasts.
//
// The axis along which y is closest together is innermost. Where x is close along it too, lines are copied. Where x is
// close along another axis, the two make a transpose: square blocks as wide as a cache line, so that each line is read
// and written once, each of 8 x 8 pieces that are turned in registers by three rounds of interleaving.
#include <cstring>

#include "runtime/parallel.h"
#include "runtime/table/shape.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kCallBytes = 256;  // from here on a call of memcpy pays
constexpr int64_t kTile = 128;       // rows and columns of a transpose whose pages stay in reach
constexpr int64_t kLineBytes = 64;

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

struct Axis {
  int64_t size, x, y;  // x, y: strides
};

struct Walk {
  int n = 0;
  Axis axis[kMaxAxes];  // by falling stride of y
  int64_t x0 = 0, y0 = 0;

  int64_t count() const {
    int64_t c = 1;
    for (int a = 0; a < n; ++a) c *= axis[a].size;
    return c;
  }
  // Where the i-th index of these axes is.
  void at(int64_t i, int64_t* x, int64_t* y) const {
    *x = x0;
    *y = y0;
    for (int a = n - 1; a >= 0; --a) {
      const int64_t k = a ? i % axis[a].size : i;
      *x += k * axis[a].x;
      *y += k * axis[a].y;
      i /= axis[a].size;
    }
  }
  Axis take(int a) {
    const Axis taken = axis[a];
    for (; a + 1 < n; ++a) axis[a] = axis[a + 1];
    --n;
    return taken;
  }
};

Walk make_walk(const View& x, const View& y) {
  Walk w;
  for (int a = 0; a < y.ndim; ++a) {
    Axis axis{y.shape[a], x.strides[a], y.strides[a]};
    if (axis.size == 1) continue;
    if (axis.y < 0) {  // walked from its other end
      w.x0 += (axis.size - 1) * axis.x;
      w.y0 += (axis.size - 1) * axis.y;
      axis.x = -axis.x;
      axis.y = -axis.y;
    }
    int to = w.n++;
    for (; to > 0 && w.axis[to - 1].y < axis.y; --to) w.axis[to] = w.axis[to - 1];
    w.axis[to] = axis;
  }
  return w;
}

// ---- lines

template <class T>
inline void copy_line(const T* __restrict x, int64_t dx, T* __restrict y, int64_t dy, int64_t n) {
  if (dx == 1 && dy == 1) {
    if (n * static_cast<int64_t>(sizeof(T)) >= kCallBytes) {
      std::memcpy(y, x, static_cast<size_t>(n) * sizeof(T));
    } else {
      for (int64_t i = 0; i < n; ++i) y[i] = x[i];
    }
  } else if (dy == 1 && dx == 0) {
    const T value = *x;
    for (int64_t i = 0; i < n; ++i) y[i] = value;
  } else if (dy == 1 && dx == -1) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[-i];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * dy] = x[i * dx];
  }
}

// `rows` lines of so many bytes; the compiler makes a few vectors of each.
template <int bytes>
inline void copy_short(const char* x, int64_t dx, char* y, int64_t dy, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) std::memcpy(y + i * dy, x + i * dx, bytes);
}

template <class T>
inline void copy_lines(const T* x, int64_t dx, T* y, int64_t dy, const Axis& inner, int64_t rows) {
  constexpr int64_t size = sizeof(T);
  const char* from = reinterpret_cast<const char*>(x);
  char* to = reinterpret_cast<char*>(y);
  switch (inner.x == 1 && inner.y == 1 ? inner.size * size : 0) {
    case 16:
      return copy_short<16>(from, dx * size, to, dy * size, rows);
    case 32:
      return copy_short<32>(from, dx * size, to, dy * size, rows);
    case 64:
      return copy_short<64>(from, dx * size, to, dy * size, rows);
    case 128:
      return copy_short<128>(from, dx * size, to, dy * size, rows);
    default:
      for (int64_t i = 0; i < rows; ++i) copy_line(x + i * dx, inner.x, y + i * dy, inner.y, inner.size);
  }
}

template <class T>
void move_lines(Walk w, const T* x, T* y) {
  const Axis inner = w.n ? w.take(w.n - 1) : Axis{1, 1, 1};
  const Axis row = w.n ? w.take(w.n - 1) : Axis{1, 0, 0};
  const int64_t outer = w.count();
  if (outer * row.size == 1)
    return parallel_for(inner.size, 1, [&](int64_t begin, int64_t end) {
      copy_line(x + w.x0 + begin * inner.x, inner.x, y + w.y0 + begin * inner.y, inner.y, end - begin);
    });
  parallel_for(outer * row.size, inner.size + 2, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t r = begin % row.size, rows = least(row.size - r, end - begin);
      int64_t dx, dy;
      w.at(begin / row.size, &dx, &dy);
      copy_lines(x + dx + r * row.x, row.x, y + dy + r * row.y, row.y, inner, rows);
      begin += rows;
    }
  });
}

// ---- transposes: j runs along the inner axis of y, i along that of x

template <class T>
struct Eight {
  typedef T V __attribute__((vector_size(8 * sizeof(T))));
};

template <class T>
inline void turn_eight(const T* x, int64_t dx, T* y, int64_t dy) {
  using V = typename Eight<T>::V;
  V v[8], u[8];
  for (int k = 0; k < 8; ++k) std::memcpy(&v[k], x + k * dx, sizeof(V));
  for (int round = 0; round < 3; ++round) {
    for (int k = 0; k < 4; ++k) {
      u[2 * k] = __builtin_shufflevector(v[k], v[k + 4], 0, 8, 1, 9, 2, 10, 3, 11);
      u[2 * k + 1] = __builtin_shufflevector(v[k], v[k + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    for (int k = 0; k < 8; ++k) v[k] = u[k];
  }
  for (int k = 0; k < 8; ++k) std::memcpy(y + k * dy, &v[k], sizeof(V));
}

template <class T>
inline void turn_block(const T* x, int64_t dx, T* y, int64_t dy, int64_t rows, int64_t columns) {
  int64_t i = 0;
  for (; i + 8 <= rows; i += 8) {
    int64_t j = 0;
    for (; j + 8 <= columns; j += 8) turn_eight(x + j * dx + i, dx, y + i * dy + j, dy);
    for (; j < columns; ++j)
      for (int64_t k = i; k < i + 8; ++k) y[k * dy + j] = x[j * dx + k];
  }
  for (; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) y[i * dy + j] = x[j * dx + i];
}

template <class T>
void transpose(Walk w, int close, const T* x, T* y) {
  constexpr int64_t block = kLineBytes / sizeof(T);
  const Axis column = w.take(w.n - 1);  // y lies close
  const Axis row = w.take(close);       // x lies close
  const int64_t down = ceil_div(row.size, kTile), across = ceil_div(column.size, kTile), tiles = down * across;
  const int64_t work = 2 * least(row.size, kTile) * least(column.size, kTile);
  parallel_for(w.count() * tiles, work, [&](int64_t id, int64_t end) {
    for (; id < end; ++id) {
      const int64_t i0 = id % tiles / across * kTile, j0 = id % across * kTile;
      const int64_t rows = least(kTile, row.size - i0), columns = least(kTile, column.size - j0);
      int64_t dx, dy;
      w.at(id / tiles, &dx, &dy);
      const T* from = x + dx + i0 + j0 * column.x;
      T* to = y + dy + i0 * row.y + j0;
      for (int64_t j = 0; j < columns; j += block)
        for (int64_t i = 0; i < rows; i += block)
          turn_block(from + i + j * column.x, column.x, to + i * row.y + j, row.y, least(block, rows - i),
                     least(block, columns - j));
    }
  });
}

template <class T>
void move_as(const View& x, const View& y) {
  const Walk w = make_walk(x, y);
  const Axis inner = w.n ? w.axis[w.n - 1] : Axis{1, 1, 1};
  int close = -1;
  for (int a = 0; a + 1 < w.n; ++a)
    if (w.axis[a].x == 1) close = a;
  const bool turned = close >= 0 && inner.y == 1 && distance(inner.x) > 1;
  if (turned && w.axis[close].size >= 4 && inner.size >= 4) return transpose(w, close, x.as<const T>(), y.as<T>());
  move_lines(w, x.as<const T>(), y.as<T>());
}

}  // namespace

void move(View x, View y) {
  if (y.numel() == 0) return;
  switch (y.dtype) {
    case Dtype::b8:
    case Dtype::u8:
      return move_as<uint8_t>(x, y);
    case Dtype::f16:
    case Dtype::bf16:
      return move_as<uint16_t>(x, y);
    case Dtype::i32:
    case Dtype::f32:
      return move_as<uint32_t>(x, y);
    case Dtype::i64:
    case Dtype::f64:
      return move_as<uint64_t>(x, y);
  }
}

}  // namespace pydl::PYDL_ISA
