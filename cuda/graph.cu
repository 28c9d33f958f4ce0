// Graphs of launches. The numbers that kernels take from the host lie in pages of a graph's own on the device. Before
// the graph is launched, what makes them is called in the order in which its kernels were, and each page goes to the
// device as the argument of a kernel: such a copy waits for nothing, and its source is free at once.
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "graph.cuh"
#include "runtime/cuda_library.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 128;
constexpr size_t kPage = kCudaSend, kAlign = 16;

struct Page {
  alignas(kAlign) unsigned char bytes[kPage];
};

// Numbers on a page of the device, and what they are made of.
struct Feed {
  size_t page, at, bytes;
  void (*make)(void* to, const void* sources);
  size_t sources;  // where they begin, in words
};

struct Graph {
  cudaStream_t stream = nullptr;  // to capture on
  cudaGraphExec_t graph = nullptr;
  std::vector<void*> pages;
  size_t used = kPage;  // of the last one
  std::vector<Feed> feeds;
  std::vector<std::max_align_t> sources;

  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    if (graph) note(cudaGraphExecDestroy(graph));
    if (stream) note(cudaStreamDestroy(stream));
    for (void* page : pages) note(cudaFree(page));
  }
};

thread_local std::unique_ptr<Graph> making;

__global__ void __launch_bounds__(kThreads) send_kernel(Page page, int bytes, unsigned char* to) {
  for (int i = static_cast<int>(threadIdx.x); i < bytes; i += kThreads) to[i] = page.bytes[i];
}

__global__ void __launch_bounds__(kThreads) place_kernel(const unsigned char* from, int bytes, unsigned char* to) {
  for (int i = static_cast<int>(threadIdx.x); i < bytes; i += kThreads) to[i] = from[i];
}

size_t rounded(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// A place for so many bytes; null, and a message, if there is none.
unsigned char* place(Graph& g, size_t bytes, size_t* at) {
  if (g.used + bytes > kPage) {
    void* page = nullptr;
    note(cudaMalloc(&page, kPage));
    if (!page) return nullptr;
    g.pages.push_back(page);
    g.used = 0;
  }
  *at = g.used;
  g.used += rounded(bytes);
  return static_cast<unsigned char*>(g.pages.back()) + *at;
}

struct Sent {
  const void* from;
  size_t bytes;
};

}  // namespace

cudaStream_t capture_stream() { return making ? making->stream : nullptr; }

void* fed(size_t bytes, void (*make)(void* to, const void* sources), const void* sources, size_t source_bytes) {
  if (!making) return nullptr;
  Graph& g = *making;
  Feed feed{0, 0, bytes, make, g.sources.size()};
  unsigned char* there = bytes <= kPage ? place(g, bytes, &feed.at) : nullptr;
  if (!there) {
    missing("there is no room for the numbers of a graph");
    return &g;  // it is never read, as nothing becomes of the graph
  }
  g.sources.resize(g.sources.size() + (source_bytes + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
  std::memcpy(g.sources.data() + feed.sources, sources, source_bytes);
  feed.page = g.pages.size() - 1;
  g.feeds.push_back(feed);
  return there;
}

void send(void* to, const void* from, size_t bytes) {
  const auto target = static_cast<unsigned char*>(to);
  if (making) {
    const Sent sent{from, bytes};
    const auto copy = [](void* there, const void* s) {
      const auto* source = static_cast<const Sent*>(s);
      std::memcpy(there, source->from, source->bytes);
    };
    const void* there = fed(bytes, copy, &sent, sizeof(sent));
    start(place_kernel, {1, kThreads}, static_cast<const unsigned char*>(there), static_cast<int>(bytes), target);
    return;
  }
  Page page;
  std::memcpy(page.bytes, from, bytes);
  start(send_kernel, {1, kThreads}, page, static_cast<int>(bytes), target);
}

// The legacy stream cannot be captured, so there is one for this.
bool capture_begin() {
  auto made = std::make_unique<Graph>();
  note(cudaStreamCreateWithPriority(&made->stream, cudaStreamNonBlocking, 0));
  if (has_failed()) return false;
  note(cudaStreamBeginCapture(made->stream, cudaStreamCaptureModeRelaxed));
  if (has_failed()) return false;
  making = std::move(made);
  return true;
}

void* capture_end() {
  std::unique_ptr<Graph> made = std::move(making);
  cudaGraph_t captured = nullptr;
  note(cudaStreamEndCapture(made->stream, &captured));
  if (captured && !has_failed()) note(cudaGraphInstantiateWithFlags(&made->graph, captured, 0));
  if (captured) note(cudaGraphDestroy(captured));
  return has_failed() ? nullptr : made.release();
}

void graph_launch(void* graph) {
  Graph& g = *static_cast<Graph*>(graph);
  Page page;
  for (size_t i = 0, feed = 0; i < g.pages.size(); ++i) {
    size_t end = 0;
    for (; feed < g.feeds.size() && g.feeds[feed].page == i; ++feed) {
      const Feed& f = g.feeds[feed];
      f.make(page.bytes + f.at, g.sources.data() + f.sources);
      end = f.at + f.bytes;
    }
    start(send_kernel, {1, kThreads}, page, static_cast<int>(end), static_cast<unsigned char*>(g.pages[i]));
  }
  note(cudaGraphLaunch(g.graph, stream()));
}

void graph_destroy(void* graph) { delete static_cast<Graph*>(graph); }

}  // namespace pydl::cuda
