#include "memory/plan_memory.h"

#include <algorithm>

#include "memory/plan_blocks.h"
#include "memory/pool.h"

namespace pydl {
namespace {

struct Place {
  const char* end;
  const PlanMemory* owner;
  bool live;  // an array lies in it
};
// Never destroyed, as arrays may outlive every static.
struct Blocks {
  std::mutex mutex;
  std::map<const char*, Place> by_address;
};
Blocks& all_blocks() {
  static auto* blocks = new Blocks;
  return *blocks;
}

void set_live(const void* block, bool live) {
  Blocks& all = all_blocks();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.by_address.find(static_cast<const char*>(block));
  if (found != all.by_address.end()) found->second.live = live;
}

}  // namespace

const PlanMemory* plan_memory_at(const void* address) {
  Blocks& all = all_blocks();
  std::lock_guard<std::mutex> lock(all.mutex);
  const char* at = static_cast<const char*>(address);
  auto after = all.by_address.upper_bound(at);
  if (after == all.by_address.begin() || (--after)->second.end <= at) return nullptr;
  return after->second.owner;
}

std::pair<const char*, const char*> plan_block_at(const void* address) {
  Blocks& all = all_blocks();
  std::lock_guard<std::mutex> lock(all.mutex);
  const char* at = static_cast<const char*>(address);
  auto after = all.by_address.upper_bound(at);
  if (after == all.by_address.begin() || (--after)->second.end <= at) return {nullptr, nullptr};
  return {after->first, after->second.end};
}

std::vector<std::pair<const char*, const char*>> live_blocks(const PlanMemory* memory) {
  Blocks& all = all_blocks();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::vector<std::pair<const char*, const char*>> found;
  for (const auto& [begin, block] : all.by_address)
    if (block.owner == memory && block.live) found.emplace_back(begin, block.end);
  return found;
}

PlanMemory::~PlanMemory() {
  for (const auto& [block, size] : blocks_) give_back(block, size);
}

void PlanMemory::give_back(void* block, const Size& size) noexcept {
  {
    std::lock_guard<std::mutex> lock(all_blocks().mutex);
    all_blocks().by_address.erase(static_cast<const char*>(block));
  }
  if (size.first)
    size.first->free(block, size.second);
  else
    pool_free(block, size.second);
}

// The smallest idle block that fits, if at most half of it is wasted.
void* PlanMemory::allocate(size_t bytes, Pool* pool) {
  const size_t size = std::max((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  std::lock_guard<std::mutex> lock(mutex_);
  asked_ += static_cast<int64_t>(size);
  const auto found = idle_.lower_bound({pool, size});
  if (found != idle_.end() && found->first.first == pool && found->first.second <= 2 * size) {
    void* block = found->second;
    live_[block] = found->first;
    idle_.erase(found);
    set_live(block, true);
    return block;
  }
  blocks_.reserve(blocks_.size() + 1);
  void* block = pool ? pool->allocate(size) : pool_allocate(size);
  blocks_.emplace_back(block, Size{pool, size});
  {
    std::lock_guard<std::mutex> all(all_blocks().mutex);
    const char* begin = static_cast<const char*>(block);
    all_blocks().by_address[begin] = {begin + size, this, true};
  }
  bytes_ += static_cast<int64_t>(size);
  live_[block] = {pool, size};
  return block;
}

void PlanMemory::free(void* block) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto held = live_.find(block);
  if (held == live_.end()) return;
  const Size size = held->second;
  live_.erase(held);
  set_live(block, false);
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

std::vector<PlanMemory::Block> PlanMemory::blocks() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Block> found;
  for (const auto& [block, size] : blocks_) {
    const char* begin = static_cast<const char*>(block);
    if (!size.first) found.push_back({begin, begin + size.second, live_.count(block) > 0});
  }
  std::sort(found.begin(), found.end(), [](const Block& a, const Block& b) { return a.begin < b.begin; });
  return found;
}

void* PlanMemory::exchange(const std::vector<const void*>& left, size_t bytes) {
  void* fresh = nullptr;
  if (bytes) {
    fresh = allocate(bytes);
    free(fresh);
    asked_ -= static_cast<int64_t>(bytes);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  const auto gone = std::partition(blocks_.begin(), blocks_.end(), [&](const auto& block) {
    return !std::binary_search(left.begin(), left.end(), static_cast<const void*>(block.first));
  });
  for (auto block = gone; block != blocks_.end(); ++block) {
    bytes_ -= static_cast<int64_t>(block->second.second);
    give_back(block->first, block->second);
  }
  blocks_.erase(gone, blocks_.end());
  return fresh;
}

int64_t PlanMemory::live() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(live_.size());
}

}  // namespace pydl
