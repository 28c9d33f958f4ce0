// Which addresses are memory of a CUDA device.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <map>
#include <shared_mutex>

#include "runtime/cuda.h"

namespace pydl {

namespace {

std::atomic<bool> in_use{false};

struct Range {
  uintptr_t end;
  Device device;
  int count;
};

std::shared_mutex ranges_mutex;
// By their start; never destroyed, because arrays may outlive every static.
auto& ranges() {
  static auto& all = *new std::map<uintptr_t, Range>;
  return all;
}

}  // namespace

bool cuda_in_use() { return in_use.load(std::memory_order_relaxed); }

Device device_at(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  const std::shared_lock<std::shared_mutex> lock(ranges_mutex);
  const auto after = ranges().upper_bound(at);
  if (after == ranges().begin()) return {};
  const Range& before = std::prev(after)->second;
  return at < before.end ? before.device : Device{};
}

void add_cuda_range(const void* start, size_t bytes, Device device) {
  const std::unique_lock<std::shared_mutex> lock(ranges_mutex);
  const auto at = reinterpret_cast<uintptr_t>(start);
  Range& range = ranges().try_emplace(at, Range{at, device, 0}).first->second;
  range.end = std::max(range.end, at + bytes);
  ++range.count;
  in_use = true;
}

void remove_cuda_range(const void* start) {
  const std::unique_lock<std::shared_mutex> lock(ranges_mutex);
  const auto found = ranges().find(reinterpret_cast<uintptr_t>(start));
  if (found != ranges().end() && --found->second.count == 0) ranges().erase(found);
}

}  // namespace pydl
