// What libpydl_cuda hands over: one C function gives one struct of plain functions, so that neither side includes the
// headers of the other. It is the same struct for the library that runs the kernels on a CPU in tests.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pydl {

struct Kernels;

struct CudaProperties {
  char name[256];
  int64_t memory;                                  // bytes
  int32_t major, minor, multiprocessors, threads;  // threads of a multiprocessor
};

// A call works on the device and the stream that the calling thread chose last; a null stream is the device's own.
// What fails leaves a message, which `error` gives once; the result then means nothing.
struct CudaLibrary {
  int32_t devices;
  const Kernels* kernels;  // a slot without a kernel is null

  void (*use)(int device, void* stream);
  const char* (*error)();  // of the calling thread since it last asked; null if all went well

  void* (*allocate)(size_t bytes);  // null where there is no such block, without a message
  void (*release)(void* block);
  void* (*host_allocate)(size_t bytes);  // memory of the host that copies need not pass through another buffer for
  void (*host_release)(void* block);
  void (*copy)(void* to, const void* from, size_t bytes);  // between any two places, in the order of the stream
  int (*device_of)(const void* address);                   // below 0: not memory of a device
  void (*memory)(size_t* free, size_t* total);
  void (*properties)(int device, CudaProperties* made);

  void* (*stream)(int priority);
  void (*wait)();  // until all that the stream was given is done
  bool (*done)();
  void (*wait_device)();  // the same for all streams of the device

  void* (*event)(bool timing);
  void (*end_event)(void* event);
  void (*record)(void* event);    // in the stream
  void (*wait_for)(void* event);  // the stream waits for it, the host does not
  void (*wait_event)(void* event);
  bool (*event_done)(void* event);
  float (*elapsed)(void* from, void* to);  // milliseconds
};

// Counts the changes of this struct; of the table of kernels, its size tells.
constexpr int32_t kCudaVersion = 1;

// The one symbol of the library: null, and why, where it cannot be used.
using CudaEntry = const CudaLibrary* (*)(int32_t version, size_t table_bytes, const char** why_not);
constexpr const char* kCudaEntry = "pydl_cuda_library";

}  // namespace pydl
