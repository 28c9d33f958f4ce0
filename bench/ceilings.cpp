// The ceilings of this machine, on demand. Reads one command a line, answers with one line {"value": number}:
//
//   fma f32|f64 THREADS                     GFLOP/s of independent multiply-add chains in registers (one FMA = 2 flop)
//   read|copy|triad|update BYTES THREADS    GB/s over a working set of BYTES in 2 MiB pages, cut among the threads
//   region THREADS                          microseconds of an empty parallel region
//   cache LEVEL                             bytes of a cache of that level, 0 if unknown
//
// GB = 1e9 bytes that the program names: read n, copy 2n, triad 3n, update in place 2n; write-allocate is not counted.
// Plain and streaming stores are both tried. A value is the best of five samples of about 1.5 ms, after a warm sweep.
#include <omp.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 64;
#elif defined(__AVX__)
constexpr int kWidth = 32;
#else
constexpr int kWidth = 16;
#endif
typedef float Floats __attribute__((vector_size(kWidth)));
typedef double Doubles __attribute__((vector_size(kWidth)));

constexpr int kChains = 12;  // latency 4 x 2 units = 8 needed, and 16 registers hold 12 and the operands
constexpr int kUnroll = 8;   // vectors in flight in a sweep
constexpr int64_t kPool = int64_t{544} << 20;  // bytes mapped; a working set is at most 512 MiB
constexpr int64_t kBlock = int64_t{2} << 20;   // bytes of one array that a thread sweeps between two looks at the count
constexpr double kSample = 1.5e-3;

double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

// Keeps a value alive without spending an instruction on it.
template <typename T>
void keep(const T& value) {
  asm volatile("" : : "m"(value) : "memory");
}

template <typename V>
void fma_chains(int64_t times) {
  V factor = V{} + 0.999f, term = V{} + 0.001f, sums[kChains];
  for (V& s : sums) s = V{};
  asm volatile("" : "+m"(factor), "+m"(term));
  for (int64_t i = 0; i < times; ++i)
    for (V& s : sums) s = s * factor + term;
  for (V& s : sums) keep(s);
}

enum Kind { kRead, kCopy, kTriad, kUpdate };
constexpr int kArrays[] = {1, 2, 3, 1};
constexpr int kMoves[] = {1, 2, 3, 2};

template <bool Stream>
inline void put(Floats* p, Floats v) {
#if defined(__AVX512F__)
  if (Stream) return _mm512_stream_ps(reinterpret_cast<float*>(p), v);
#elif defined(__AVX__)
  if (Stream) return _mm256_stream_ps(reinterpret_cast<float*>(p), v);
#elif defined(__SSE__)
  if (Stream) return _mm_stream_ps(reinterpret_cast<float*>(p), v);
#endif
  *p = v;
}

// One pass over n vectors of each array; n is a multiple of kUnroll.
template <Kind K, bool Stream>
void sweep(Floats* a, Floats* b, Floats* c, int64_t n) {
  Floats sums[kUnroll] = {}, scale = Floats{} + 0.999f;
  for (int64_t i = 0; i < n; i += kUnroll)
    for (int64_t j = i; j < i + kUnroll; ++j) {
      if (K == kRead) sums[j - i] += a[j];
      if (K == kCopy) put<Stream>(b + j, a[j]);
      if (K == kTriad) put<Stream>(c + j, a[j] + scale * b[j]);
      if (K == kUpdate) put<false>(a + j, a[j] * scale);
    }
  keep(sums);
}

using Sweep = void (*)(Floats*, Floats*, Floats*, int64_t);
constexpr Sweep kSweeps[][2] = {{sweep<kRead, false>, nullptr},
                                {sweep<kCopy, false>, sweep<kCopy, true>},
                                {sweep<kTriad, false>, sweep<kTriad, true>},
                                {sweep<kUpdate, false>, nullptr}};

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// Runs work(thread, from, to) on all threads at once, calls `from` to `to` of it: `first` calls to warm up, then five
// samples of about kSample; the best calls per second. The clock is the CPU time of the busiest thread: the wall clock
// on a quiet machine, and on a busy one a neighbour on the same cores does not lower the figure.
template <typename Work>
double calls_per_second(int threads, int64_t first, const Work& work) {
  double best = 0;
  int64_t from = 0, times = first;
  for (int sample = 0; sample < 6; ++sample) {
    double busy = 1e-9;
#pragma omp parallel num_threads(threads) reduction(max : busy)
    {
#pragma omp barrier
      double start = thread_seconds();
      work(omp_get_thread_num(), from, from + times);
      busy = thread_seconds() - start;
    }
    best = std::max(best, times / busy);
    from += times;
    times = std::max<int64_t>(1, int64_t(best * kSample));
  }
  return best;
}

