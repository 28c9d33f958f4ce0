// Graphs of launches: what csrc/runtime/cuda_library.h says about them.
#pragma once

#include "device.cuh"

namespace pydl::cuda {

cudaStream_t capture_stream();  // of the graph that the calling thread makes; null where it makes none
bool has_failed();              // whether there is a message that nobody has asked for

void send(void* to, const void* from, size_t bytes);
bool capture_begin();
void* capture_end();
void graph_launch(void* graph);
void graph_destroy(void* graph);

}  // namespace pydl::cuda
