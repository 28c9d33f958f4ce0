// PlanMemory: the blocks of the arrays that are made while launches are recorded.
//
// A replay writes to the same addresses again, so the blocks stay for as long as the plan, or an array in one of them,
// lives. They are of the CPU's pool, or of a device's. While recording goes on, a block that was freed is handed out
// again: arrays whose lives do not overlap share memory. When it has ended, nothing is handed out any more, and who
// knows when each array is read may find better places (csrc/runtime/pass_reuse.cpp).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pydl {

class Pool;

class PlanMemory {
 public:
  static PlanMemory* create() { return new PlanMemory; }
  void retain() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void* allocate(size_t bytes, Pool* pool = nullptr);  // null: the CPU's
  void free(void* block) noexcept;
  void close() noexcept;  // recording has ended

  int64_t bytes() const { return bytes_; }  // of all blocks: the plan's peak
  int64_t asked() const { return asked_; }  // what the arrays would take without reuse
  int64_t live() const;                     // blocks that arrays lie in now

  struct Block {
    const char *begin, *end;
    bool live;  // an array lies in it
  };
  std::vector<Block> blocks() const;  // those of the CPU's pool, by address
  // Gives blocks back to their pool, and one for them that no array lies in; null for no bytes. left: by address.
  void* exchange(const std::vector<const void*>& left, size_t bytes);

 private:
  PlanMemory() = default;
  ~PlanMemory();

  std::atomic<int32_t> refs_{1};
  mutable std::mutex mutex_;
  bool open_ = true;
  int64_t bytes_ = 0, asked_ = 0;
  using Size = std::pair<Pool*, size_t>;
  static void give_back(void* block, const Size& size) noexcept;  // to its pool

  std::vector<std::pair<void*, Size>> blocks_;
  std::multimap<Size, void*> idle_;
  std::unordered_map<void*, Size> live_;
};

}  // namespace pydl
