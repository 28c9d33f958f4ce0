#include "runtime/cuda.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "array/errors.h"
#include "runtime/table.h"

namespace pydl {
namespace {

// A library that looks at what kernels touch has this function: from now on only so many bytes of a block are in use.
using Lent = void (*)(void* block, size_t bytes);
constexpr size_t kWhole = ~size_t{0};

struct Opened {
  const CudaLibrary* door = nullptr;
  std::string why_not;
  Lent lent = nullptr;
};

// It lies beside this library, in a package of its own. PYDL_CUDA_LIBRARY names another, such as the one for tests.
std::string library_path() {
  if (const char* given = std::getenv("PYDL_CUDA_LIBRARY")) return given;
  Dl_info here{};
  if (!dladdr(reinterpret_cast<const void*>(&cuda_missing), &here) || !here.dli_fname) return "libpydl_cuda.so";
  const std::string own = here.dli_fname;
  const size_t slash = own.rfind('/');
  return (slash == std::string::npos ? "." : own.substr(0, slash)) + "/libpydl_cuda.so";
}

// The library was opened before the process was forked off: nothing of CUDA works here.
std::atomic<bool> forked{false};

std::string why_not_opened() {
  const char* said = dlerror();
  if (access(library_path().c_str(), F_OK) == 0 && said) return said;
  return "this build of pydl has no CUDA library (it is built with -Ccmake.define.PYDL_CUDA=ON)";
}

Opened open_library() {
  void* handle = dlopen(library_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return {nullptr, why_not_opened()};
  const auto entry = reinterpret_cast<CudaEntry>(dlsym(handle, kCudaEntry));
  if (!entry) return {nullptr, "the CUDA library found is not one of pydl"};
  const char* why_not = "it gave no reason";
  const CudaLibrary* library = entry(kCudaVersion, sizeof(Kernels), &why_not);
  if (library) pthread_atfork(nullptr, nullptr, [] { forked = true; });
  return {library, library ? "" : why_not, reinterpret_cast<Lent>(dlsym(handle, "pydl_cuda_lent"))};
}

const Opened& opened() {
  static const Opened once = open_library();
  return once;
}

constexpr int kMostDevices = 64;

struct Choice {
  int device = 0;
  void* streams[kMostDevices]{};
};
thread_local Choice chosen;

std::atomic<Tf32> rounding{Tf32{}};

// Memory of one device.
class DeviceMemory : public MemorySource {
 public:
  explicit DeviceMemory(Device device) : device_(device) {}
  void* take(size_t bytes, std::unique_lock<std::mutex>& lock) override {
    const CudaLibrary& library = cuda_on(device_);
    lock.unlock();
    void* block = library.allocate(bytes);
    lock.lock();
    if (block) add_cuda_range(block, bytes, device_);
    return block;
  }
  void give(void* block, size_t) noexcept override {
    remove_cuda_range(block);
    opened().door->release(block);
  }
  void ran_out(size_t bytes) const override {
    size_t free = 0, total = 0;
    cuda_on(device_).memory(&free, &total);
    fail<DeviceError>(device_name(device_), " is out of memory: asked for ", bytes, " bytes, ", free, " of ", total,
                      " are free");
  }

 private:
  Device device_;
};

std::mutex pools_mutex;
// By device and stream; never destroyed, because arrays may outlive every static.
auto& pools() {
  static auto& all = *new std::map<std::pair<int, void*>, Pool*>;
  return all;
}

Pool& pool_of(Device device) {
  const CudaLibrary& library = cuda_on(device);
  const std::lock_guard<std::mutex> lock(pools_mutex);
  Pool*& pool = pools()[{device.index, cuda_stream(device.index)}];
  if (!pool) {
    size_t free = 0, total = 0;
    library.memory(&free, &total);
    pool = new Pool(new DeviceMemory(device), static_cast<int64_t>(total));
  }
  return *pool;
}

struct Block {
  Pool* pool;
  void* data;
  size_t bytes;
};

}  // namespace

std::string device_name(Device device) {
  return device.kind == DeviceKind::cpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

const std::string& cuda_missing() { return opened().why_not; }

const CudaLibrary& cuda_on(Device device) {
  const CudaLibrary* library = opened().door;
  if (!library) fail<DeviceError>("cuda is not available: ", cuda_missing());
  if (forked) fail<DeviceError>("cuda was in use before this process was forked off: start it by 'spawn' instead");
  if (device.index < 0 || device.index >= library->devices)
    fail<DeviceError>(device_name(device), " is not there: this machine has ", library->devices, " CUDA devices");
  library->use(device.index, chosen.streams[device.index]);
  return *library;
}

void check_cuda(const char* op) {
  if (const char* message = opened().door->error()) fail<DeviceError>(op, ": ", message);
}

Tf32 allowed_tf32() { return rounding.load(); }
void allow_tf32(Tf32 allowed) {
  rounding = allowed;
  if (const CudaLibrary* library = opened().door) library->allow_tf32(allowed.products, allowed.convolutions);
}

int cuda_device() { return chosen.device; }
void set_cuda_device(int index) { chosen.device = index; }
void* cuda_stream(int index) { return chosen.streams[index]; }
void set_cuda_stream(int index, void* stream) { chosen.streams[index] = stream; }

Storage* cuda_storage(size_t bytes, Device device) {
  Pool& pool = pool_of(device);
  if (PlanMemory* home = watched() ? recorded_memory() : nullptr) return Storage::planned(home, bytes, &pool);
  auto block = std::make_unique<Block>(Block{&pool, nullptr, bytes});
  block->data = block->pool->allocate(bytes);
  void* data = block->data;
  if (opened().lent) opened().lent(data, bytes);
  return Storage::borrow(data, bytes, false, block.release(), [](void* owner) {
    const std::unique_ptr<Block> held(static_cast<Block*>(owner));
    if (opened().lent) opened().lent(held->data, kWhole);
    held->pool->free(held->data, held->bytes);
  });
}

std::vector<Pool*> cuda_pools(int index) {
  const std::lock_guard<std::mutex> lock(pools_mutex);
  std::vector<Pool*> found;
  for (const auto& [key, pool] : pools())
    if (key.first == index) found.push_back(pool);
  return found;
}

void cuda_copy(void* to, const void* from, size_t bytes, Device device) {
  const CudaLibrary& library = cuda_on(device);
  library.copy(to, from, bytes);
  library.wait();
  check_cuda("copy");
}

}  // namespace pydl
