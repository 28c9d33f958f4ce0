// The runtime's functions. Each of the devices has a piece of one range of addresses, which is closed but while a
// kernel or a copy runs: what reads device memory on the host by mistake is stopped as it would be on a machine with a
// GPU. New memory holds NaNs, and every block has a margin on both sides, and behind the bytes in use, that is looked
// at when it is given back; under AddressSanitizer, margins and what is not in use are poisoned.
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "cuda_runtime.h"

struct EmulatedStream {
  int device;
};
struct EmulatedEvent {
  std::chrono::steady_clock::time_point at;
};

namespace {

constexpr int kDevices = 2;
constexpr size_t kMemory = size_t{2} << 30;  // of each device: addresses, of which only those used are real
constexpr size_t kPage = size_t{2} << 20;    // a large one: there are many pages to open and to close
constexpr size_t kMargin = 256, kAlign = 256;
constexpr unsigned char kMark = 0xa5;

thread_local int current = 0;
std::atomic<int64_t> waits{0};
thread_local cudaError_t last = cudaSuccess;
thread_local std::string text;

std::recursive_mutex lock;

struct Block {
  size_t bytes, used;
};
struct Memory {
  char* start = nullptr;
  size_t used = 0;  // bytes from start on that were ever handed out
  std::map<char*, Block> taken;
  std::multimap<size_t, char*> idle;
};
Memory memories[kDevices];
int opened = 0;
size_t changes = 0;  // of what is taken

void protect(int how) {
  for (const Memory& m : memories)
    if (m.used) mprotect(m.start, (m.used + kPage - 1) / kPage * kPage, how);
}

// Device memory is open while one of these lives.
class Open {
 public:
  Open() : held_(lock) {
    if (opened++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  ~Open() {
    if (--opened == 0) protect(PROT_NONE);
  }

 private:
  std::lock_guard<std::recursive_mutex> held_;
};

Memory& memory_of(int device) {
  Memory& m = memories[device];
  if (m.start) return m;
  void* range = mmap(nullptr, kMemory + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  m.start = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(range) + kPage - 1) / kPage * kPage);
  madvise(m.start, kMemory, MADV_HUGEPAGE);
  return m;
}

size_t padded(size_t bytes) { return (bytes + 2 * kMargin + kAlign - 1) / kAlign * kAlign; }

#ifdef __SANITIZE_ADDRESS__
void forbid(char* from, char* to) { ASAN_POISON_MEMORY_REGION(from, to - from); }
void allow(char* from, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(from, bytes); }
bool untouched(const char*, const char*) { return true; }
#else
void forbid(char* from, char* to) { std::memset(from, kMark, static_cast<size_t>(to - from)); }
void allow(char*, size_t) {}
bool untouched(const char* from, const char* to) {
  for (; from < to; ++from)
    if (static_cast<unsigned char>(*from) != kMark) return false;
  return true;
}
#endif

bool on_device(const void* at) {
  for (const Memory& m : memories)
    if (m.start && at >= m.start && at < m.start + kMemory) return true;
  return false;
}

// A kernel that writes outside its arrays is wrong in a way that no later result need show.
void check_margins(const char* block, Block b) {
  if (untouched(block - kMargin, block) && untouched(block + b.used, block + padded(b.bytes) - kMargin)) return;
  std::fprintf(stderr, "cuda emulator: a kernel wrote outside a block of %zu bytes\n", b.used);
  std::abort();
}

// The first bytes of a block are in use, and hold NaNs.
void use(char* block, Block& b, size_t bytes) {
  b.used = bytes;
  ++changes;
  allow(block, bytes);
  std::memset(block, 0xff, bytes);
  forbid(block + bytes, block + padded(b.bytes) - kMargin);
}

}  // namespace

namespace emulator {
cudaError_t fail(cudaError_t error, const char* what) {
  text = what;
  return last = error;
}
}  // namespace emulator
using emulator::fail;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return fail(cudaErrorInvalidValue, "invalid device ordinal");
  current = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* made, int device) {
  *made = {};
  std::snprintf(made->name, sizeof(made->name), "emulated device %d", device);
  made->totalGlobalMem = kMemory;
  made->sharedMemPerBlockOptin = emulator::kMostShared;
  made->major = 8;
  made->multiProcessorCount = emulator::kMultiprocessors;
  made->maxThreadsPerMultiProcessor = 2048;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* address) {
  const std::lock_guard<std::recursive_mutex> held(lock);
  *found = {};
  for (int i = 0; i < kDevices; ++i) {
    const char* start = memories[i].start;
    if (start && address >= start && address < start + kMemory) *found = {cudaMemoryTypeDevice, i};
  }
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard<std::recursive_mutex> held(lock);
  *total = kMemory;
  *free = kMemory;
  for (const auto& [block, b] : memory_of(current).taken) *free -= padded(b.bytes);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** block, size_t bytes) {
  const std::lock_guard<std::recursive_mutex> held(lock);
  Memory& m = memory_of(current);
  if (bytes > kMemory) return fail(cudaErrorMemoryAllocation, "out of memory");
  const size_t size = padded(bytes);
  const auto found = m.idle.find(size);
  char* made = nullptr;
  if (found != m.idle.end()) {
    made = found->second;
    m.idle.erase(found);
  } else {
    if (m.used + size > kMemory) return fail(cudaErrorMemoryAllocation, "out of memory");
    made = m.start + m.used + kMargin;
    m.used += size;
  }
  const Open open;
  if (opened == 1) protect(PROT_READ | PROT_WRITE);  // the memory that is new
  forbid(made - kMargin, made);
  use(made, m.taken[made] = {bytes, bytes}, bytes);
  *block = made;
  return cudaSuccess;
}

