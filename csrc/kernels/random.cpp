// Random numbers from Philox4x32-10 (see philox.h for the numbers themselves and for which words element i is made of).
//
// A launch reserves its counters by one atomic addition to the offset in `state`, so concurrent launches get different
// numbers and a replayed one goes on by itself. Values depend on (seed, offset, i) alone: they are the same bits for
// any number of threads and for every instruction set.

// One rounding per operation: fma would change the last bits from machine to machine.
#if defined(__clang__)
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif

#include "runtime/table/random.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "kernels/philox.h"
#include "kernels/philox_words.h"
#include "runtime/parallel.h"
#include "simd/scalar.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kBatchCounters = 256;  // 4 KiB of words, a multiple of kGroup
constexpr int kBatchWords = 4 * kBatchCounters;
static_assert(kBatchCounters % kGroup == 0, "whole groups");

Stream reserve(View state, int64_t counters) {
  int64_t* s = state.as<int64_t>();
  return {static_cast<uint64_t>(s[0]), static_cast<uint64_t>(__atomic_fetch_add(s + 1, counters, __ATOMIC_RELAXED))};
}

// Calls f(words, begin, count) for elements [begin, begin + count) of n, each made of W words. `cost` is that of one
// element.
template <int W, class F>
void for_words(View state, int64_t n, int64_t cost, const F& f) {
  constexpr int per_counter = 4 / W, per_batch = kBatchWords / W;
  if (n == 0) return;
  const int64_t counters = (n + per_counter - 1) / per_counter;
  const Stream stream = reserve(state, counters);
  parallel_for((n + per_batch - 1) / per_batch, cost * per_batch, [&](int64_t batch, int64_t end) {
    alignas(64) uint32_t w[kBatchWords];
    for (; batch < end; ++batch) {
      const int64_t begin = batch * per_batch, first = batch * kBatchCounters;
      const int count = static_cast<int>(n - begin < per_batch ? n - begin : per_batch);
      fill(stream, static_cast<uint64_t>(first), counters - first < kBatchCounters ? counters - first : kBatchCounters,
           w);
      f(w, begin, count);
    }
  });
}

inline void put(float x, float* y) { *y = x; }
inline void put(double x, double* y) { *y = x; }
inline void put(float x, f16* y) { *y = to_f16(x); }
inline void put(float x, bf16* y) { *y = to_bf16(x); }
template <class C, class T>
inline T narrow(C x) {
  T y;
  put(x, &y);
  return y;
}

// The floats that T is computed with, and the words that one of them takes.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;
template <class T>
constexpr int kWords = std::is_same_v<T, double> ? 2 : 1;

// The largest T below b, as a Real: what uniform numbers that would round to b become.
template <class T>
Real<T> largest_below(Real<T> b) {
  if constexpr (std::is_same_v<T, Real<T>>) {
    return std::nextafter(b, -std::numeric_limits<T>::infinity());
  } else {
    T t = narrow<float, T>(b);
    if (to_float(t) < b) return to_float(t);
    const bool negative = (t.bits & 0x8000u) != 0, zero = (t.bits & 0x7fffu) == 0;
    t.bits = static_cast<uint16_t>(zero ? 0x8001u : negative ? t.bits + 1 : t.bits - 1);
    return to_float(t);
  }
}

template <class T>
void uniform(double a, double b, View state, View y) {
  using C = Real<T>;
  const C start = static_cast<C>(a), width = static_cast<C>(b - a);
  const C below = largest_below<T>(static_cast<C>(b)), last = below > start ? below : start;
  T* out = y.as<T>();
  for_words<kWords<T>>(state, y.numel(), 2, [=](const uint32_t* w, int64_t begin, int count) {
    for (int i = 0; i < count; ++i) {
      C u;
      if constexpr (kWords<T> == 2) {
        u = philox::uniform(w[2 * i], w[2 * i + 1]);
      } else {
        u = philox::uniform(w[i]);
      }
      const C x = u * width + start;
      put(x < last ? x : last, out + begin + i);
    }
  });
}

// Two numbers of each pair of draws; an odd count drops the last one.
template <class T>
void normal(double mean, double deviation, View state, View y) {
  using C = Real<T>;
  constexpr int W = kWords<T>;
  const C m = static_cast<C>(mean), s = static_cast<C>(deviation);
  T* out = y.as<T>();
  for_words<W>(state, y.numel(), 4 * W, [=](const uint32_t* w, int64_t begin, int count) {
    C z[kBatchWords / W];
    for (int i = 0; i < (count + 1) / 2; ++i) {
      const uint32_t* p = w + 2 * W * i;
      if constexpr (W == 2) {
        philox::normal(p[0], p[1], p[2], p[3], z + 2 * i, z + 2 * i + 1);
      } else {
        philox::normal(p[0], p[1], z + 2 * i, z + 2 * i + 1);
      }
    }
    for (int i = 0; i < count; ++i) put(z[i] * s + m, out + begin + i);
  });
}

template <int bytes>
using Bits =
    std::conditional_t<bytes == 1, uint8_t,
                       std::conditional_t<bytes == 2, uint16_t, std::conditional_t<bytes == 4, uint32_t, uint64_t>>>;

// U: the bits of an element; `one` are those of its 1. restrict lets these loops become vectors.
template <class U>
void draw_bernoulli(const uint32_t* __restrict w, U* __restrict y, int n, Chance chance, U one) {
  for (int i = 0; i < n; ++i) y[i] = chance(w[i]) ? one : U(0);
}

