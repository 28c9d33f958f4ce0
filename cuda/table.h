// The table of the GPU's kernels.
#pragma once

#include <cstddef>

namespace pydl {
struct Kernels;
}

namespace pydl::cuda {

const Kernels& kernels();
size_t table_bytes();

}  // namespace pydl::cuda
