// The order of one long row, by several threads: the words are first dealt into buckets by the leading digit of what
// their keys span, a chunk of the row at a time, then each bucket is sorted in the cache.
#pragma once

#include "kernels/sort.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kChunk = 1 << 16;   // elements, at least
constexpr int64_t kMostChunks = 512;  // so that their counts stay small
constexpr int kDealBits = 10;         // of the leading digit
constexpr int64_t kDeal = 1 << kDealBits;
constexpr int64_t kCached = 1 << 15;  // words that are sorted digit by digit

struct Chunks {
  int64_t n, size, count;
  explicit Chunks(int64_t length) : n(length) {
    size = (n + kMostChunks - 1) / kMostChunks;
    size = size < kChunk ? kChunk : size;
    count = (n + size - 1) / size;
  }
  // f(chunk, begin, end)
  template <class F>
  void each(const F& f) const {
    parallel_for(count, 2 * size, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c) f(c, c * size, (c + 1) * size < n ? (c + 1) * size : n);
    });
  }
};

template <class T>
Range<Key<T>> range_of_row(const T* x, Key<T> flip, const Chunks& chunks) {
  using K = Key<T>;
  auto* part = static_cast<Range<K>*>(scratch(kCounts, static_cast<size_t>(chunks.count) * sizeof(Range<K>)));
  chunks.each([&](int64_t c, int64_t begin, int64_t end) {
    K low = static_cast<K>(~K(0)), high = 0;
    for (int64_t i = begin; i < end; ++i) {
      const K key = key_of(x[i]) ^ flip;
      low = key < low ? key : low;
      high = key > high ? key : high;
    }
    part[c] = {low, high};
  });
  Range<K> all = part[0];
  for (int64_t c = 1; c < chunks.count; ++c) {
    all.add(part[c].low);
    all.add(part[c].high);
  }
  return all;
}

// How the keys of a row become words: (key - low) >> shift, whose digit >> deal is the bucket.
template <class T>
struct Deal {
  using K = Key<T>;
  static constexpr K kZero = K(1) << (sizeof(T) == 2 ? 15 : 8 * sizeof(K) - 1);  // the key of 0.0
  const T* x;
  K flip, low;
  int bits, shift, deal;

  Deal(const T* row, K flipped, Range<K> range) : x(row), flip(flipped), low(range.low), bits(range.bits()) {
    shift = bits > 32 ? bits - 32 : 0;
    deal = bits - shift > kDealBits ? bits - shift - kDealBits : 0;
  }
  uint64_t rest(int64_t i) const { return static_cast<uint64_t>((key_of(x[i]) ^ flip) - low); }
  // The element of a word; where words hold whole keys, without a look at the far end of the row.
  T value(uint64_t word) const {
    if (shift) return x[place(word)];
    const K key = static_cast<K>(low + static_cast<K>(word >> 32)) ^ flip;
    return kFloating<T> && key == kZero ? x[place(word)] : value_of<T>(key);
  }
  uint64_t upper(int64_t i) const { return rest(i) >> shift; }
};

// Puts the words of the row into `words` by bucket; start[b] is where bucket b begins, start[kDeal] is n.
template <class T>
void deal_words(const Deal<T>& d, const Chunks& chunks, uint64_t* words, int64_t* start) {
  const size_t bytes = static_cast<size_t>(chunks.count * kDeal) * sizeof(uint32_t);
  uint32_t* count = static_cast<uint32_t*>(scratch(kPlaces, bytes));
  std::memset(count, 0, bytes);
  chunks.each([&](int64_t c, int64_t begin, int64_t end) {
    uint32_t* own = count + c * kDeal;
    for (int64_t i = begin; i < end; ++i) ++own[d.upper(i) >> d.deal];
  });
  uint32_t sum = 0;
  for (int64_t b = 0; b < kDeal; ++b) {
    start[b] = sum;
    for (int64_t c = 0; c < chunks.count; ++c) {
      const uint32_t own = count[c * kDeal + b];
      count[c * kDeal + b] = sum;
      sum += own;
    }
  }
  start[kDeal] = sum;
  chunks.each([&](int64_t c, int64_t begin, int64_t end) {
    uint32_t* own = count + c * kDeal;
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t upper = d.upper(i);
      words[own[upper >> d.deal]++] = word_of(upper, i);
    }
  });
}

// sort_words for any number of words: more than the cache holds are dealt by their leading bits first.
inline void sort_bucket(uint64_t* a, uint64_t* spare, int64_t n, int bits) {
  if (n <= kCached || bits <= kDealBits) return sort_words(a, spare, n, bits);
  uint32_t end[kDeal];
  const int rest = bits - kDealBits;
  if (!deal_digit(a, spare, n, 32 + rest, kDealBits, end)) return sort_bucket(a, spare, n, rest);
  int64_t at = 0;
  for (int64_t b = 0; b < kDeal; ++b) {
    if (end[b] > at) sort_bucket(spare + at, a + at, end[b] - at, rest);
    at = end[b];
  }
  std::memcpy(a, spare, static_cast<size_t>(n) * sizeof(uint64_t));
}

// emit(first, words, count, deal) for consecutive parts of the order of n elements; work: sort_bytes(n).
template <class T, class Emit>
void order_long(const T* x, int64_t n, Key<T> flip, uint64_t* work, const Emit& emit) {
  const Chunks chunks(n);
  const Deal<T> d(x, flip, range_of_row(x, flip, chunks));
  uint64_t *words = work, *spare = work + n;
  int64_t start[kDeal + 1];
  deal_words(d, chunks, words, start);
  parallel_for(kDeal, 16 * n / kDeal, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      const int64_t at = start[b], count = start[b + 1] - at;
      if (count == 0) continue;
      sort_bucket(words + at, spare + at, count, d.deal);
      if (d.shift) settle(words + at, spare + at, count, d.shift, [&](int64_t i) { return d.rest(i); });
      emit(at, words + at, count, d);
    }
  });
}

// The part of a row's order that begins at `first`, as elements and places.
template <class T>
inline void write_long(const Deal<T>& d, int64_t first, const uint64_t* words, int64_t count, T* y, int64_t* at) {
  for (int64_t i = 0; i < count; ++i) {
    at[first + i] = place(words[i]);
    y[first + i] = d.value(words[i]);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA
