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

  // Few bytes of the host (kCudaSend at most) to the device, in the order of the stream; they may be used again at
  // once. In a graph they are read anew before each launch of it.
  void (*send)(void* to, const void* from, size_t bytes);

  // What the calling thread launches on the device in between becomes a graph instead of running; false or null, and a
  // message, where that cannot be. What kernels read on the host is not read until the graph is launched.
  bool (*capture_begin)();
  void* (*capture_end)();
  void (*graph_launch)(void* graph);  // on the stream
  void (*graph_destroy)(void* graph);

  // Whether float32 may be rounded to 10 bits behind the point for tensor cores, in all launches from now on.
  void (*allow_tf32)(bool products, bool convolutions);
};

constexpr size_t kCudaSend = 2048;

// Counts the changes of this struct; of the table of kernels, its size tells.
constexpr int32_t kCudaVersion = 2;

// The one symbol of the library: null, and why, where it cannot be used.
using CudaEntry = const CudaLibrary* (*)(int32_t version, size_t table_bytes, const char** why_not);
constexpr const char* kCudaEntry = "pydl_cuda_library";

}  // namespace pydl
