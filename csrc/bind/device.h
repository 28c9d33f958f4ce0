// Arrays between devices.
#pragma once

#include "bind/common.h"
#include "runtime/cuda.h"

namespace pydl::bind {

void bind_cuda(py::module_& m);

// Whether a device has had other streams than its own.
bool several_streams();

Array to_device(const Array& x, Device device);  // dense there; x itself if it is there already
Array on_host(const Array& x);                   // the same on the CPU, for values that are read

}  // namespace pydl::bind
