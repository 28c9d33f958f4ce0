// Batch normalisation of (rows, channels): a channel's elements lie a row apart, so rows are read in their order, by
// blocks that stay in the second level cache, and all channels of a strip go along.
//
// The statistics of blocks are joined as in Chan, Golub, LeVeque: Updating formulae for computing sample variances
// (1979), block after block. Blocks depend on the shape alone.
#pragma once

#include "kernels/norm.h"
#include "runtime/parallel.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kStrip = 512, kBlock = 32768, kMostBlocks = 64;  // channels, elements, blocks
constexpr int kColumnsSlot = 0;

inline int64_t parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

struct Columns {
  int64_t rows, channels, strips, blocks, height;
  Columns(int64_t rows, int64_t channels) : rows(rows), channels(channels), strips(parts_of(channels, kStrip)) {
    const int64_t width = channels < kStrip ? channels : kStrip;
    const int64_t fits = kBlock / (width ? width : 1), least = parts_of(rows, kMostBlocks);
    height = fits > least ? fits : least;
    blocks = parts_of(rows, height);
  }

  int64_t width_at(int64_t strip) const {
    const int64_t left = channels - strip * kStrip;
    return left < kStrip ? left : kStrip;
  }
  int64_t height_at(int64_t block) const {
    const int64_t left = rows - block * height;
    return left < height ? left : height;
  }

  // f(block, its first row, its rows, first channel, channels) for each piece, from several threads.
  template <class F>
  void each_piece(int64_t cost, const F& f) const {
    parallel_for(blocks * strips, cost * height * (channels < kStrip ? channels : kStrip), [&](int64_t i, int64_t end) {
      for (; i < end; ++i) {
        const int64_t block = i / strips, strip = i % strips;
        f(block, block * height, height_at(block), strip * kStrip, width_at(strip));
      }
    });
  }
};

// total[j] = the sum over rows of term(row, j, count).
template <class C, class F>
void sum_columns(int64_t rows, int64_t width, C* total, const F& term) {
  each_vector_of<C>(width, [&](int64_t j, int64_t k) { store_some(total + j, Vec<C>(), k); });
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    each_vector_of<C>(width, [&](int64_t j, int64_t k) {
      const Vec<C> four = (term(r, j, k) + term(r + 1, j, k)) + (term(r + 2, j, k) + term(r + 3, j, k));
      store_some(total + j, load_some<C>(total + j, k) + four, k);
    });
  for (; r < rows; ++r)
    each_vector_of<C>(
        width, [&](int64_t j, int64_t k) { store_some(total + j, load_some<C>(total + j, k) + term(r, j, k), k); });
}

// y[r, j] = term(row, j, count), rows `stride` apart
template <class C, class T, class F>
void write_columns(int64_t rows, int64_t width, int64_t stride, T* y, const F& term) {
  for (int64_t r = 0; r < rows; ++r)
    each_vector_of<C>(width, [&](int64_t j, int64_t k) { store_some(y + r * stride + j, term(r, j, k), k); });
}

// The mean and the sum of the squares of what is left, of each column of a block. The first row is taken off, so that
// equal numbers have exactly their own mean.
template <class C, class T>
void block_statistics(const T* x, int64_t rows, int64_t width, int64_t stride, C* mean, C* squares) {
  sum_columns<C>(rows, width, mean, [&](int64_t r, int64_t j, int64_t k) {
    return load_some<C>(x + r * stride + j, k) - load_some<C>(x + j, k);
  });
  const Vec<C> share(C(1) / static_cast<C>(rows));
  each_vector_of<C>(width, [&](int64_t j, int64_t k) {
    store_some(mean + j, fma(load_some<C>(mean + j, k), share, load_some<C>(x + j, k)), k);
  });
  sum_columns<C>(rows, width, squares, [&](int64_t r, int64_t j, int64_t k) {
    const Vec<C> d = load_some<C>(x + r * stride + j, k) - load_some<C>(mean + j, k);
    return d * d;
  });
}

// Joins the statistics of `more` rows to those of the `rows` before.
template <class C>
void join_statistics(int64_t rows, int64_t more, int64_t width, const C* mean_more, const C* squares_more, C* mean,
                     C* squares) {
  const C share = static_cast<C>(more) / static_cast<C>(rows + more);
  each_vector_of<C>(width, [&](int64_t j, int64_t k) {
    const Vec<C> m = load_some<C>(mean + j, k), apart = load_some<C>(mean_more + j, k) - m;
    const Vec<C> both = load_some<C>(squares + j, k) + load_some<C>(squares_more + j, k);
    store_some(mean + j, fma(apart, Vec<C>(share), m), k);
    store_some(squares + j, fma(apart * apart, Vec<C>(share * static_cast<C>(rows)), both), k);
  });
}

// The mean and the variance of each column.
template <class C, class T>
void column_statistics(const Columns& l, const T* x, C* mean, C* var) {
  C* part = static_cast<C*>(scratch(kColumnsSlot, sizeof(C) * static_cast<size_t>(2 * l.blocks * l.channels)));
  l.each_piece(2, [&](int64_t block, int64_t row, int64_t rows, int64_t c, int64_t width) {
    C* to = part + 2 * block * l.channels + c;
    block_statistics(x + row * l.channels + c, rows, width, l.channels, to, to + l.channels);
  });
  for (int64_t c = 0; c < l.channels; ++c) mean[c] = var[c] = 0;
  for (int64_t block = 0; block < l.blocks; ++block) {
    const C* from = part + 2 * block * l.channels;
    join_statistics(block * l.height, l.height_at(block), l.channels, from, from + l.channels, mean, var);
  }
  for (int64_t c = 0; c < l.channels; ++c) var[c] /= static_cast<C>(l.rows);
}

// y = (x - mean) scale + shift, column by column; without a mean, y = x scale + shift
template <class C, class T>
void write_affine(const Columns& l, const T* x, const C* mean, const C* scale, const C* shift, T* y) {
  l.each_piece(1, [&](int64_t, int64_t row, int64_t rows, int64_t c, int64_t width) {
    const T* from = x + row * l.channels + c;
    const auto write = [&](const auto& centred) {
      write_columns<C>(rows, width, l.channels, y + row * l.channels + c, [&](int64_t r, int64_t j, int64_t k) {
        const Vec<C> v = centred(load_some<C>(from + r * l.channels + j, k), c + j, k);
        return fma(v, load_some<C>(scale + c + j, k), load_some<C>(shift + c + j, k));
      });
    };
    if (mean)
      write([&](Vec<C> v, int64_t i, int64_t k) { return v - load_some<C>(mean + i, k); });
    else
      write([](Vec<C> v, int64_t, int64_t) { return v; });
  });
}

// plain = the sum of g, product = that of g (x - mean), for each column.
template <class C, class T>
void column_products(const Columns& l, const T* g, const T* x, const C* mean, C* plain, C* product) {
  C* part = static_cast<C*>(scratch(kColumnsSlot, sizeof(C) * static_cast<size_t>(2 * l.blocks * l.channels)));
  l.each_piece(2, [&](int64_t block, int64_t row, int64_t rows, int64_t c, int64_t width) {
    const T *gp = g + row * l.channels + c, *xp = x + row * l.channels + c;
    C* to = part + 2 * block * l.channels + c;
    const auto g_at = [&](int64_t r, int64_t j, int64_t k) { return load_some<C>(gp + r * l.channels + j, k); };
    sum_columns<C>(rows, width, to, g_at);
    sum_columns<C>(rows, width, to + l.channels, [&](int64_t r, int64_t j, int64_t k) {
      return g_at(r, j, k) * (load_some<C>(xp + r * l.channels + j, k) - load_some<C>(mean + c + j, k));
    });
  });
  sum_columns<C>(l.blocks, l.channels, plain, [&](int64_t block, int64_t j, int64_t k) {
    return load_some<C>(part + 2 * block * l.channels + j, k);
  });
  sum_columns<C>(l.blocks, l.channels, product, [&](int64_t block, int64_t j, int64_t k) {
    return load_some<C>(part + (2 * block + 1) * l.channels + j, k);
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA
