// Graphs: launches of a plan of which some are on CUDA devices. Those that follow one another on one device are handed
// to it in one call.
//
// The first time a run of such launches comes, the device notes them instead of running them, and makes a graph of
// them. What the kernels take from numbers of the host (hyperparameters, the state of a generator) is read anew before
// each launch of the graph; see csrc/runtime/cuda_library.h. Launches that end on the host, such as checks, come
// between graphs.
#pragma once

#include <string>
#include <vector>

#include "runtime/cuda.h"
#include "runtime/plan.h"

namespace pydl {

class Graphs {
 public:
  explicit Graphs(std::vector<Launch> launches) : launches_(std::move(launches)) { cut(); }
  ~Graphs();
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  void run();
  // How many launches are in graphs, and which are not, and why.
  std::string report() const;

 private:
  // Neighbours on one device, or on the host.
  struct Part {
    size_t begin, end;
    Device device;
    void* graph = nullptr;
    void* stream = nullptr;  // that it ran on last
    Tf32 rounding{};         // when the graph was made
    bool ran = false;
    std::string why_not{};  // where the device could make no graph of them

    size_t count() const { return end - begin; }
  };
  void cut();
  void run_each(const Part& part) const;
  void run_on_device(Part& part);
  void make_graph(Part& part);

  std::vector<Launch> launches_;
  std::vector<Part> parts_;
  bool moved_ = false;  // whether it ran on several streams
};

}  // namespace pydl
