// parallel_for: the one way to use several threads. Kernels may include this header.
//
// Work is cut into blocks by its size alone, never by the number of threads, and each block is run by whichever thread
// is free, so results are the same bits for any number of threads. Small work stays on the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pydl {

using Body = void (*)(const void* context, int64_t begin, int64_t end);

// Calls body for blocks of `grain` items that cover [0, n), from several threads.
void parallel_run(int64_t n, int64_t grain, Body body, const void* context) noexcept;

// A buffer of the calling thread's own, 64-byte aligned, kept between calls. Each slot is one buffer; its contents last
// until the same thread asks for the same slot again.
void* scratch(int slot, size_t bytes) noexcept;

// Bytes of a core's second level cache; 256 KiB where the system does not tell.
int64_t second_level_cache() noexcept;

#ifdef PYDL_ISA
namespace PYDL_ISA {
namespace {

// Work is counted in units of about one float read, computed and written. A block is the work one thread takes at a
// time. Below kParallelWork (some 25 us) a second thread wins less than it can cost: with its core taken by a
// neighbour, waiting for it was measured at 300 to 600 us.
constexpr int64_t kBlockWork = 32768;
constexpr int64_t kParallelWork = 8 * kBlockWork;

// Runs f(begin, end) over [0, n); `cost` is the work of one item in those units.
template <class F>
inline void parallel_for(int64_t n, int64_t cost, const F& f) {
  if (n <= 0) return;
  const int64_t grain = cost >= kBlockWork ? 1 : kBlockWork / (cost > 0 ? cost : 1);
  if (n <= grain || n * (cost > 0 ? cost : 1) < kParallelWork) return f(0, n);
  parallel_run(
      n, grain, [](const void* context, int64_t begin, int64_t end) { (*static_cast<const F*>(context))(begin, end); },
      &f);
}

}  // namespace
}  // namespace PYDL_ISA
#endif

}  // namespace pydl
