// Forward: a block of queries stays in the second level cache while blocks of keys pass by. Within a block, a tile of
// queries as high as the micro-kernel's multiplies all the keys, its scores become weights in the first level cache,
// and multiply the values. Source: Dao et al. 2022 (arXiv:2205.14135), algorithm 1; Dao 2023 (arXiv:2307.08691).
#pragma once

#include <cmath>

#include "kernels/attention/exp_row.h"
#include "kernels/attention/operands.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kQueryRows = 288;   // of a block: packing its keys and values costs 4 % of the products
constexpr int64_t kKeyColumns = 512;  // of a block: a tile of scores is 28 KiB (avx512)

template <class S, class T>
struct Forward : Call<T> {
  Heads<const S> q, k, v;
  Heads<S> y;
  T* lse;

  Forward(const AttentionSpec& spec, const View& q, const View& k, const View& v, const View& mask, const View& lengths,
          const View& rng, const View& y, const View& lse)
      : Call<T>(spec, q, k, v, mask, lengths, rng), q(q), k(k), v(v), y(y), lse(lse.as<T>()) {}
};

// A block of queries: their rows of q, scaled; the sums; and the keys and values of the moment.
template <class T>
struct Block {
  int64_t b, h, t, rows, s, n;  // queries t .. t + rows, keys s .. s + n
  T *q, *sums, *keys, *values, *scores, *line;
  int64_t sums_row, scores_row;
  Running<T>* running;
  uint32_t* words;
};

template <class S, class T>
Block<T> open_block(const Forward<S, T>& c, int64_t b, int64_t h, int64_t t, int64_t rows) {
  const int64_t n = even_blocks(c.keys, kKeyColumns, Tiling<T>::kCols);
  Block<T> x{b, h, t, rows, 0, n, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0, n, nullptr, nullptr};
  x.sums_row = round_up(c.value_width, Vec<T>::N);
  x.q = room<T>(kQuerySlot, rows * (c.width + x.sums_row));
  x.sums = x.q + rows * c.width;
  x.keys = room<T>(kKeySlot, panels_room<T>(c.width, n) + panels_room<T>(n, c.value_width));
  x.values = x.keys + panels_room<T>(c.width, n);
  x.scores = room<T>(kTileSlot, (Tiling<T>::kRows + 1) * n);
  x.line = x.scores + Tiling<T>::kRows * n;
  x.running = static_cast<Running<T>*>(scratch(kRowSlot, sizeof(Running<T>) * static_cast<size_t>(rows)));
  if (c.drops.on) x.words = static_cast<uint32_t*>(scratch(kLineSlot, sizeof(uint32_t) * (Drops::room(n) + 64)));
  for (int64_t i = 0; i < rows; ++i) {
    const S* from = c.q.at(b, h, t + i);
    for (int64_t d = 0; d < c.width; ++d) x.q[i * c.width + d] = widen<T>(from[d]) * static_cast<T>(c.spec.scale);
    x.running[i] = {kHidden<T>, 0};
  }
  clear(x.sums, rows * x.sums_row);
  return x;
}

// The weights of row i of a tile, for keys `seen` of the tile's columns `all`, in place of the scores.
template <class S, class T>
void weigh_row(const Forward<S, T>& c, const Block<T>& x, int64_t i, Range all, Range seen, T* scores) {
  clear(scores + all.begin, seen.begin - all.begin);
  clear(scores + seen.end, all.end - seen.end);
  const int64_t n = seen.end - seen.begin;
  if (n <= 0) return;
  T* row = scores + seen.begin;
  if (c.mask.present()) add_in_place(row, c.mask.row(x.b, x.h, x.t + i, x.s + seen.begin, n, x.line), n);
  const T shrink = take(x.running[i], row, n);
  if (shrink != T(1)) scale_all(x.sums + i * x.sums_row, c.value_width, shrink);
  if (!c.drops.on) return;
  c.drops.words(c.row(x.b, x.h, x.t + i), x.s + all.begin, all.end - all.begin, x.words);
  for (int64_t j = all.begin; j < all.end; ++j) scores[j] = c.drops.drop(x.words[j - all.begin]) ? T(0) : scores[j];
}

