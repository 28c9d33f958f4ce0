// The order of a row. Elements become unsigned keys, and a key with the element's place becomes one word: its upper
// half is the key (its 32 leading bits where it is longer), its lower half the place. Words are all different, so every
// way to sort them gives one result, the stable one, for any number of threads.
//
// Short rows: Batcher's odd-even merge network, one row per lane of a vector (Knuth, The Art of Computer
// Programming 3, 5.2.2 M). Longer rows: least-significant-digit radix sort, of as many bits as the keys of the row
// span.
#pragma once

#include <cstring>

#include "kernels/element.h"
#include "kernels/float_key.h"
#include "runtime/parallel.h"
#include "runtime/table/sort.h"
#include "simd/integer.h"

namespace pydl::PYDL_ISA {
namespace {

enum Slot { kKeys, kWords, kSpare, kCounts, kPlaces };

constexpr int64_t kSmall = 64;                                               // a single row for the network
constexpr int64_t kMany = kU64Lanes == 8 ? 512 : kU64Lanes == 4 ? 128 : 64;  // rows for every lane of it
constexpr int64_t kInsertion = 32;

// ---- keys: unsigned integers in the order of the elements

template <class T>
using Key = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class U, class T>
inline U bits_of(T x) {
  U u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}

template <class T>
inline Key<T> key_of(T x) {
  using K = Key<T>;
  if constexpr (std::is_same_v<T, f16>) return float_key<K, uint16_t>(x.bits, kInfinity16);
  if constexpr (std::is_same_v<T, bf16>) return float_key<K, uint16_t>(x.bits, kInfinityBrain);
  if constexpr (std::is_same_v<T, float>) return float_key<K, uint32_t>(bits_of<uint32_t>(x), kInfinity32);
  if constexpr (std::is_same_v<T, double>) return float_key<K, uint64_t>(bits_of<uint64_t>(x), kInfinity64);
  if constexpr (std::is_same_v<T, int32_t>) return static_cast<uint32_t>(x) ^ 0x80000000u;
  if constexpr (std::is_same_v<T, int64_t>) return static_cast<uint64_t>(x) ^ 0x8000000000000000ull;
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, uint8_t>) return static_cast<uint32_t>(x);
}

// The element of a key. 0 stands for -0 too: the two have one key.
template <class T>
inline T value_of(Key<T> key) {
  constexpr int kBits = 8 * static_cast<int>(sizeof(T));
  if constexpr (kFloating<T>) {
    using U = std::conditional_t<sizeof(T) == 2, uint16_t, Key<T>>;
    const U u = static_cast<U>(key), sign = static_cast<U>(U(1) << (kBits - 1));
    return bits_of<T>(static_cast<U>(u & sign ? u ^ sign : ~u));
  } else {
    return static_cast<T>(kBits >= 32 ? key ^ Key<T>(1) << (kBits - 1) : key);
  }
}

// The keys of a row in ascending or descending order; flip is 0 or all ones.
template <class T>
inline void encode(const T* x, Key<T>* keys, int64_t n, Key<T> flip) {
  for (int64_t i = 0; i < n; ++i) keys[i] = key_of(x[i]) ^ flip;
}

template <class K>
struct Range {
  K low = static_cast<K>(~K(0)), high = 0;
  void add(K key) {
    low = key < low ? key : low;
    high = key > high ? key : high;
  }
  int bits() const { return low >= high ? 0 : 64 - __builtin_clzll(static_cast<uint64_t>(high - low)); }
};

template <class K>
inline Range<K> range_of(const K* keys, int64_t n) {
  K low = static_cast<K>(~K(0)), high = 0;
  for (int64_t i = 0; i < n; ++i) {
    low = keys[i] < low ? keys[i] : low;
    high = keys[i] > high ? keys[i] : high;
  }
  return {low, high};
}

// ---- words

inline int64_t place(uint64_t word) { return static_cast<int64_t>(word & 0xffffffffu); }
inline uint64_t word_of(uint64_t upper, int64_t at) { return upper << 32 | static_cast<uint64_t>(at); }

inline void insertion_sort(uint64_t* a, int64_t n) {
  for (int64_t i = 1; i < n; ++i) {
    const uint64_t word = a[i];
    int64_t j = i;
    for (; j > 0 && a[j - 1] > word; --j) a[j] = a[j - 1];
    a[j] = word;
  }
}

// Turns counts of digits into where each digit begins; false if all n words have this one.
inline bool place_digits(uint32_t* count, int width, int64_t n, uint64_t digit) {
  if (count[digit] == static_cast<uint32_t>(n)) return false;
  uint32_t sum = 0;
  for (int64_t d = 0; d < int64_t(1) << width; ++d) {
    const uint32_t own = count[d];
    count[d] = sum;
    sum += own;
  }
  return true;
}

inline uint64_t digit_of(uint64_t word, int shift, int width) { return word >> shift & ((uint64_t(1) << width) - 1); }

// Deals words by one digit; false if it is the same everywhere and nothing had to move. count[d]: where digit d ends.
inline bool deal_digit(const uint64_t* from, uint64_t* to, int64_t n, int shift, int width, uint32_t* count) {
  std::memset(count, 0, sizeof(uint32_t) << width);
  for (int64_t i = 0; i < n; ++i) ++count[digit_of(from[i], shift, width)];
  if (!place_digits(count, width, n, digit_of(from[0], shift, width))) return false;
  for (int64_t i = 0; i < n; ++i) to[count[digit_of(from[i], shift, width)]++] = from[i];
  return true;
}

// All digits are counted in one pass, so that additions to one count seldom wait for each other.
template <int passes>
inline void radix_sort(uint64_t* a, uint64_t* spare, int64_t n, int width) {
  uint32_t* counts = static_cast<uint32_t*>(scratch(kCounts, passes * sizeof(uint32_t) << width));
  std::memset(counts, 0, passes * sizeof(uint32_t) << width);
  for (int64_t i = 0; i < n; ++i)
    for (int p = 0; p < passes; ++p) ++counts[(int64_t(p) << width) + digit_of(a[i], 32 + p * width, width)];
  uint64_t *from = a, *to = spare;
  for (int p = 0; p < passes; ++p) {
    uint32_t* count = counts + (int64_t(p) << width);
    const int shift = 32 + p * width;
    if (!place_digits(count, width, n, digit_of(a[0], shift, width))) continue;
    for (int64_t i = 0; i < n; ++i) to[count[digit_of(from[i], shift, width)]++] = from[i];
    uint64_t* const last = from;
    from = to;
    to = last;
  }
  if (from != a) std::memcpy(a, from, static_cast<size_t>(n) * sizeof(uint64_t));
}

// Sorts words whose upper halves use their lowest `bits` bits, and whose equal upper halves are in order already.
inline void sort_words(uint64_t* a, uint64_t* spare, int64_t n, int bits) {
  if (n <= kInsertion) return insertion_sort(a, n);
  const int widest = n < 4096 ? 8 : 11;
  const int passes = (bits + widest - 1) / widest;
  if (passes == 1) radix_sort<1>(a, spare, n, bits);
  if (passes == 2) radix_sort<2>(a, spare, n, (bits + 1) / 2);
  if (passes == 3) radix_sort<3>(a, spare, n, (bits + 2) / 3);
  if (passes == 4) radix_sort<4>(a, spare, n, (bits + 3) / 4);
}

// Keys of more than 32 bits left `shift` bits out of their words: sorts each run of equal upper halves by those bits.
// rest(place): the key less the smallest.
template <class Rest>
inline void settle(uint64_t* a, uint64_t* spare, int64_t n, int shift, const Rest& rest) {
  const uint64_t mask = (uint64_t(1) << shift) - 1;
  for (int64_t i = 0, end; i < n; i = end) {
    end = i + 1;
    while (end < n && a[end] >> 32 == a[i] >> 32) ++end;
    if (end - i == 1) continue;
    for (int64_t j = i; j < end; ++j) a[j] = word_of(rest(place(a[j])) & mask, place(a[j]));
    sort_words(a + i, spare, end - i, shift);
  }
}

// The order of n keys, as words; they stay until the thread's next call.
template <class K>
inline const uint64_t* order_keys(const K* keys, int64_t n) {
  const size_t bytes = static_cast<size_t>(n) * sizeof(uint64_t);
  uint64_t* words = static_cast<uint64_t*>(scratch(kWords, bytes));
  uint64_t* spare = static_cast<uint64_t*>(scratch(kSpare, bytes));
  const Range<K> range = range_of(keys, n);
  const int bits = range.bits(), shift = bits > 32 ? bits - 32 : 0;
  for (int64_t i = 0; i < n; ++i) words[i] = word_of((keys[i] - range.low) >> shift, i);
  sort_words(words, spare, n, bits - shift);
  if (shift) settle(words, spare, n, shift, [&](int64_t i) { return uint64_t(keys[i] - range.low); });
  return words;
}

// ---- rows

inline void exchange(U64* a, U64* b) {
  const U64 x = *a, y = *b;
  *a = x < y ? x : y;
  *b = x < y ? y : x;
}

inline void network(U64* a, int64_t n) {
  int64_t top = 1;
  while (2 * top < n) top *= 2;
  for (int64_t p = top; p > 0; p /= 2) {
    int64_t r = 0, d = p;
    for (int64_t q = top;; q /= 2) {
      for (int64_t base = r; base < n - d; base += 2 * p) {
        const int64_t end = base + p < n - d ? base + p : n - d;
        for (int64_t i = base; i < end; ++i) exchange(a + i, a + i + d);
      }
      if (q == p) break;
      d = q - p;
      r = p;
    }
  }
}

// Up to kU64Lanes rows at once.
template <class T, class Emit>
inline void order_small(const T* x, int64_t first, int64_t rows, int64_t n, Key<T> flip, const Emit& emit) {
  using K = Key<T>;
  U64 lanes[kMany];
  Range<K> range[kU64Lanes];
  int shift[kU64Lanes]{};
  for (int64_t r = 0; r < rows; ++r) {
    K keys[kMany];
    encode(x + (first + r) * n, keys, n, flip);
    if constexpr (sizeof(K) == 8) {
      range[r] = range_of(keys, n);
      shift[r] = range[r].bits() > 32 ? range[r].bits() - 32 : 0;
    } else {
      range[r].low = 0;
    }
    for (int64_t i = 0; i < n; ++i) lanes[i][r] = word_of((keys[i] - range[r].low) >> shift[r], i);
  }
  network(lanes, n);
  for (int64_t r = 0; r < rows; ++r) {
    uint64_t words[kMany], spare[kMany];
    const T* row = x + (first + r) * n;
    for (int64_t i = 0; i < n; ++i) words[i] = lanes[i][r];
    if (shift[r])
      settle(words, spare, n, shift[r], [&](int64_t i) { return uint64_t((key_of(row[i]) ^ flip) - range[r].low); });
    emit(first + r, words);
  }
}

// emit(row, words) for each row of a dense (rows, n) block, n >= 1.
template <class T, class Emit>
inline void order_each_row(const T* x, int64_t rows, int64_t n, Key<T> flip, const Emit& emit) {
  if (n <= kSmall || (n <= kMany && rows >= kU64Lanes / 2)) {
    const int64_t groups = (rows + kU64Lanes - 1) / kU64Lanes;
    return parallel_for(groups, 8 * n * kU64Lanes, [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g) {
        const int64_t first = g * kU64Lanes, left = rows - first;
        order_small(x, first, left < kU64Lanes ? left : kU64Lanes, n, flip, emit);
      }
    });
  }
  parallel_for(rows, 16 * n, [&](int64_t begin, int64_t end) {
    Key<T>* keys = static_cast<Key<T>*>(scratch(kKeys, static_cast<size_t>(n) * sizeof(Key<T>)));
    for (int64_t r = begin; r < end; ++r) {
      encode(x + r * n, keys, n, flip);
      emit(r, order_keys(keys, n));
    }
  });
}

// The first n of a row's order, as elements and places.
template <class T>
inline void write_row(const T* x, const uint64_t* words, int64_t n, T* y, int64_t* at) {
  for (int64_t i = 0; i < n; ++i) {
    at[i] = place(words[i]);
    y[i] = x[at[i]];
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA
