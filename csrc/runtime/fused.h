// Fused: elementwise launches over one index space that run together, tile by tile. Each stage is a recorded launch
// whose views are set to the tile; arrays that only the chain reads are small buffers of the thread.
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
    char* data;       // of the whole array
    int64_t slot;     // where its buffer begins, in bytes; -1 for an array in memory
    int64_t size;     // bytes of an element
    int64_t strides[kMaxAxes];
  };
  struct Stage {
    void (*run)(const void* call);
    const void* call;
    size_t bytes, at;  // of the call, and where its copy lies
    int ndim, count;
    int64_t shape[kMaxAxes], inner[kMaxAxes];  // inner: elements of one index of an axis
    Operand operand[kOperands];
  };

  int64_t n, tile;
  int64_t work;           // of one element, in the units of parallel_for
  size_t buffers, calls;  // bytes
  const Stage* stages;
  int count;

  void run() const;
  void run_tiles(int64_t begin, int64_t end) const;
};

}  // namespace pydl
