// Kernels that are right and kernels that are wrong: the emulator must tell them apart. Only tests call these.
#include <string>

#include "cuda_runtime.h"

extern "C" void pydl_cuda_lent(void* block, size_t bytes);

namespace {

constexpr int kThreads = 128;

// The sum of first .. first + 127 by halves in shared memory; without barriers it depends on the order of the threads.
void tree_sum(int* y, int first, bool barriers) {
  __shared__ int part[kThreads];
  const auto t = threadIdx.x;
  part[t] = first + static_cast<int>(t);
  if (barriers) __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (t < half) part[t] += part[t + half];
    if (barriers) __syncthreads();
  }
  if (t == 0) *y = part[0];
}

void warp_words(int* y) {
  const int lane = static_cast<int>(threadIdx.x) % warpSize;
  const int up = __shfl_up_sync(~0u, lane, 1), other = __shfl_xor_sync(~0u, lane, 16),
            first = __shfl_sync(~0u, lane, 5);
  const int inner = __shfl_down_sync(~0u, lane, 2, 8);
  const unsigned votes = __ballot_sync(~0u, lane % 3 == 0);
  const bool good = up == (lane ? lane - 1 : 0) && other == (lane ^ 16) && first == 5 &&
                    inner == (lane % 8 < 6 ? lane + 2 : lane) && votes == 0x49249249u;
  if (!good) atomicAdd(y, 1);
}

void stuck(int* y) {
  if (threadIdx.x % 2) return;
  *y = __shfl_sync(~0u, 1, 0);  // half of the lanes that it names never come
}

// What a copy that has begun leaves where it will write, then what it brings.
void copies(int* y) {
  __shared__ int to[kThreads * 4];
  const auto t = threadIdx.x;
  emulator::copy_async(to + 4 * t, y + 4, 8, 16);
  emulator::close_copies();
  const bool early = to[4 * t] == -1;
  emulator::wait_copies(0);
  __syncthreads();
  const int* other = to + 4 * (kThreads - 1 - t);
  if (!early || other[0] != 7 || other[1] != 8 || other[2] != 0 || other[3] != 0) atomicAdd(y, 1);
}

// Every block leaves a number, waits for the others, and looks at all of them; with late, the last one never comes.
void grid_of_four(int* y, bool late) {
  if (late && blockIdx.x == 3) return;
  if (threadIdx.x == 0) {
    y[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
    atomicAdd(reinterpret_cast<unsigned*>(y) + 4, 1u);
    emulator::wait_for(reinterpret_cast<unsigned*>(y) + 4, 4);
  }
  __syncthreads();
  if (y[0] + y[1] + y[2] + y[3] != 10) atomicAdd(y + 5, 1);
}

int run_grid(int* y, bool late, unsigned blocks) {
  emulator::launch(
      blocks, kThreads, 0, [=] { grid_of_four(y, late); }, true);
  return cudaGetLastError();
}

template <class F>
int run(const F& kernel, int* y) {
  emulator::launch(2, kThreads, 0, [&] { kernel(y); });
  return cudaGetLastError();
}

// What a kernel that reads one number ends with.
int read(const int* x, int64_t i) {
  emulator::launch(1, 1, 0, [&] { static_cast<void>(*static_cast<const volatile int*>(x + i)); });
  return cudaGetLastError();
}

int value_of(const int* y) {
  int x = 0;
  cudaMemcpyAsync(&x, y, sizeof(x), cudaMemcpyDefault, nullptr);
  return x;
}

}  // namespace

// What a check found; see tests/cuda/test_emulator.py.
extern "C" __attribute__((visibility("default"))) int emulator_selftest(const char* check) {
  const std::string name = check;
  void* block = nullptr;
  cudaMalloc(&block, 8 * sizeof(int));
  int* y = static_cast<int*>(block);
  int found = 0;
  if (name == "fresh memory") return value_of(y);
  if (name == "host") return *y;
  cudaMemsetAsync(y, 0, sizeof(int), nullptr);
  if (name == "with barriers" || name == "without barriers") {
    for (int i = 0; i < 20; ++i) {
      run([&](int* to) { tree_sum(to, i, name == "with barriers"); }, y);
      found += value_of(y) != kThreads * i + kThreads * (kThreads - 1) / 2;
    }
  } else if (name == "warp") {
    run(warp_words, y);
    found = value_of(y);
  } else if (name == "stuck") {
    found = run(stuck, y) + 1000 * run(warp_words, y);
  } else if (name == "grid") {
    cudaMemsetAsync(y, 0, 8 * sizeof(int), nullptr);
    found = run_grid(y, false, 4) + value_of(y + 5);
  } else if (name == "grid stuck") {
    cudaMemsetAsync(y, 0, 8 * sizeof(int), nullptr);
    found = run_grid(y, true, 4) + 1000 * run(warp_words, y);
  } else if (name == "grid too large") {
    found = run_grid(y, false, 1000);
  } else if (name == "race" || name == "no race") {
    found = run([&](int* to) { tree_sum(to, 0, name == "no race"); }, y);
  } else if (name == "copies") {
    const int numbers[] = {0, 0, 0, 0, 7, 8, 9, 10};
    cudaMemcpyAsync(y, numbers, sizeof(numbers), cudaMemcpyDefault, nullptr);
    found = run(copies, y);
    found += value_of(y);
  } else if (name == "outside") {
    run([](int* to) { to[8] = 7; }, y);
  } else if (name == "unused") {
    pydl_cuda_lent(y, 7 * sizeof(int));
    found = read(y, 6) * 10 + read(y, 7);
  }
  cudaFree(block);
  return found;
}

// What becomes of a kernel that reads the i-th number from an address on.
extern "C" __attribute__((visibility("default"))) int emulator_read(const int* x, int64_t i) { return read(x, i); }
