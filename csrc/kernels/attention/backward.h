// Backward: the weights are computed again, tile by tile, from the scores and each row's log-sum-exp. Tiles lie with
// the keys as rows: then softmax works on whole vectors of queries, and of the five products only that for the gradient
// of q reads a tile across. With p the weights, D the sums over g y:
//   dv = p^T g      dp = g v^T      ds = p (dp - D)      dq = scale ds k      dk = scale ds^T q
// A work item is a head of keys, or for few heads a part of its keys, whose share of dq is then summed in order.
// Source: Dao 2023 (arXiv:2307.08691), algorithm 2.
#pragma once

#include "kernels/attention/exp_row.h"
#include "kernels/attention/operands.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kKeyRows = 288, kQueryColumns = 128;  // of a tile: two of them are 288 KiB

// Rows that sums gather in: those of an array, or of a buffer.
template <class T>
struct Strip {
  T* p;
  int64_t row;

  Strip from(int64_t i) const { return {p + i * row, row}; }
};

template <class S, class T>
struct Backward : Call<T> {
  Heads<const S> g, q, k, v, y;
  Heads<S> gq, gk, gv;
  const T* lse;
  T* part;
  int64_t parts;

  Backward(const AttentionSpec& spec, const View& g, const View& q, const View& k, const View& v, const View& mask,
           const View& lengths, const View& rng, const View& y, const View& lse, const View& part, const View& gq,
           const View& gk, const View& gv)
      : Call<T>(spec, q, k, v, mask, lengths, rng),
        g(g),
        q(q),
        k(k),
        v(v),
        y(y),
        gq(gq),
        gk(gk),
        gv(gv),
        lse(lse.as<const T>()),
        part(part.as<T>()),
        parts(part.present() ? part.shape[0] : 1) {}

  static constexpr bool kDirect = std::is_same_v<S, T>;  // gk and gv gather where they are wanted

  // Where the sums of one head's gradient of q go.
  Strip<T> query_sums(int64_t index, int64_t b, int64_t h) const {
    if (part) return {part + ((index * this->batch + b) * this->heads + h) * this->queries * this->width, this->width};
    if constexpr (kDirect) return {gq.at(b, h, 0), gq.row};
    return {nullptr, 0};
  }
};

// The queries of one head, packed: transposed, and as factors of sums over queries.
template <class T>
struct QuerySide {
  T *q_across, *g_across, *q, *g, *lse, *delta;
};

template <class S, class T>
QuerySide<T> open_queries(const Backward<S, T>& c, int64_t b, int64_t h) {
  const int64_t t = c.queries, d = c.width, e = c.value_width;
  const int64_t across = panels_room<T>(1, t), d_room = panels_room<T>(t, d), e_room = panels_room<T>(t, e);
  QuerySide<T> x{};
  x.q_across = room<T>(kQuerySlot, across * (d + e + 2) + d_room + e_room);
  x.g_across = x.q_across + across * d;
  x.q = x.g_across + across * e;
  x.g = x.q + d_room;
  x.lse = x.g + e_room;
  x.delta = x.lse + across;
  pack_transposed(c.q.at(b, h, 0), c.q.row, t, d, x.q_across);
  pack_transposed(c.g.at(b, h, 0), c.g.row, t, e, x.g_across);
  pack_panels(c.q.at(b, h, 0), c.q.row, t, d, x.q);
  pack_panels(c.g.at(b, h, 0), c.g.row, t, e, x.g);
  scale_all(x.q_across, across * d, static_cast<T>(c.spec.scale));
  scale_all(x.q, d_room, static_cast<T>(c.spec.scale));
  for (int64_t i = 0; i < t; ++i) {
    const S *g = c.g.at(b, h, i), *y = c.y.at(b, h, i);
    T sum = 0;
    for (int64_t j = 0; j < e; ++j) sum += widen<T>(g[j]) * widen<T>(y[j]);
    x.delta[i] = sum;
    x.lse[i] = c.lse[c.row(b, h, i)];
  }
  return x;
}

// A block of keys of one head, and where its gradients gather.
template <class T>
struct KeySide {
  int64_t s, n;
  Strip<const T> k, v;
  T* k_panels;
  Strip<T> gk, gv;
};

// Rows of memory as the micro-kernel reads them: in place, or widened to `to`.
template <class S, class T>
Strip<const T> rows_of(const S* from, int64_t row, int64_t n, int64_t width, T* to) {
  if constexpr (std::is_same_v<S, T>) {
    return {from, row};
  } else {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < width; ++j) to[i * width + j] = widen<T>(from[i * row + j]);
    return {to, width};
  }
}

