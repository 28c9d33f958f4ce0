// The CUDA library: found and opened when a CUDA device is first asked for.
#pragma once

#include <string>

namespace pydl {

// Why no CUDA device can be used; empty if one can.
const std::string& cuda_missing();

}  // namespace pydl
