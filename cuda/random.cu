// Random numbers: the CPU's, bit for bit. A thread makes the numbers of one counter (see kernels/philox.h). The state
// is read and advanced on the host whenever a launch is made. Compiled without contraction into fma.
#include <atomic>
#include <cmath>
#include <vector>

#include "device.cuh"
#include "kernels/philox.h"
#include "runtime/table/random.h"
#include "simd/scalar.h"

namespace pydl::cuda {
namespace {

using philox::Chance;

constexpr int kThreads = 256;

struct Stream {
  uint64_t seed, offset;
};

Stream reserve(int64_t* s, int64_t counters) {
  return {static_cast<uint64_t>(s[0]), static_cast<uint64_t>(__atomic_fetch_add(s + 1, counters, __ATOMIC_RELAXED))};
}

// f(words, k) makes the k-th element of a counter; each takes kWords of its four words.
template <int kWords, class F>
__global__ void __launch_bounds__(kThreads) random_kernel(Fresh<Stream> state, int64_t n, F f) {
  const Stream stream = state.get();
  constexpr int kEach = 4 / kWords;
  const int64_t counters = (n + kEach - 1) / kEach, step = int64_t{gridDim.x} * kThreads;
  for (int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x; c < counters; c += step) {
    uint32_t w[4];
    philox::words(stream.seed, stream.offset + static_cast<uint64_t>(c), w);
    for (int k = 0; k < kEach; ++k)
      if (c * kEach + k < n) f(w, k, c * kEach + k);
  }
}

template <int kWords, class F>
void generate(const View& state, int64_t n, const F& f) {
  if (n == 0) return;
  const int64_t counters = ceil_div(n, 4 / kWords);
  int64_t* s = state.as<int64_t>();
  const auto stream = fresh([s, counters] { return reserve(s, counters); });
  start(random_kernel<kWords, F>, {blocks_for(counters, kThreads), kThreads}, stream, n, f);
}

template <class T>
constexpr int kWordsOf = std::is_same_v<T, double> ? 2 : 1;

template <class T>
struct Uniform {
  Wide<T> begin, width, last;
  T* y;
  __device__ void operator()(const uint32_t* w, int k, int64_t i) const {
    Wide<T> u;
    if constexpr (kWordsOf<T> == 2)
      u = philox::uniform(w[2 * k], w[2 * k + 1]);
    else
      u = philox::uniform(w[k]);
    const Wide<T> x = u * width + begin;
    y[i] = narrowed<T>(x < last ? x : last);
  }
};

// Two numbers of each pair of draws, of which an element takes one.
template <class T>
struct Normal {
  Wide<T> mean, deviation;
  T* y;
  __device__ void operator()(const uint32_t* w, int k, int64_t i) const {
    Wide<T> z[2];
    if constexpr (kWordsOf<T> == 2)
      philox::normal(w[0], w[1], w[2], w[3], z, z + 1);
    else
      philox::normal(w[k / 2 * 2], w[k / 2 * 2 + 1], z, z + 1);
    y[i] = narrowed<T>(z[k % 2] * deviation + mean);
  }
};

template <class T>
__device__ __forceinline__ T from_integer(int64_t x) {
  if constexpr (kHalf<T>)
    return narrowed<T>(static_cast<float>(x));
  else
    return static_cast<T>(x);
}

template <class T>
struct Bernoulli {
  Chance chance;
  T* y;
  __device__ void operator()(const uint32_t* w, int k, int64_t i) const { y[i] = from_integer<T>(chance(w[k])); }
};

template <class T>
struct Randint {
  uint64_t begin, range;
  T* y;
  __device__ void operator()(const uint32_t* w, int k, int64_t i) const {
    const uint32_t low = w[2 * k], high = w[2 * k + 1], small = static_cast<uint32_t>(range);
    const uint64_t draw = static_cast<uint64_t>(high) << 32 | low;
    const uint64_t x = range == small ? philox::below(low, high, small) : philox::below(draw, range);
    y[i] = from_integer<T>(static_cast<int64_t>(begin + x));
  }
};

template <class T>
struct Dropout {
  Chance drop;
  Wide<T> scale;
  const T* x;
  T* y;
  bool* kept;
  __device__ void operator()(const uint32_t* w, int k, int64_t i) const {
    const bool keep = !drop(w[k]);
    const Wide<T> scaled = widened(x[i]) * scale;
    y[i] = narrowed<T>(keep ? scaled : Wide<T>(0));
    kept[i] = keep;
  }
};

inline float host_float(f16 x) { return to_float(x); }
inline float host_float(bf16 x) { return to_float(x); }
inline void host_put(float x, f16* y) { *y = to_f16(x); }
inline void host_put(float x, bf16* y) { *y = pydl::to_bf16(x); }

// The largest T below b: what uniform numbers that would round to b become.
template <class T>
Wide<T> largest_below(Wide<T> b) {
  if constexpr (!kHalf<T>) {
    return std::nextafter(b, -std::numeric_limits<T>::infinity());
  } else {
    T t;
    host_put(b, &t);
    if (host_float(t) < b) return host_float(t);
    const bool negative = (t.bits & 0x8000u) != 0, zero = (t.bits & 0x7fffu) == 0;
    t.bits = static_cast<uint16_t>(zero ? 0x8001u : negative ? t.bits + 1 : t.bits - 1);
    return host_float(t);
  }
}

template <class T>
void random_of(Distribution d, double a, double b, const View& state, const View& y) {
  using C = Wide<T>;
  const int64_t n = y.numel();
  if constexpr (kFloating<T>) {
    if (d == Distribution::uniform) {
      const C begin = static_cast<C>(a), below = largest_below<T>(static_cast<C>(b));
      const Uniform<T> f{begin, static_cast<C>(b - a), below > begin ? below : begin, y.as<T>()};
      return generate<kWordsOf<T>>(state, n, f);
    }
    if (d == Distribution::normal)
      return generate<kWordsOf<T>>(state, n, Normal<T>{static_cast<C>(a), static_cast<C>(b), y.as<T>()});
  }
  if (d == Distribution::bernoulli) return generate<1>(state, n, Bernoulli<T>{Chance(a), y.as<T>()});
  const uint64_t begin = static_cast<uint64_t>(static_cast<int64_t>(a));
  generate<2>(state, n, Randint<T>{begin, static_cast<uint64_t>(b - a), y.as<T>()});
}

}  // namespace

void random(Distribution d, double a, double b, View state, View y) {
  with_any(y.dtype, [&](auto zero) { random_of<decltype(zero)>(d, a, b, state, y); });
}

void dropout(double p, View state, View x, View y, View mask) {
  with_floating(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Wide<T> scale = static_cast<Wide<T>>(p < 1 ? 1 / (1 - p) : 0);
    generate<1>(state, y.numel(), Dropout<T>{Chance(p), scale, x.as<const T>(), y.as<T>(), mask.as<bool>()});
  });
}

// Each swap needs the one before it: the host makes the order, and copies it over.
void randperm(View state, View y) {
  const int64_t n = y.shape[0];
  std::vector<int64_t> p(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) p[i] = i;
  const Stream s = n < 2 ? Stream{} : reserve(state.as<int64_t>(), n / 2);
  for (int64_t i = 0; i < n - 1; ++i) {
    uint32_t w[4];
    philox::words(s.seed, s.offset + static_cast<uint64_t>(i / 2), w);
    const int k = static_cast<int>(i % 2) * 2;
    const uint64_t draw = static_cast<uint64_t>(w[k + 1]) << 32 | w[k];
    const auto place = static_cast<int64_t>(philox::below(draw, static_cast<uint64_t>(n - i)));
    const int64_t last = n - 1 - i, held = p[last];
    p[last] = p[place];
    p[place] = held;
  }
  if (n > 0) note(cudaMemcpyAsync(y.data, p.data(), p.size() * sizeof(int64_t), cudaMemcpyDefault, stream()));
}

}  // namespace pydl::cuda
