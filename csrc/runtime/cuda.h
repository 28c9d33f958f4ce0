// The CUDA library: found and opened when a CUDA device is first asked for, and which device and stream the calling
// thread works on.
#pragma once

#include <string>
#include <vector>

#include "array/array.h"
#include "memory/pool.h"
#include "runtime/cuda_library.h"

namespace pydl {

// Why no CUDA device can be used; empty if one can.
const std::string& cuda_missing();

// The library on a device and the calling thread's stream there. DeviceError with the reason if it cannot be used.
const CudaLibrary& cuda_on(Device device);
// DeviceError that names op if a call of this thread has failed since the last time.
void check_cuda(const char* op);

int cuda_device();  // the calling thread's: what "cuda" without a number means
void set_cuda_device(int index);
void* cuda_stream(int index);  // the calling thread's on a device; null is the device's own
void set_cuda_stream(int index, void* stream);

// "cpu" or "cuda:0"
std::string device_name(Device device);

// Whether float32 may be rounded for tensor cores (see cuda_library.h).
struct Tf32 {
  bool products = false, convolutions = false;
  bool operator==(Tf32 o) const { return products == o.products && convolutions == o.convolutions; }
};
Tf32 allowed_tf32();
void allow_tf32(Tf32 allowed);

// Whether arrays may lie on a CUDA device.
bool cuda_in_use();
// Which device's memory an address is in; the CPU's where it is none's.
Device device_at(const void* address);
// Addresses that belong to a device until they are given back as often as they were added.
void add_cuda_range(const void* start, size_t bytes, Device device);
void remove_cuda_range(const void* start);

// Memory of a device in the order of the calling thread's stream there: what is freed may be handed out at once,
// because the stream comes to its new use after the old. A tensor used on another stream must outlive that use.
Storage* cuda_storage(size_t bytes, Device device);
std::vector<Pool*> cuda_pools(int index);  // all of a device

// Bytes from one place to another; `from` may be used again when it returns. `device`: one of the two.
void cuda_copy(void* to, const void* from, size_t bytes, Device device);

}  // namespace pydl
