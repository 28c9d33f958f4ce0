// The order of integers: a stable radix sort of places by their keys, and running sums of counts. The same on every
// run.
#pragma once

#include "device.cuh"

namespace pydl::cuda {

// counts[i] becomes the sum of those before it; one block.
void exclusive_sums(int64_t* counts, int64_t n);

// order (k) becomes 0..k-1 sorted by keys in [0, n), equal ones as they were; other (k) is memory to work in. Returns
// which of the two it is in.
const int64_t* sorted_places(const int64_t* keys, int64_t n, int64_t k, int64_t* order, int64_t* other);

}  // namespace pydl::cuda
