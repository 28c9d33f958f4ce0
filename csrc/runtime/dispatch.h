// Which table of kernels a device uses. The CPU's is chosen once, at first use: the best ISA that the machine has by
// its CPUID features, never by its vendor. PYDL_ISA=base|avx2|avx512 caps the choice.
#pragma once

#include "array/array.h"
#include "runtime/table.h"

namespace pydl {

const Kernels& cpu_kernels();
const char* cpu_isa();  // "base", "avx2" or "avx512"

// Throws DeviceError with the reason if the device cannot be used.
const Kernels& kernels(Device device);

}  // namespace pydl