// Rows i .. i + r of the block against its keys.
template <class S, class T>
void attend_tile(const Forward<S, T>& c, const Block<T>& x, int64_t i, int64_t r, int64_t length) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const Range all = c.keys_seen(x.t + i, r, length).within({x.s, x.s + x.n});
  if (all.empty()) return;
  const Range columns{(all.begin - x.s) / panel * panel, all.end - x.s};
  for (int64_t j = columns.begin; j < columns.end; j += panel) {
    const int64_t cols = least(panel, columns.end - j);
    micro_kernel<T>(r, cols)(c.width, x.q + i * c.width, c.width, 1, x.keys + j * c.width, panel_width<T>(j, x.n), cols,
                             into(x.scores + j, x.scores_row, T(1), T(0)));
  }
  for (int64_t l = 0; l < r; ++l) {
    const Range seen = c.keys_seen(x.t + i + l, 1, length).within(all);
    weigh_row(c, x, i + l, columns, {seen.begin - x.s, seen.end - x.s}, x.scores + l * x.scores_row);
  }
  for (int64_t j = 0; j < c.value_width; j += panel) {
    const int64_t cols = least(panel, c.value_width - j), width = panel_width<T>(j, c.value_width);
    micro_kernel<T>(r, cols)(columns.end - columns.begin, x.scores + columns.begin, x.scores_row, 1,
                             x.values + j * x.n + columns.begin * width, width, cols,
                             into(x.sums + i * x.sums_row + j, x.sums_row, T(1), T(1)));
  }
}

template <class S, class T>
void close_row(const Forward<S, T>& c, int64_t b, int64_t h, int64_t t, const Running<T>& row, const T* sums) {
  const bool nothing = row.sum == T(0);  // every key is hidden
  const Vec<T> by(static_cast<T>(c.drops.scale) / row.sum);
  S* to = c.y.at(b, h, t);
  for (int64_t e = 0; e < c.value_width; e += Vec<T>::N) {
    const int64_t n = least(Vec<T>::N, c.value_width - e);
    store(to + e, nothing ? Vec<T>() : load<T>(sums + e, n) * by, n);
  }
  if (c.lse) c.lse[c.row(b, h, t)] = nothing ? std::numeric_limits<T>::infinity() : row.max + std::log(row.sum);
}

template <class S, class T>
void attend_block(const Forward<S, T>& c, int64_t b, int64_t h, int64_t t, int64_t rows) {
  const int64_t length = c.length(b), tile = even_rows<T>(rows), kv = h / c.group;
  Block<T> x = open_block(c, b, h, t, rows);
  const Range all = c.keys_seen(t, rows, length);
  const int64_t step = x.n;
  for (x.s = all.begin / step * step; x.s < all.end; x.s += step) {
    x.n = least(step, all.end - x.s);
    pack_transposed(c.k.at(b, kv, x.s), c.k.row, x.n, c.width, x.keys);
    pack_panels(c.v.at(b, kv, x.s), c.v.row, x.n, c.value_width, x.values);
    for (int64_t i = 0; i < rows; i += tile) attend_tile(c, x, i, least(tile, rows - i), length);
  }
  for (int64_t i = 0; i < rows; ++i) close_row(c, b, h, t + i, x.running[i], x.sums + i * x.sums_row);
}

template <class S, class T>
void attend(const Forward<S, T>& c) {
  const int64_t rows = even_blocks(c.queries, kQueryRows, 1), blocks = ceil_div(c.queries, rows);
  const double macs = static_cast<double>(rows) * c.keys * (c.width + c.value_width);
  parallel_for(c.batch * c.heads * blocks, static_cast<int64_t>(macs / 8) + rows, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / blocks, t = item % blocks * rows;
      attend_block(c, head / c.heads, head % c.heads, t, least(rows, c.queries - t));
    }
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA
