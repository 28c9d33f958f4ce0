// Which table of kernels a device uses. The CPU's is chosen once, at first use: the best ISA that the machine has by
// its CPUID features, never by its vendor. PYDL_ISA=base|avx2|avx512|amx caps the choice.
#pragma once

#include "array/array.h"

namespace pydl {

const char* cpu_isa();  // "base", "avx2", "avx512", "avx512_bf16" or "amx"

// The kernels of one family, e.g. kernels<ReduceKernels>(device), so that whoever launches one family need not know the
// others. Throws DeviceError with the reason if the device cannot be used.
template <class Family>
const Family& kernels(Device device);

// Their names, in the order of the slots.
template <class Family>
const char* const* kernel_names();

}  // namespace pydl