cudaError_t cudaFree(void* block) {
  if (!block) return cudaSuccess;
  const Open open;
  for (Memory& m : memories) {
    const auto found = m.taken.find(static_cast<char*>(block));
    if (found == m.taken.end()) continue;
    check_margins(found->first, found->second);
    use(found->first, found->second, 0);
    m.idle.emplace(padded(found->second.bytes), found->first);
    m.taken.erase(found);
    return cudaSuccess;
  }
  return fail(cudaErrorInvalidValue, "invalid argument");
}

// In a graph a block is the same in every launch; what a launch before it left there is no number.
cudaError_t cudaMallocAsync(void** block, size_t bytes, cudaStream_t stream) {
  const cudaError_t error = cudaMalloc(block, bytes);
  if (error == cudaSuccess && emulator::freed_with_graph(*block)) return cudaMemsetAsync(*block, 0xff, bytes, stream);
  return error;
}

cudaError_t cudaFreeAsync(void* block, cudaStream_t stream) {
  const auto size = [&] {
    const std::lock_guard<std::recursive_mutex> held(lock);
    for (const Memory& m : memories)
      if (const auto found = m.taken.find(static_cast<char*>(block)); found != m.taken.end())
        return found->second.bytes;
    return size_t{0};
  };
  if (emulator::capturing()) return cudaMemsetAsync(block, 0xff, size(), stream);
  return cudaFree(block);
}

cudaError_t cudaMallocHost(void** block, size_t bytes) {
  *block = std::malloc(bytes ? bytes : 1);
  return *block ? cudaSuccess : fail(cudaErrorMemoryAllocation, "out of memory");
}

cudaError_t cudaFreeHost(void* block) {
  std::free(block);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (!emulator::held(to, bytes) || !emulator::held(from, bytes))
    return fail(cudaErrorInvalidValue, "invalid argument");
  if (emulator::capturing()) {
    if (!on_device(to) || !on_device(from)) return emulator::spoil("a copy from or to the host while a graph is made");
    emulator::captured([=] { cudaMemcpyAsync(to, from, bytes, kind, stream); });
    return cudaSuccess;
  }
  const Open open;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (!emulator::held(to, bytes)) return fail(cudaErrorInvalidValue, "invalid argument");
  if (emulator::captured([=] { cudaMemsetAsync(to, value, bytes, stream); })) return cudaSuccess;
  const Open open;
  std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = new EmulatedStream{current};
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  ++waits;
  return emulator::capturing() ? emulator::spoil("the stream is waited for while a graph is made") : cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent{};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->at = std::chrono::steady_clock::now();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = last;
  last = cudaSuccess;
  return error;
}

const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : text.c_str(); }

namespace emulator {

bool held(const void* at, size_t bytes) {
  static thread_local const char *from = nullptr, *to = nullptr;  // the block found last
  static thread_local size_t when = 0;
  const char* p = static_cast<const char*>(at);
  if (when == changes && p >= from && p + bytes <= to) return true;
  for (const Memory& m : memories) {
    if (!m.start || p < m.start || p >= m.start + kMemory) continue;
    auto found = m.taken.upper_bound(const_cast<char*>(p));
    if (found == m.taken.begin()) return false;
    --found;
    from = found->first, to = from + found->second.used, when = changes;
    return p >= from && p + bytes <= to;
  }
  return true;
}

void launch(dim3 grid, dim3 threads, size_t shared, const std::function<void()>& kernel, bool together) {
  if (captured([=] { launch(grid, threads, shared, kernel, together); })) return;
  const Open open;
  if (const char* wrong = run(grid, threads, shared, kernel, together)) fail(cudaErrorLaunchFailure, wrong);
}

}  // namespace emulator

// Of a block, only so many bytes are in use from now on (csrc/runtime/cuda.cpp).
extern "C" __attribute__((visibility("default"))) void pydl_cuda_lent(void* block, size_t bytes) {
  const Open open;
  for (Memory& m : memories) {
    const auto found = m.taken.find(static_cast<char*>(block));
    if (found == m.taken.end()) continue;
    check_margins(found->first, found->second);
    use(found->first, found->second, std::min(bytes, found->second.bytes));
  }
}

// How often the host has waited for a stream.
extern "C" __attribute__((visibility("default"))) int64_t emulator_waits() { return waits; }
