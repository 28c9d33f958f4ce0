#include "memory/plan_memory.h"

#include <algorithm>

#include "memory/pool.h"

namespace pydl {

PlanMemory::~PlanMemory() {
  for (const auto& [block, bytes] : blocks_) pool_free(block, bytes);
}

// The smallest idle block that fits, if at most half of it is wasted.
void* PlanMemory::allocate(size_t bytes) {
  const size_t size = std::max((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  std::lock_guard<std::mutex> lock(mutex_);
  asked_ += static_cast<int64_t>(size);
  const auto found = idle_.lower_bound(size);
  if (found != idle_.end() && found->first <= 2 * size) {
    void* block = found->second;
    live_[block] = found->first;
    idle_.erase(found);
    return block;
  }
  blocks_.reserve(blocks_.size() + 1);
  void* block = pool_allocate(size);
  blocks_.emplace_back(block, size);
  bytes_ += static_cast<int64_t>(size);
  live_[block] = size;
  return block;
}

void PlanMemory::free(void* block) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto held = live_.find(block);
  if (held == live_.end()) return;
  const size_t size = held->second;
  live_.erase(held);
  try {
    if (open_) idle_.emplace(size, block);
  } catch (const std::bad_alloc&) {  // then it is not used again
  }
}

void PlanMemory::close() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  open_ = false;
  idle_.clear();
}

int64_t PlanMemory::live() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(live_.size());
}

}  // namespace pydl
