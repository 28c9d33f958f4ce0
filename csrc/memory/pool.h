// Pool: who owns bytes, and who may reuse them.
//
// Freed blocks are kept and handed out again, because memory fresh from the kernel is the most expensive thing on a
// CPU: every first touch of a page is a fault. Blocks fall into size classes, eight to each doubling, so at most an
// eighth is wasted. Blocks of 64 KiB to 1 MiB, cut from slabs, and of 2 MiB and more sit on 2 MiB pages where the
// kernel grants them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace pydl {

struct PoolStats {
  int64_t active;  // bytes handed out now
  int64_t peak;    // the most ever handed out at once
  int64_t cached;  // bytes kept for reuse
};

constexpr size_t kAlignment = 64;

// Where the blocks of a pool come from. It is called with the pool's lock held, which `take` may let go meanwhile.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  virtual void* take(size_t bytes, std::unique_lock<std::mutex>& lock) = 0;  // null if there are so many no more
  virtual void give(void* block, size_t bytes) noexcept = 0;
  virtual void ran_out(size_t bytes) const;  // throws std::bad_alloc, or an error that says more
};

class Pool {
 public:
  // idle: how many bytes may lie idle.
  Pool(MemorySource* source, int64_t idle) : source_(source), limit_(idle) {}

  // A block of at least `bytes`; gives back all that is cached before it says that there is none.
  void* allocate(size_t bytes);
  void free(void* block, size_t bytes) noexcept;  // `bytes` as it was asked for
  void trim() noexcept;                           // gives all cached blocks back
  PoolStats stats() noexcept;
  void reset_peak() noexcept;
  std::mutex& mutex() { return mutex_; }

 private:
  static constexpr int kClasses = 8 * 42;  // up to 2^48 bytes

  void trim_locked() noexcept;

  MemorySource* source_;
  std::mutex mutex_;
  std::vector<void*> idle_[kClasses];
  int64_t limit_;
  PoolStats stats_{};
};

// ---- the CPU's pool: blocks are aligned to 64

void* pool_allocate(size_t bytes);
void pool_free(void* block, size_t bytes) noexcept;
void pool_trim() noexcept;
PoolStats pool_stats() noexcept;
void pool_reset_peak() noexcept;

}  // namespace pydl