template <class S, class T>
KeySide<T> open_keys(const Backward<S, T>& c, int64_t b, int64_t kv, int64_t s, int64_t n, Strip<T> gk, Strip<T> gv) {
  T* own = room<T>(kKeySlot, panels_room<T>(n, c.width) + n * (c.width + c.value_width));
  T* rows = own + panels_room<T>(n, c.width);
  pack_panels(c.k.at(b, kv, s), c.k.row, n, c.width, own);
  const Strip<const T> k = rows_of(c.k.at(b, kv, s), c.k.row, n, c.width, rows);
  const Strip<const T> v = rows_of(c.v.at(b, kv, s), c.v.row, n, c.value_width, rows + n * c.width);
  return {s, n, k, v, own, gk, gv};
}

// Queries t .. t + m against keys s .. s + n: the weights and the gradients of the scores, key by key.
template <class T>
struct Square {
  int64_t b, h, t, m, length, row;  // row: from key to key
  T *weights, *slopes, *mask, *kept;
};

// The queries of the square that see one of its keys j .. j + n, from its first.
template <class T>
Range seeing(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, int64_t j, int64_t n) {
  const Range all = c.queries_seeing(keys.s + j, n).within({x.t, x.t + x.m});
  return {all.begin - x.t, all.end - x.t};
}

// to (n, m) = rows (n, depth) times panels (depth, m), where something is seen.
template <class T>
void multiply_seen(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, Strip<const T> rows, int64_t depth,
                   const T* panels, T* to) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const int64_t tile = even_rows<T>(keys.n);
  for (int64_t i = 0; i < x.m; i += panel) {
    const int64_t cols = least(panel, x.m - i), width = panel_width<T>(x.t + i, c.queries);
    for (int64_t j = 0; j < keys.n; j += tile) {
      const int64_t n = least(tile, keys.n - j);
      if (seeing(c, x, keys, j, n).within({i, i + cols}).empty()) continue;
      micro_kernel<T>(n, cols)(depth, rows.p + j * rows.row, rows.row, 1, panels + (x.t + i) * depth, width, cols,
                               into(to + j * x.row + i, x.row, T(1), T(0)));
    }
  }
}

// sums (keys) += tile^T times panels (queries, columns).
template <class T>
void sum_over_queries(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, const T* tile_of, const T* panels,
                      int64_t columns, Strip<T> sums) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const int64_t tile = even_rows<T>(keys.n);
  for (int64_t e = 0; e < columns; e += panel) {
    const int64_t cols = least(panel, columns - e), width = panel_width<T>(e, columns);
    const T* factor = panels + e * c.queries + x.t * width;
    for (int64_t j = 0; j < keys.n; j += tile) {
      const int64_t n = least(tile, keys.n - j);
      const Range q = seeing(c, x, keys, j, n);
      if (q.empty()) continue;
      micro_kernel<T>(n, cols)(q.end - q.begin, tile_of + j * x.row + q.begin, x.row, 1, factor + q.begin * width,
                               width, cols, into(sums.p + j * sums.row + e, sums.row, T(1), T(1)));
    }
  }
}

// sums (queries) += scale * tile times keys.
template <class T>
void sum_over_keys(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, Strip<T> sums) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const int64_t tile = even_rows<T>(x.m);
  for (int64_t d = 0; d < c.width; d += panel) {
    const int64_t cols = least(panel, c.width - d), width = panel_width<T>(d, c.width);
    for (int64_t i = 0; i < x.m; i += tile) {
      const int64_t m = least(tile, x.m - i);
      const Range seen = c.keys_seen(x.t + i, m, x.length).within({keys.s, keys.s + keys.n});
      if (seen.empty()) continue;
      const int64_t j = seen.begin - keys.s;
      micro_kernel<T>(m, cols)(seen.end - seen.begin, x.slopes + j * x.row + i, 1, x.row,
                               keys.k_panels + d * keys.n + j * width, width, cols,
                               into(sums.p + (x.t + i) * sums.row + d, sums.row, static_cast<T>(c.spec.scale), T(1)));
    }
  }
}

// Calls f(key, its row in a tile, the queries that see it).
template <class T, class F>
void each_key(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, const F& f) {
  for (int64_t j = 0; j < keys.n; ++j) f(j, j * x.row, seeing(c, x, keys, j, 1));
}

template <class T>
void clear_outside(T* row, Range kept, int64_t m) {
  clear(row, kept.begin);
  clear(row + kept.end, m - kept.end);
}

// mask and kept (n, m): what rows over keys say, turned.
template <class T>
void turn(const Square<T>& x, const KeySide<T>& keys, const T* rows, T* to) {
  pack(rows, keys.n, int64_t{1}, x.m, keys.n, x.row, to);
}

template <class T>
void fill_extras(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, T* rows) {
  if (c.mask.present()) {
    T* line = rows + x.m * keys.n;
    for (int64_t i = 0; i < x.m; ++i) {
      const T* from = c.mask.row(x.b, x.h, x.t + i, keys.s, keys.n, line);
      for (int64_t j = 0; j < keys.n; ++j) rows[i * keys.n + j] = from[j];
    }
    turn(x, keys, rows, x.mask);
  }
  if (!c.drops.on) return;
  uint32_t* words = static_cast<uint32_t*>(scratch(kLineSlot, sizeof(uint32_t) * (Drops::room(keys.n) + 64)));
  const T scale = static_cast<T>(c.drops.scale);
  for (int64_t i = 0; i < x.m; ++i) {
    c.drops.words(c.row(x.b, x.h, x.t + i), keys.s, keys.n, words);
    for (int64_t j = 0; j < keys.n; ++j) rows[i * keys.n + j] = c.drops.drop(words[j]) ? T(0) : scale;
  }
  turn(x, keys, rows, x.kept);
}

// Scores become weights; the ones that dropout leaves go to slopes, for the product with g.
template <class T>
void weigh(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, const T* lse) {
  constexpr int64_t N = Vec<T>::N;
  each_key(c, x, keys, [&](int64_t, int64_t at, Range seen) {
    T* p = x.weights + at;
    clear_outside(p, seen, x.m);
    for (int64_t i = seen.begin; i < seen.end; i += N) {
      const int64_t n = least(N, seen.end - i);
      Vec<T> s = load<T>(p + i, n);
      if (c.mask.present()) s += load<T>(x.mask + at + i, n);
      store(p + i, exp_below_1(s - load<T>(lse + x.t + i, n)), n);
    }
    if (!c.drops.on) return;
    for (int64_t i = 0; i < x.m; i += N) {
      const int64_t n = least(N, x.m - i);
      store(x.slopes + at + i, load<T>(p + i, n) * load<T>(x.kept + at + i, n), n);
    }
  });
}

// Gradients of the weights become those of the scores.
template <class T>
void slope(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, const T* delta) {
  constexpr int64_t N = Vec<T>::N;
  each_key(c, x, keys, [&](int64_t, int64_t at, Range seen) {
    const T* p = x.weights + at;
    T* s = x.slopes + at;
    clear_outside(s, seen, x.m);
    for (int64_t i = seen.begin; i < seen.end; i += N) {
      const int64_t n = least(N, seen.end - i);
      Vec<T> dp = load<T>(s + i, n);
      if (c.drops.on) dp = dp * load<T>(x.kept + at + i, n);
      store(s + i, load<T>(p + i, n) * (dp - load<T>(delta + x.t + i, n)), n);
    }
  });
}

template <class T>
void square_grad(const Call<T>& c, const Square<T>& x, const KeySide<T>& keys, const QuerySide<T>& queries,
                 Strip<T> query_sums, T* rows) {
  fill_extras(c, x, keys, rows);
  multiply_seen(c, x, keys, keys.k, c.width, queries.q_across, x.weights);
  weigh(c, x, keys, queries.lse);
  sum_over_queries(c, x, keys, c.drops.on ? x.slopes : x.weights, queries.g, c.value_width, keys.gv);
  multiply_seen(c, x, keys, keys.v, c.value_width, queries.g_across, x.slopes);
  slope(c, x, keys, queries.delta);
  sum_over_queries(c, x, keys, x.slopes, queries.q, c.width, keys.gk);
  sum_over_keys(c, x, keys, query_sums);
}

// Keys `all` of one head, against the queries of head h; gk and gv begin at the first of the keys.
template <class S, class T>
void head_grad(const Backward<S, T>& c, int64_t b, int64_t h, Range all, Strip<T> sums, Strip<T> gk, Strip<T> gv) {
  const int64_t m = even_blocks(c.queries, kQueryColumns, Tiling<T>::kCols), step = even_blocks(c.keys, kKeyRows, 4);
  const bool turned = c.mask.present() || c.drops.on;
  const QuerySide<T> queries = open_queries(c, b, h);
  T* tiles = room<T>(kTileSlot, m * step * (2 + (c.mask.present() ? 1 : 0) + (c.drops.on ? 1 : 0)));
  T* rows = turned ? room<T>(kRowSlot, (m + 1) * step) : nullptr;
  T* kept = tiles + 2 * m * step;
  for (int64_t i = 0; i < c.queries; ++i) clear(sums.p + i * sums.row, c.width);
  const int64_t length = least(c.length(b), all.end);
  for (int64_t s = all.begin; s < length; s += step) {
    const KeySide<T> keys =
        open_keys(c, b, h / c.group, s, least(step, length - s), gk.from(s - all.begin), gv.from(s - all.begin));
    const Range seeing = c.queries_seeing(s, keys.n);
    for (int64_t t = seeing.begin / m * m; t < seeing.end; t += m)
      square_grad(c,
                  {b, h, t, least(m, c.queries - t), length, m, tiles, tiles + m * step,
                   kept + (c.drops.on ? m * step : 0), kept},
                  keys, queries, sums, rows);
  }
}

template <class S, class T>
void empty_rows(Strip<const T> from, const Heads<S>& to, int64_t b, int64_t h, Range rows, int64_t width) {
  for (int64_t i = rows.begin; i < rows.end; ++i)
    for (int64_t j = 0; j < width; ++j) to.at(b, h, i)[j] = narrow<S>(from.from(i - rows.begin).p[j]);
}

// One work item: part `index` of the keys of one head.
template <class S, class T>
void keys_grad(const Backward<S, T>& c, int64_t b, int64_t kv, int64_t index) {
  const int64_t blocks = ceil_div(c.keys, kKeyRows), each = even_blocks(c.keys, kKeyRows, 4);
  const Range all = Range{blocks * index / c.parts * each, blocks * (index + 1) / c.parts * each}.within({0, c.keys});
  Strip<T> gk{nullptr, c.width}, gv{nullptr, c.value_width};
  if constexpr (Backward<S, T>::kDirect) {
    gk = {c.gk.at(b, kv, all.begin), c.gk.row};
    gv = {c.gv.at(b, kv, all.begin), c.gv.row};
  } else {
    gk.p = room<T>(kSumSlot, (all.end - all.begin) * (c.width + c.value_width));
    gv.p = gk.p + (all.end - all.begin) * c.width;
  }
  for (int64_t i = 0; i < all.end - all.begin; ++i) {
    clear(gk.from(i).p, c.width);
    clear(gv.from(i).p, c.value_width);
  }
  for (int64_t h = kv * c.group; h < (kv + 1) * c.group; ++h)
    head_grad(c, b, h, all, c.query_sums(index, b, h), gk, gv);
  if constexpr (!Backward<S, T>::kDirect) {
    empty_rows<S, T>({gk.p, gk.row}, c.gk, b, kv, all, c.width);
    empty_rows<S, T>({gv.p, gv.row}, c.gv, b, kv, all, c.value_width);
  }
}

// gq from the parts, in order.
template <class S, class T>
void join_parts(const Backward<S, T>& c) {
  const int64_t rows = c.batch * c.heads * c.queries, all = rows * c.width;
  parallel_for(rows, c.parts * c.width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t head = row / c.queries;
      S* to = c.gq.at(head / c.heads, head % c.heads, row % c.queries);
      for (int64_t d = 0; d < c.width; ++d) {
        T sum = c.part[row * c.width + d];
        for (int64_t i = 1; i < c.parts; ++i) sum += c.part[i * all + row * c.width + d];
        to[d] = narrow<S>(sum);
      }
    }
  });
}

template <class S, class T>
void attend_grad(const Backward<S, T>& c) {
  const int64_t heads = c.heads / c.group, items = c.batch * heads * c.parts;
  const double macs = 5.0 / 2 * c.queries * c.group * c.keys * (c.width + c.value_width) / c.parts;
  parallel_for(items, static_cast<int64_t>(macs / 8) + c.queries, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / c.parts;
      keys_grad(c, head / heads, head % heads, item % c.parts);
    }
  });
  if (c.part) join_parts(c);
}

}  // namespace
}  // namespace pydl::PYDL_ISA