char* pool() {
  static char* base = [] {
    constexpr uintptr_t kPage = uintptr_t{2} << 20;
    void* p = mmap(nullptr, kPool + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
      perror("mmap");
      exit(1);
    }
    char* q = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(p) + kPage - 1) / kPage * kPage);
#ifdef MADV_HUGEPAGE
    madvise(q, kPool, MADV_HUGEPAGE);
#endif
    memset(q, 0, kPool);
    return q;
  }();
  return base;
}

// A thread walks its share of the arrays block by block and goes on from there in the next call.
double gigabytes_per_second(Kind kind, int64_t bytes, int threads) {
  constexpr int64_t kStep = kUnroll * kWidth, kSkew = 5 * 4096 + 256;  // the arrays stay off one another's cache sets
  bytes = std::min(bytes, int64_t{512} << 20);
  int64_t share = std::max(kStep, bytes / kArrays[kind] / threads / kStep * kStep);
  int64_t stride = share * threads + kSkew, block = std::min(share, kBlock), blocks = share / block;
  char* base = pool();
  double best = 0;
  for (Sweep pass : kSweeps[kind]) {
    if (!pass) continue;
    double rate = calls_per_second(threads, blocks, [&](int thread, int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        char* a = base + thread * share + i % blocks * block;
        pass((Floats*)a, (Floats*)(a + stride), (Floats*)(a + 2 * stride), block / kWidth);
      }
    });
    best = std::max(best, rate * block * kMoves[kind] * threads * 1e-9);
  }
  return best;
}

double gigaflops(bool wide, int threads) {
  int lanes = kWidth / (wide ? sizeof(double) : sizeof(float));
  double rate = calls_per_second(threads, 1000, [&](int, int64_t from, int64_t to) {
    wide ? fma_chains<Doubles>(to - from) : fma_chains<Floats>(to - from);
  });
  return rate * kChains * lanes * 2 * threads * 1e-9;
}

double region_microseconds(int threads) {
  constexpr int kTimes = 8;  // short, so that some samples fit between the time slices of neighbours
  double best = 1e9;
  for (int sample = 0; sample < 250; ++sample) {
    double begin = now();
    for (int i = 0; i < kTimes; ++i) {
#pragma omp parallel num_threads(threads)
      asm volatile("" ::: "memory");
    }
    best = std::min(best, (now() - begin) / kTimes * 1e6);
  }
  return best;
}

double cache_bytes(int level) {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  constexpr int kNames[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
  if (level >= 1 && level <= 3) return std::max<long>(0, sysconf(kNames[level - 1]));
#endif
  return 0;
}

double value_of(const std::string& what) {
  const char* kinds[] = {"read", "copy", "triad", "update"};
  int64_t bytes = 0;
  int number = 1;
  std::string type;
  for (int kind = kRead; kind <= kUpdate; ++kind)
    if (what == kinds[kind] && std::cin >> bytes >> number) return gigabytes_per_second(Kind(kind), bytes, number);
  if (what == "fma" && std::cin >> type >> number) return gigaflops(type == "f64", number);
  if (what == "region" && std::cin >> number) return region_microseconds(number);
  if (what == "cache" && std::cin >> number) return cache_bytes(number);
  fprintf(stderr, "ceilings: unknown command %s\n", what.c_str());
  exit(2);
}

}  // namespace

int main() {
  for (std::string what; std::cin >> what;) {
    printf("{\"value\": %.6g}\n", value_of(what));
    fflush(stdout);
  }
}