template <class T>
void bernoulli(double p, View state, View y) {
  using U = Bits<sizeof(T)>;
  T unit{};
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>) {
    put(1.0f, &unit);
  } else {
    unit = T(1);
  }
  U one;
  std::memcpy(&one, &unit, sizeof one);
  const Chance chance(p);
  U* out = y.as<U>();
  for_words<1>(state, y.numel(), 2, [=](const uint32_t* w, int64_t begin, int count) {
    draw_bernoulli(w, out + begin, count, chance, one);
  });
}

template <class T>
inline T from_integer(int64_t x) {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>) {
    return narrow<float, T>(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

template <class T>
void randint(double a, double b, View state, View y) {
  const uint64_t start = static_cast<uint64_t>(static_cast<int64_t>(a)), range = static_cast<uint64_t>(b - a);
  const uint32_t small = static_cast<uint32_t>(range);
  T* out = y.as<T>();
  for_words<2>(state, y.numel(), 4, [=](const uint32_t* w, int64_t begin, int count) {
    if (range == small) {
      for (int i = 0; i < count; ++i)
        out[begin + i] = from_integer<T>(static_cast<int64_t>(start + philox::below(w[2 * i], w[2 * i + 1], small)));
    } else {
      for (int i = 0; i < count; ++i) {
        const uint64_t draw = static_cast<uint64_t>(w[2 * i + 1]) << 32 | w[2 * i];
        out[begin + i] = from_integer<T>(static_cast<int64_t>(start + philox::below(draw, range)));
      }
    }
  });
}

inline double widen(double x) { return x; }
inline float widen(float x) { return x; }
inline float widen(f16 x) { return to_float(x); }
inline float widen(bf16 x) { return to_float(x); }

template <class T>
void draw_dropout(const uint32_t* __restrict w, const T* __restrict x, T* __restrict y, bool* __restrict kept, int n,
                  Chance drop, Real<T> scale) {
  for (int i = 0; i < n; ++i) {
    const bool keep = !drop(w[i]);
    const Real<T> scaled = widen(x[i]) * scale;
    put(keep ? scaled : Real<T>(0), y + i);
    kept[i] = keep;
  }
}

template <class T>
void dropout_of(double p, View state, View x, View y, View mask) {
  const Chance drop(p);
  const Real<T> scale = static_cast<Real<T>>(p < 1 ? 1 / (1 - p) : 0);
  const T* in = x.as<T>();
  T* out = y.as<T>();
  bool* kept = mask.as<bool>();
  for_words<1>(state, y.numel(), 3, [=](const uint32_t* w, int64_t i, int count) {
    draw_dropout(w, in + i, out + i, kept + i, count, drop, scale);
  });
}

template <class T>
void random_of(Distribution d, double a, double b, View state, View y) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, f16> ||
                std::is_same_v<T, bf16>) {
    if (d == Distribution::uniform) return uniform<T>(a, b, state, y);
    if (d == Distribution::normal) return normal<T>(a, b, state, y);
  }
  if (d == Distribution::bernoulli) return bernoulli<T>(a, state, y);
  if (d == Distribution::randint) return randint<T>(a, b, state, y);
}

}  // namespace

void random(Distribution d, double a, double b, View state, View y) {
#define PYDL_CASE(name, T, ...) \
  case Dtype::name:             \
    return random_of<T>(d, a, b, state, y);
  switch (y.dtype) { PYDL_DTYPES(PYDL_CASE) }
#undef PYDL_CASE
}

// Fisher-Yates from the end, serial: draw i swaps place n - 1 - i with one at or before it.
void randperm(View state, View y) {
  constexpr int per_batch = kBatchWords / 2;
  const int64_t n = y.shape[0];
  int64_t* p = y.as<int64_t>();
  for (int64_t i = 0; i < n; ++i) p[i] = i;
  if (n < 2) return;
  const Stream stream = reserve(state, n / 2);  // n - 1 draws, two of each counter
  alignas(64) uint32_t w[kBatchWords];
  int64_t place[per_batch];
  for (int64_t begin = 0; begin < n - 1; begin += per_batch) {
    const int count = static_cast<int>(n - 1 - begin < per_batch ? n - 1 - begin : per_batch);
    fill(stream, static_cast<uint64_t>(begin / 2), (count + 1) / 2, w);
    for (int i = 0; i < count; ++i) {
      const uint64_t draw = static_cast<uint64_t>(w[2 * i + 1]) << 32 | w[2 * i];
      place[i] = static_cast<int64_t>(philox::below(draw, static_cast<uint64_t>(n - begin - i)));
      __builtin_prefetch(p + place[i], 1);  // the places are known long before they are needed
    }
    for (int i = 0; i < count; ++i) {
      const int64_t last = n - 1 - begin - i, t = p[last];
      p[last] = p[place[i]];
      p[place[i]] = t;
    }
  }
}

void dropout(double p, View state, View x, View y, View mask) {
  switch (y.dtype) {
    case Dtype::f32:
      return dropout_of<float>(p, state, x, y, mask);
    case Dtype::f64:
      return dropout_of<double>(p, state, x, y, mask);
    case Dtype::f16:
      return dropout_of<f16>(p, state, x, y, mask);
    case Dtype::bf16:
      return dropout_of<bf16>(p, state, x, y, mask);
    default:
      return;
  }
}

}  // namespace pydl::PYDL_ISA
