// Fused: elementwise launches over one index space that run together, tile by tile, and reductions of what they make.
// Each stage is a recorded launch whose views are set to the tile; arrays that only the chain reads are small buffers
// of the thread, and so are large results until their tile is complete.
#pragma once

#include <cstddef>
#include <cstdint>

#include "array/view.h"

namespace pydl {

// All of it lies in the plan's arena.
struct Fused {
  static constexpr int kOperands = 4;
  struct Operand {
    ptrdiff_t place;  // of its view, in the call
    void* data;       // of the whole array
    int64_t slot;     // where its buffer begins, in bytes; -1 for an array in memory
    int64_t size;     // bytes of an element
    int64_t strides[kMaxAxes];
  };
  struct Stage {
    void (*run)(const void* call);
    const void* call;
    size_t bytes, at;  // of the call, and where its copy lies
    int ndim, count;
    bool reduces;                              // along the last axis, of which the last operand has one element
    int64_t shape[kMaxAxes], inner[kMaxAxes];  // inner: elements of one index of an axis
    Operand operand[kOperands];
  };
  // A result in a buffer that goes to memory past the caches.
  struct Result {
    void* data;
    int64_t slot, size;
  };
  // The sum of the partial results of a stage that adds all elements.
  struct Total {
    void *parts, *sum;
    int64_t count;
    Dtype dtype;
  };

  int64_t n, tile;
  int64_t work;           // of one element, in the units of parallel_for
  size_t buffers, calls;  // bytes
  const Stage* stages;
  const Result* results;
  const Total* totals;
  int count, result_count, total_count;

  void run() const;
  void run_tiles(int64_t begin, int64_t end) const;
};

}  // namespace pydl
