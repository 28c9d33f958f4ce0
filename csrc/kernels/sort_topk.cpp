// The best k of each row, in order. Few of many: a row streams past a buffer of the best so far, whose worst is the bar
// for the rest; of random elements only k log(n / k) pass it. Many of them: the first k of the sorted row.
#include "kernels/sort_long.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kStep = 32;        // elements compared with the bar at a time
constexpr int64_t kFew = 32;         // up to this k, the best so far are kept in order
constexpr int64_t kPiece = 1 << 16;  // elements of a long row whose best are found apart from the others

// The best k of keys added in the order of their places, kept in two lists that fill to `full` and are cut back to k.
template <class K>
struct Best {
  K* keys;
  uint32_t* places;
  int64_t k, full, count = 0;
  K bar = 0;

  static int64_t room(int64_t k) { return 2 * k + kStep; }

  void add(K key, int64_t at) {
    if (k <= kFew) return insert(key, static_cast<uint32_t>(at));
    keys[count] = key;
    places[count] = static_cast<uint32_t>(at);
    if (++count == full) cut();
  }
  // The lists of few are always in order.
  void insert(K key, uint32_t at) {
    int64_t i = count < k ? count++ : k - 1;
    for (; i > 0 && keys[i - 1] > key; --i) {
      keys[i] = keys[i - 1];
      places[i] = places[i - 1];
    }
    keys[i] = key;
    places[i] = at;
    if (count == k) bar = keys[k - 1];
  }
  // Only the best k, in order.
  void cut() {
    if (k <= kFew) return;
    const uint64_t* words = order_keys(keys, count);
    const int64_t kept = k < count ? k : count;
    auto* sorted = static_cast<K*>(scratch(kSpare, static_cast<size_t>(kept) * (sizeof(K) + sizeof(uint32_t))));
    auto* from = reinterpret_cast<uint32_t*>(sorted + kept);
    for (int64_t i = 0; i < kept; ++i) {
      sorted[i] = keys[place(words[i])];
      from[i] = places[place(words[i])];
    }
    std::memcpy(keys, sorted, static_cast<size_t>(kept) * sizeof(K));
    std::memcpy(places, from, static_cast<size_t>(kept) * sizeof(uint32_t));
    count = kept;
    if (count == k) bar = keys[k - 1];
  }
};

// Feeds x[begin, end) to best. Equal keys that come later lose.
template <class T>
void feed(Best<Key<T>>& best, const T* x, int64_t begin, int64_t end, Key<T> flip) {
  using K = Key<T>;
  int64_t i = begin;
  while (i < end && best.count < best.k) best.add(key_of(x[i]) ^ flip, i), ++i;
  if (i == end) return best.cut();
  best.cut();
  for (; i < end; i += kStep) {
    K keys[kStep];
    const int64_t m = end - i < kStep ? end - i : kStep;
    K least = static_cast<K>(~K(0));
    if (m == kStep) {
      for (int64_t j = 0; j < kStep; ++j) keys[j] = key_of(x[i + j]) ^ flip;
      for (int64_t j = 0; j < kStep; ++j) least = keys[j] < least ? keys[j] : least;
    } else {
      encode(x + i, keys, m, flip);
      least = 0;
    }
    if (least >= best.bar) continue;
    for (int64_t j = 0; j < m; ++j)
      if (keys[j] < best.bar) best.add(keys[j], i + j);
  }
  best.cut();
}

template <class K>
Best<K> best_of(int64_t k, void* memory) {
  Best<K> best;
  best.keys = static_cast<K*>(memory);
  best.places = reinterpret_cast<uint32_t*>(best.keys + Best<K>::room(k));
  best.k = k;
  best.full = Best<K>::room(k);
  return best;
}
template <class K>
size_t best_bytes(int64_t k) {
  return (static_cast<size_t>(Best<K>::room(k)) * (sizeof(K) + sizeof(uint32_t)) + 63) & ~size_t(63);
}

template <class T>
void topk_row(const T* x, int64_t n, int64_t k, Key<T> flip, T* y, int64_t* at) {
  using K = Key<T>;
  Best<K> best = best_of<K>(k, scratch(kPlaces, best_bytes<K>(k)));
  feed(best, x, 0, n, flip);
  for (int64_t i = 0; i < k; ++i) {
    at[i] = best.places[i];
    y[i] = x[at[i]];
  }
}

// The best of each piece of the row, by several threads, then the best of those.
template <class T>
void topk_long(const T* x, int64_t n, int64_t k, Key<T> flip, T* y, int64_t* at) {
  using K = Key<T>;
  const int64_t size = kPiece > 16 * k ? kPiece : 16 * k, pieces = (n + size - 1) / size;
  const size_t bytes = best_bytes<K>(k);
  auto* counts = static_cast<int64_t*>(scratch(kPlaces, static_cast<size_t>(pieces) * (bytes + sizeof(int64_t))));
  char* memory = reinterpret_cast<char*>(counts + pieces);
  parallel_for(pieces, size, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      Best<K> best = best_of<K>(k, memory + static_cast<size_t>(p) * bytes);
      feed(best, x, p * size, (p + 1) * size < n ? (p + 1) * size : n, flip);
      counts[p] = best.count;
    }
  });
  Best<K> all = best_of<K>(k, scratch(kKeys, bytes));
  all.bar = kNanKey<K>;
  for (int64_t p = 0; p < pieces; ++p) {
    const Best<K> part = best_of<K>(k, memory + static_cast<size_t>(p) * bytes);
    for (int64_t i = 0; i < counts[p]; ++i)
      if (all.count < k || part.keys[i] < all.bar) all.add(part.keys[i], part.places[i]);
  }
  all.cut();
  for (int64_t i = 0; i < k; ++i) {
    at[i] = all.places[i];
    y[i] = x[at[i]];
  }
}

template <class T>
void topk_as(const View& x, const View& y, const View& at, const View& work, bool largest) {
  const int64_t rows = x.shape[0], n = x.shape[1], k = y.shape[1];
  const Key<T> flip = largest ? static_cast<Key<T>>(~Key<T>(0)) : 0;
  const T* from = x.as<const T>();
  T* to = y.as<T>();
  int64_t* places = at.as<int64_t>();
  if (8 * k > n || n <= 16) {
    if (!work.present())
      return order_each_row(from, rows, n, flip, [&](int64_t r, const uint64_t* words) {
        write_row(from + r * n, words, k, to + r * k, places + r * k);
      });
    for (int64_t r = 0; r < rows; ++r)
      order_long(from + r * n, n, flip, work.as<uint64_t>(),
                 [&](int64_t first, const uint64_t* words, int64_t count, const Deal<T>& deal) {
                   const int64_t wanted = k - first < count ? k - first : count;
                   write_long(deal, first, words, wanted, to + r * k, places + r * k);
                 });
    return;
  }
  if (n < kLongRow)
    return parallel_for(rows, 2 * n + 32 * k, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) topk_row(from + r * n, n, k, flip, to + r * k, places + r * k);
    });
  for (int64_t r = 0; r < rows; ++r) topk_long(from + r * n, n, k, flip, to + r * k, places + r * k);
}

}  // namespace

void topk(View x, View y, View at, View work, bool largest) {
  if (y.numel() == 0) return;
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return topk_as<type>(x, y, at, work, largest);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA
