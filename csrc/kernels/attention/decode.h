// Few queries against many keys, as in decoding with a cache: bound by reading keys and values once, so nothing is
// packed. Keys are cut into chunks by their number alone; the chunks' sums are joined in order.
// Source: Dao et al. 2023, Flash-Decoding.
#pragma once

#include "kernels/attention/forward.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kFewQueries = 4;
constexpr int64_t kChunk = 1024;  // keys

template <class T, class S>
inline T dot(const T* a, const S* b, int64_t n) {
  constexpr int64_t N = Vec<T>::N;
  Vec<T> s[2];
  int64_t i = 0;
  for (; i + 2 * N <= n; i += 2 * N) {
    s[0] = fma(load<T>(a + i), load<T>(b + i), s[0]);
    s[1] = fma(load<T>(a + i + N), load<T>(b + i + N), s[1]);
  }
  for (; i < n; i += N) {
    const int64_t left = least(N, n - i);
    s[0] = fma(load<T>(a + i, left), load<T>(b + i, left), s[0]);
  }
  return sum(s[0] + s[1]);
}

// y (columns) = the sum of w[j] times row j of v, four vectors of columns at a time.
template <class T, class S>
void weighted_sum(const T* w, const S* v, int64_t row, int64_t n, int64_t columns, T* y) {
  constexpr int64_t N = Vec<T>::N;
  int64_t e = 0;
  for (; e + 4 * N <= columns; e += 4 * N) {
    Vec<T> a[4];
    for (int64_t j = 0; j < n; ++j)
      for (int k = 0; k < 4; ++k) a[k] = fma(Vec<T>(w[j]), load<T>(v + j * row + e + k * N), a[k]);
    for (int k = 0; k < 4; ++k) store(y + e + k * N, a[k]);
  }
  for (; e < columns; e += N) {
    const int64_t left = least(N, columns - e);
    Vec<T> a;
    for (int64_t j = 0; j < n; ++j) a = fma(Vec<T>(w[j]), load<T>(v + j * row + e, left), a);
    store(y + e, a, left);
  }
}

// One query against the keys of one chunk: the running softmax and the sums of the values, `sums_row` numbers.
template <class S, class T>
void attend_chunk(const Forward<S, T>& c, int64_t b, int64_t h, int64_t t, Range chunk, Running<T>* running, T* sums) {
  *running = {kHidden<T>, 0};
  const Range seen = c.keys_seen(t, 1, c.length(b)).within(chunk);
  const int64_t n = seen.end - seen.begin, kv = h / c.group;
  T* q = room<T>(kQuerySlot, c.width);
  T* w = room<T>(kTileSlot, 2 * kChunk);
  const S* from = c.q.at(b, h, t);
  for (int64_t d = 0; d < c.width; ++d) q[d] = widen<T>(from[d]) * static_cast<T>(c.spec.scale);
  for (int64_t j = 0; j < n; ++j) w[j] = dot(q, c.k.at(b, kv, seen.begin + j), c.width);
  if (n > 0) {
    if (c.mask.present()) add_in_place(w, c.mask.row(b, h, t, seen.begin, n, w + kChunk), n);
    take(*running, w, n);
  }
  if (c.drops.on) {
    uint32_t* words = static_cast<uint32_t*>(scratch(kLineSlot, sizeof(uint32_t) * (Drops::room(kChunk) + 64)));
    const int64_t first = seen.begin / 4 * 4;
    c.drops.words(c.row(b, h, t), first, seen.end - first, words);
    for (int64_t j = 0; j < n; ++j) w[j] = c.drops.drop(words[seen.begin - first + j]) ? T(0) : w[j];
  }
  weighted_sum(w, c.v.at(b, kv, seen.begin), c.v.row, n, c.value_width, sums);
}

// Joins the chunks of one query, into the first.
template <class T>
void join(Running<T>* running, T* sums, int64_t chunks, int64_t width) {
  T top = kHidden<T>;
  for (int64_t i = 0; i < chunks; ++i) top = running[i].max > top ? running[i].max : top;
  const T pivot = top == kHidden<T> ? T(0) : top;
  T total = 0;
  for (int64_t i = 0; i < chunks; ++i) {
    const T by = exp_below_1(Vec<T>(running[i].max - pivot)).v[0];
    total += running[i].sum * by;
    for (int64_t e = 0; e < width; ++e) sums[e] = (i ? sums[e] : T(0)) + by * sums[i * width + e];
  }
  *running = {top, total};
}

template <class S, class T>
void attend_few(const Forward<S, T>& c) {
  const int64_t chunks = c.keys > 0 ? ceil_div(c.keys, kChunk) : 1, rows = c.batch * c.heads * c.queries;
  const int64_t width = c.value_width, each = (width + 1) * static_cast<int64_t>(sizeof(T));
  T* sums = room<T>(kAllSlot, rows * chunks * (width + 2));
  Running<T>* running = reinterpret_cast<Running<T>*>(sums + rows * chunks * width);
  const int64_t span = least(kChunk, c.keys);
  parallel_for(rows * chunks, span * (c.width + width) + each, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row = item / chunks, s = item % chunks * kChunk, head = row / c.queries;
      attend_chunk(c, head / c.heads, head % c.heads, row % c.queries, {s, least(c.keys, s + kChunk)}, running + item,
                   sums + item * width);
    }
  });
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t head = row / c.queries;
    if (chunks > 1) join(running + row * chunks, sums + row * chunks * width, chunks, width);
    close_row(c, head / c.heads, head % c.heads, row % c.queries, running[row * chunks], sums + row * chunks * width);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA
