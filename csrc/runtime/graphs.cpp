#include "runtime/graphs.h"

#include <cstring>

#include "array/errors.h"
#include "runtime/cuda.h"

namespace pydl {
namespace {

// Kernels that wait for the device, or hand it memory that is gone when they return.
constexpr const char* kOnHost[] = {"unscale", "randperm"};

Device place_of(const Launch& l) {
  for (const char* name : kOnHost)
    if (!std::strcmp(l.name, name)) return {};
  return l.device;
}

}  // namespace

Graphs::~Graphs() {
  for (const Part& part : parts_)
    if (part.device.kind != DeviceKind::cpu && (part.graph || moved_)) {
      const CudaLibrary& library = cuda_on(part.device);
      if (moved_) library.wait_device();  // its memory goes back to the pool of the stream that it was recorded on
      if (part.graph) library.graph_destroy(part.graph);
      library.error();
    }
}

void Graphs::cut() {
  for (size_t i = 0; i < launches_.size(); ++i) {
    const Device device = place_of(launches_[i]);
    if (parts_.empty() || parts_.back().device != device) parts_.push_back({i, i, device});
    parts_.back().end = i + 1;
  }
}

void Graphs::run() {
  for (Part& part : parts_)
    if (part.device.kind == DeviceKind::cpu)
      run_each(part);
    else
      run_on_device(part);
}

void Graphs::run_each(const Part& part) const {
  for (size_t i = part.begin; i < part.end; ++i) pydl::run(launches_[i]);
}

void Graphs::run_on_device(Part& part) {
  const CudaLibrary& library = cuda_on(part.device);
  void* stream = cuda_stream(part.device.index);
  if (part.ran && stream != part.stream) {
    library.wait_device();  // the replay before this one works in the same memory
    moved_ = true;
  }
  part.ran = true, part.stream = stream;
  if (part.graph && !(part.rounding == allowed_tf32())) library.graph_destroy(std::exchange(part.graph, nullptr));
  if (!part.graph && part.count() > 1 && part.why_not.empty()) make_graph(part);
  if (!part.graph) return run_each(part);
  cuda_on(part.device).graph_launch(part.graph);
  check_cuda("replay");
}

void Graphs::make_graph(Part& part) {
  const CudaLibrary& library = cuda_on(part.device);
  part.rounding = allowed_tf32();
  const bool begun = library.capture_begin();
  try {
    if (begun) run_each(part);
  } catch (const DeviceError& error) {  // one by one, the launches tell it again if it is their own
    part.why_not = error.what();
  }
  void* graph = begun ? library.capture_end() : nullptr;
  const char* message = library.error();
  if (part.why_not.empty() && !graph) part.why_not = message ? message : "the device gave no reason";
  if (part.why_not.empty())
    part.graph = graph;
  else if (graph)
    library.graph_destroy(graph);
}

std::string Graphs::report() const {
  std::string made, others;
  const auto add = [](std::string& list, const std::string& text) {
    if ((", " + list + ",").find(", " + text + ",") == std::string::npos) list += (list.empty() ? "" : ", ") + text;
  };
  for (const Part& part : parts_) {
    const bool whole = part.device.kind != DeviceKind::cpu && part.count() > 1 && part.why_not.empty();
    if (whole) made += (made.empty() ? "" : ", ") + std::to_string(part.count()) + " on " + device_name(part.device);
    if (!part.why_not.empty())
      add(others, std::to_string(part.count()) + " on " + device_name(part.device) + " (" + part.why_not + ")");
    for (size_t i = part.begin; i < part.end && !whole && part.why_not.empty(); ++i)
      add(others, std::string(launches_[i].name) + (place_of(launches_[i]) == Device{} ? " (the host)" : " (alone)"));
  }
  return "launches in graphs: " + (made.empty() ? "none" : made) +
         "; one by one: " + (others.empty() ? "none" : others);
}

}  // namespace pydl
