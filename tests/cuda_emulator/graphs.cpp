// Graphs: what a thread does while it captures, with arguments as they were then, to be done again.
#include <memory>
#include <vector>

#include "cuda_runtime.h"

// Both a graph and what is made of it, which live as long as one of them.
struct EmulatedGraph {
  struct Nodes {
    std::vector<std::function<void()>> all;
    std::vector<void*> blocks;
    ~Nodes() {
      for (void* block : blocks) cudaFree(block);
    }
  };
  std::shared_ptr<Nodes> nodes = std::make_shared<Nodes>();
};

namespace {

thread_local std::unique_ptr<EmulatedGraph> making;
thread_local cudaStream_t stream_captured = nullptr;
thread_local bool spoiled = false;

}  // namespace

namespace emulator {

bool capturing() { return making != nullptr; }

bool captured(const std::function<void()>& what) {
  if (making) making->nodes->all.push_back(what);
  return making != nullptr;
}

bool freed_with_graph(void* block) {
  if (making) making->nodes->blocks.push_back(block);
  return making != nullptr;
}

cudaError_t spoil(const char* what) {
  spoiled = true;
  return fail(cudaErrorStreamCaptureUnsupported, what);
}

}  // namespace emulator

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || making) return emulator::fail(cudaErrorStreamCaptureUnsupported, "the stream cannot be captured");
  making = std::make_unique<EmulatedGraph>();
  stream_captured = stream;
  spoiled = false;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!making || stream != stream_captured) return emulator::fail(cudaErrorInvalidValue, "the stream is not captured");
  const std::unique_ptr<EmulatedGraph> made = std::move(making);
  if (spoiled) return emulator::fail(cudaErrorStreamCaptureInvalidated, "the capture was invalidated");
  *graph = new EmulatedGraph(*made);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  *made = new EmulatedGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
  for (const auto& node : graph->nodes->all) node();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return cudaGraphDestroy(graph); }
