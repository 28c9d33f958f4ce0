// Reading at integer indices, and the indices themselves. Elements are moved as bits, 16 bytes at a time where rows
// allow.
#include "device.cuh"
#include "runtime/table/index.h"
#include "runtime/table/place.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;

struct Bytes16 {
  uint64_t low, high;
};

// y[o, j, i] = x[o, index[...], i]; kEach: an index for every element, not for every row.
template <bool kEach, class U>
__global__ void __launch_bounds__(kThreads)
    take_kernel(int64_t total, int64_t n, int64_t k, int64_t inner, const U* x, const int64_t* index, U* y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < total; e += step) {
    const int64_t row = e / inner, i = e - row * inner, o = row / k, j = row - o * k;
    y[e] = x[(o * n + index[kEach ? e : j]) * inner + i];
  }
}

template <bool kEach, class U>
void take(const View& x, const View& index, const View& y, int64_t inner) {
  const int64_t total = y.shape[0] * y.shape[1] * inner;
  start(take_kernel<kEach, U>, {blocks_for(total, kThreads), kThreads}, total, x.shape[1], y.shape[1], inner,
        x.as<const U>(), index.as<const int64_t>(), y.as<U>());
}

bool whole_vectors(const View& x, int64_t bytes) {
  return bytes % 16 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

__global__ void __launch_bounds__(kThreads)
    check_kernel(const void* index, bool wide, int64_t count, int64_t n, unsigned long long* report) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  unsigned long long facts = 0;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const int64_t at = wide ? static_cast<const int64_t*>(index)[i] : static_cast<const int32_t*>(index)[i];
    facts |= (at < -n || at >= n ? 1u : 0u) | (at < 0 ? 2u : 0u);
  }
  if (facts) atomicOr(report, facts);
}

__global__ void __launch_bounds__(kThreads)
    fold_kernel(const void* index, bool wide, int64_t count, int64_t n, int64_t* y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const int64_t at = wide ? static_cast<const int64_t*>(index)[i] : static_cast<const int32_t*>(index)[i];
    y[i] = y[i] * n + (at < 0 ? at + n : at);
  }
}

}  // namespace

void index_select(View x, View index, View y) {
  if (y.numel() == 0) return;
  with_bits(y.dtype, [&](auto zero) {
    const int64_t bytes = y.shape[2] * static_cast<int64_t>(sizeof(zero));
    if (whole_vectors(x, bytes) && whole_vectors(y, bytes)) return take<false, Bytes16>(x, index, y, bytes / 16);
    take<false, decltype(zero)>(x, index, y, y.shape[2]);
  });
}

void gather(View x, View index, View y) {
  if (y.numel() == 0) return;
  with_bits(y.dtype, [&](auto zero) { take<true, decltype(zero)>(x, index, y, y.shape[2]); });
}

void check_index(View index, int64_t n, View report) {
  const int64_t count = index.numel();
  if (count == 0) return;
  start(check_kernel, {blocks_for(count, kThreads), kThreads}, index.data, index.dtype == Dtype::i64, count, n,
        report.as<unsigned long long>());
}

void fold_index(View index, int64_t n, View y) {
  const int64_t count = index.numel();
  if (count == 0) return;
  start(fold_kernel, {blocks_for(count, kThreads), kThreads}, index.data, index.dtype == Dtype::i64, count, n,
        y.as<int64_t>());
}

}  // namespace pydl::cuda
