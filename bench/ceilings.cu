// The ceilings of a GPU, on demand, by the protocol of ceilings.cpp: reads one command a line, answers {"value":
// number}.
//
//   fma f32|f64|tf32|f16|bf16 N       GFLOP/s of independent multiply-add chains in registers: of float32 by the plain
//                                     units, of TF32 and 16-bit floats by mma.sync, of float64 by the faster of both
//   read|copy|triad|update BYTES N    GB/s of one pass over BYTES that no cache holds
//   launch N                          microseconds from one empty kernel to the next
//
// An unknown unit's rate is 0. N, the threads of the CPU's program, means nothing here. The argument: KiB that are read
// before each pass. A value is the best of five samples. mma.sync reaches a part of what a GPU's newest matrix
// instructions do: a product by cuBLAS, measured beside it, tells the rest.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "mma.cuh"

namespace pydl::cuda {

cudaStream_t stream() { return nullptr; }
void missing(const char* what) {
  std::fprintf(stderr, "ceilings: %s\n", what);
  std::exit(1);
}
void note(cudaError_t result) {
  if (result != cudaSuccess) missing(cudaGetErrorString(result));
}
int multiprocessors() {
  static const int count = [] {
    cudaDeviceProp found;
    note(cudaGetDeviceProperties(&found, 0));
    return found.multiProcessorCount;
  }();
  return count;
}

namespace {

constexpr int kThreads = 256, kChains = 16, kTiles = 8, kUnroll = 8, kSamples = 5;
constexpr int kFlight = 4;       // vectors of a thread under way in a pass
constexpr float kSample = 1.0f;  // milliseconds
constexpr int kMostRounds = 1 << 16;

// ---- arithmetic: every thread, or warp, has chains of its own; the condition that no result meets keeps the work

template <class T>
__global__ void __launch_bounds__(kThreads) plain_chains(T* never, int rounds) {
  T sums[kChains];
  const T factor = T(0.999), term = T(1e-3) * static_cast<T>(threadIdx.x + 1);
#pragma unroll
  for (int i = 0; i < kChains; ++i) sums[i] = static_cast<T>(i);
  for (int r = 0; r < rounds; ++r)
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + term;
  T all = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) all += sums[i];
  if (all == T(-1)) *never = all;
}

__device__ __forceinline__ float drawn(unsigned i) {  // around 0, all bits in use
  i = (i + 1) * 2654435761u;
  return static_cast<float>(static_cast<int>(i ^ i >> 15)) * 4.6e-10f;
}

// Four bytes of a fragment: two numbers of 16 bits, or one of TF32, for which float stands.
template <class S>
__device__ __forceinline__ uint32_t packed(float low, float high) {
  if constexpr (std::is_same_v<S, float>)
    return to_tf32(low);
  else
    return paired<S>(low, high);
}

template <class S>
__global__ void __launch_bounds__(kThreads) short_chains(float* never, int rounds) {
  float sums[kTiles][4];
  uint32_t a[4];
  const unsigned first = threadIdx.x * 8;
#pragma unroll
  for (unsigned k = 0; k < 4; ++k) a[k] = packed<S>(drawn(first + k), drawn(first + k + 4));
#pragma unroll
  for (int i = 0; i < kTiles; ++i)
#pragma unroll
    for (int k = 0; k < 4; ++k) sums[i][k] = 0;
  for (int r = 0; r < rounds; ++r)
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int i = 0; i < kTiles; ++i) multiply<S>(sums[i], a, a[i % 4], a[(i + 1) % 4]);
  float all = 0;
#pragma unroll
  for (int i = 0; i < kTiles; ++i) all += sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
  if (all == -1e30f) *never = all;
}

__global__ void __launch_bounds__(kThreads) double_chains(double* never, int rounds) {
  double sums[kTiles][2];
  const double a = drawn(threadIdx.x), b = drawn(threadIdx.x + 1024);
#pragma unroll
  for (int i = 0; i < kTiles; ++i) sums[i][0] = sums[i][1] = 0;
  for (int r = 0; r < rounds; ++r)
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int i = 0; i < kTiles; ++i) multiply(sums[i], a, b);
  double all = 0;
#pragma unroll
  for (int i = 0; i < kTiles; ++i) all += sums[i][0] + sums[i][1];
  if (all == -1e300) *never = all;
}

// ---- passes over memory

enum class Pass { read, copy, triad, update };
constexpr int kArrays[] = {1, 2, 3, 1}, kMoves[] = {1, 2, 3, 2};

struct alignas(16) Four {
  float x, y, z, w;
};

__device__ __forceinline__ Four scaled(Four a, Four b) {
  return {a.x + 0.999f * b.x, a.y + 0.999f * b.y, a.z + 0.999f * b.z, a.w + 0.999f * b.w};
}

template <Pass P>
__global__ void __launch_bounds__(kThreads) pass(Four* a, Four* b, Four* c, int64_t n) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  Four all{};
  for (int64_t first = int64_t{blockIdx.x} * kThreads + threadIdx.x; first < n; first += kFlight * step) {
    Four x[kFlight], y[kFlight]{};
#pragma unroll
    for (int k = 0; k < kFlight; ++k) {
      const int64_t i = first + k * step;
      if (i < n) x[k] = a[i];
      if (P == Pass::triad && i < n) y[k] = b[i];
    }
#pragma unroll
    for (int k = 0; k < kFlight; ++k) {
      const int64_t i = first + k * step;
      if (i >= n) break;
      if (P == Pass::read) all = scaled(x[k], all);
      if (P == Pass::copy) b[i] = x[k];
      if (P == Pass::triad) c[i] = scaled(x[k], y[k]);
      if (P == Pass::update) a[i] = scaled(x[k], x[k]);
    }
  }
  if (P == Pass::read && all.x + all.y + all.z + all.w == -1e30f) *b = all;
}

__global__ void __launch_bounds__(kThreads) fill(Four* a, int64_t n) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += step) {
    const auto u = static_cast<unsigned>(i) * 4;
    a[i] = {drawn(u), drawn(u + 1), drawn(u + 2), drawn(u + 3)};
  }
}

__global__ void nothing() {}

// ---- measuring

class Memory {
 public:
  // At least so many bytes, filled with numbers.
  Four* of(int64_t bytes) {
    if (bytes <= bytes_) return data_;
    note(cudaFree(data_));
    void* made = nullptr;
    note(cudaMalloc(&made, static_cast<size_t>(bytes)));
    data_ = static_cast<Four*>(made);
    bytes_ = bytes;
    start(fill, {grid(), kThreads}, data_, bytes / static_cast<int64_t>(sizeof(Four)));
    return data_;
  }
  static unsigned grid() { return static_cast<unsigned>(multiprocessors()) * 16; }

 private:
  Four* data_ = nullptr;
  int64_t bytes_ = 0;
};

template <class F>
float milliseconds(const F& work) {
  static cudaEvent_t events[2] = {nullptr, nullptr};
  for (cudaEvent_t& e : events)
    if (!e) note(cudaEventCreateWithFlags(&e, cudaEventDefault));
  note(cudaEventRecord(events[0], nullptr));
  work();
  note(cudaEventRecord(events[1], nullptr));
  note(cudaEventSynchronize(events[1]));
  float found = 0;
  note(cudaEventElapsedTime(&found, events[0], events[1]));
  return found > 1e-6f ? found : 1e-6f;
}

// GFLOP/s of `work(blocks, rounds)`, in which a block does so many operations in each round.
template <class F>
double rate(double operations, const F& work) {
  const auto blocks = static_cast<unsigned>(multiprocessors()) * 8;
  int rounds = 1;
  while (rounds < kMostRounds && milliseconds([&] { work(blocks, rounds); }) < kSample) rounds *= 2;
  double best = 0;
  for (int i = 0; i < kSamples; ++i) {
    const double found = operations * rounds * blocks / milliseconds([&] { work(blocks, rounds); }) * 1e-6;
    best = found > best ? found : best;
  }
  return best;
}

constexpr double kPlain = 2.0 * kThreads * kChains * kUnroll, kWarps = kThreads / 32;

template <class T>
double plain_rate(Memory& memory) {
  auto* never = reinterpret_cast<T*>(memory.of(64));
  return rate(kPlain, [&](unsigned blocks, int rounds) { start(plain_chains<T>, {blocks, kThreads}, never, rounds); });
}
template <class S>
double short_rate(Memory& memory) {
  constexpr double kDepth = 32.0 / sizeof(S);  // of a fragment
  auto* never = reinterpret_cast<float*>(memory.of(64));
  return rate(kWarps * kTiles * kUnroll * 2 * 16 * 8 * kDepth, [&](unsigned blocks, int rounds) {
    start(short_chains<S>, {blocks, kThreads}, never, rounds);
  });
}
double double_rate(Memory& memory) {
  auto* never = reinterpret_cast<double*>(memory.of(64));
  const double tensor = rate(kWarps * kTiles * kUnroll * 2 * 8 * 8 * 4, [&](unsigned blocks, int rounds) {
    start(double_chains, {blocks, kThreads}, never, rounds);
  });
  const double plain = plain_rate<double>(memory);
  return tensor > plain ? tensor : plain;
}

double arithmetic(const std::string& unit, Memory& memory) {
  if (unit == "f32") return plain_rate<float>(memory);
  if (unit == "f64") return double_rate(memory);
  if (unit == "tf32") return short_rate<float>(memory);
  if (unit == "f16") return short_rate<f16>(memory);
  if (unit == "bf16") return short_rate<bf16>(memory);
  return 0;
}

template <Pass P>
double bandwidth(int64_t bytes, int64_t displaced, Memory& memory, Memory& other) {
  constexpr int kP = static_cast<int>(P);
  const int64_t n = bytes / kArrays[kP] / static_cast<int64_t>(sizeof(Four)) + 1;
  Four* a = memory.of(3 * n * static_cast<int64_t>(sizeof(Four)));
  Four* unrelated = other.of(displaced);
  double best = 0;
  for (int i = 0; i < kSamples; ++i) {
    start(pass<Pass::read>, {Memory::grid(), kThreads}, unrelated, unrelated, unrelated,
          displaced / static_cast<int64_t>(sizeof(Four)));
    const double moved = static_cast<double>(kMoves[kP]) * static_cast<double>(n) * sizeof(Four);
    const double found = moved / milliseconds([&] {
                           start(pass<P>, {Memory::grid(), kThreads}, a, a + n, a + 2 * n, n);
                         }) *
                         1e-6;
    best = found > best ? found : best;
  }
  return best;
}

double answer(const std::string& what, const std::string& detail, int64_t displaced) {
  static Memory memory, other;
  if (what == "fma") return arithmetic(detail, memory);
  if (what == "launch") {
    constexpr int kLaunches = 100;
    return 1e3 / kLaunches * milliseconds([] {
             for (int i = 0; i < kLaunches; ++i) start(nothing, {1, 32});
           });
  }
  const int64_t bytes = std::stoll(detail);
  if (what == "read") return bandwidth<Pass::read>(bytes, displaced, memory, other);
  if (what == "copy") return bandwidth<Pass::copy>(bytes, displaced, memory, other);
  if (what == "triad") return bandwidth<Pass::triad>(bytes, displaced, memory, other);
  return bandwidth<Pass::update>(bytes, displaced, memory, other);
}

}  // namespace
}  // namespace pydl::cuda

int main(int, char** arguments) {
  const int64_t displaced = std::stoll(arguments[1]) << 10;
  std::string what, detail, threads;
  while (std::cin >> what >> detail) {
    if (what != "launch") std::cin >> threads;
    std::printf("{\"value\": %.6g}\n", pydl::cuda::answer(what, detail, displaced));
    std::fflush(stdout);
  }
}
