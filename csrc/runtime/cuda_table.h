// The kernels of a CUDA device, and those of the CPU once there is one: each looks whether its arguments lie where it
// can read them before it runs.
#pragma once

#include "runtime/cuda.h"
#include "runtime/table.h"

namespace pydl {

// On the calling thread's stream of the device. Its kernels throw DeviceError: where there is none in the library,
// where an argument is elsewhere, and with what the launch said went wrong.
const Kernels& cuda_table(Device device);

// The CPU's, which then throw DeviceError where an argument is on a CUDA device.
const Kernels& guarded_table(const Kernels& cpu);

}  // namespace pydl
