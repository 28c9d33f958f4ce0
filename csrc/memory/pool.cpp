#include "memory/pool.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace pydl {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kCarved = size_t{64} << 10;  // blocks from here up to kCarvedEnd are cut from slabs
constexpr size_t kCarvedEnd = size_t{1} << 20;
constexpr size_t kSlabBytes = size_t{8} << 20;
constexpr int kLastClass = 8 * 42 - 1;

struct SizeClass {
  int index;
  size_t bytes;
};

// Sizes 2^e * (8 + s) / 8 for s = 0..7, from 64 bytes on.
SizeClass size_class(size_t bytes) {
  if (bytes <= kAlignment) return {0, kAlignment};
  const int e = 63 - __builtin_clzll(bytes - 1);  // 2^e < bytes <= 2^(e+1)
  const size_t step = std::max((size_t{1} << e) / 8, kAlignment);
  const size_t rounded = (bytes + step - 1) / step * step;
  const int s = static_cast<int>(((rounded - 1) >> (e - 3)) & 7);
  return {std::min(8 * (e - 6) + s + 1, kLastClass), rounded};
}

// The bytes of a class, the other way round.
size_t class_bytes(int index) {
  if (index == 0) return kAlignment;
  const int e = 6 + (index - 1) / 8, s = (index - 1) % 8;
  return (size_t{1} << e) / 8 * (9 + s);
}

void* system_allocate(size_t bytes, size_t alignment) {
  void* block = nullptr;
  if (posix_memalign(&block, alignment, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (bytes >= kHugePage) madvise(block, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return block;
}

void* system_allocate(size_t bytes) { return system_allocate(bytes, bytes >= kHugePage ? kHugePage : kAlignment); }

// Slabs: memory on 2 MiB pages for blocks that are smaller, so that a model of many middling tensors has them too. Each
// slab lies at a multiple of its size and begins with how many of its blocks are not given back; it goes when none is.
class Slabs {
 public:
  static bool takes(size_t bytes) { return bytes >= kCarved && bytes <= kCarvedEnd; }

  void* allocate(size_t bytes) {
    if (!open_ || open_->used + bytes > kSlabBytes) {
      void* fresh = system_allocate(kSlabBytes, kSlabBytes);
      if (!fresh) return nullptr;
      if (open_ && open_->live == 0) ::free(open_);
      open_ = new (fresh) Slab{0, kAlignment};
    }
    char* block = reinterpret_cast<char*>(open_) + open_->used;
    open_->used += bytes;
    ++open_->live;
    return block;
  }

  void free(void* block) noexcept {
    auto* slab = reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(block) & ~(kSlabBytes - 1));
    if (--slab->live > 0) return;
    if (slab == open_) open_ = nullptr;
    ::free(slab);
  }

 private:
  struct Slab {
    int64_t live;  // blocks
    size_t used;   // bytes cut off so far, with these
  };
  Slab* open_ = nullptr;  // where blocks are cut now
};

// Memory of the machine; large blocks on large pages, middling ones in slabs.
class System : public MemorySource {
 public:
  void* take(size_t bytes, std::unique_lock<std::mutex>& lock) override {
    if (Slabs::takes(bytes)) return slabs_.allocate(bytes);
    lock.unlock();
    void* block = system_allocate(bytes);
    lock.lock();
    return block;
  }
  void give(void* block, size_t bytes) noexcept override {
    if (Slabs::takes(bytes)) return slabs_.free(block);
    ::free(block);
  }

 private:
  Slabs slabs_;
};

// Never destroyed: arrays may outlive every static. The lock is held across a fork, so the child finds it free.
Pool& pool() {
  static Pool* instance = [] {
    // What may lie idle: a quarter of the machine's memory.
    auto* p = new Pool(new System, static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / 4);
    pthread_atfork([] { pool().mutex().lock(); }, [] { pool().mutex().unlock(); }, [] { pool().mutex().unlock(); });
    return p;
  }();
  return *instance;
}

}  // namespace

void MemorySource::ran_out(size_t) const { throw std::bad_alloc(); }

void* Pool::allocate(size_t bytes) {
  if (bytes > (size_t{1} << 47)) source_->ran_out(bytes);
  const SizeClass c = size_class(bytes);
  std::unique_lock<std::mutex> lock(mutex_);
  void* block = nullptr;
  if (!idle_[c.index].empty()) {
    block = idle_[c.index].back();
    idle_[c.index].pop_back();
    stats_.cached -= c.bytes;
  } else {
    block = source_->take(c.bytes, lock);
    if (!block) {
      trim_locked();
      block = source_->take(c.bytes, lock);
    }
    if (!block) source_->ran_out(bytes);
  }
  stats_.active += c.bytes;
  stats_.peak = std::max(stats_.peak, stats_.active);
  return block;
}

void Pool::free(void* block, size_t bytes) noexcept {
  const SizeClass c = size_class(bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.active -= c.bytes;
  if (stats_.cached + static_cast<int64_t>(c.bytes) > limit_) return source_->give(block, c.bytes);
  try {
    idle_[c.index].push_back(block);
    stats_.cached += c.bytes;
  } catch (const std::bad_alloc&) {
    source_->give(block, c.bytes);
  }
}

void Pool::trim() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  trim_locked();
}

PoolStats Pool::stats() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

void Pool::reset_peak() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.peak = stats_.active;
}

void Pool::trim_locked() noexcept {
  for (int i = 0; i < kClasses; ++i) {
    for (void* block : idle_[i]) source_->give(block, class_bytes(i));
    std::vector<void*>().swap(idle_[i]);
  }
  stats_.cached = 0;
}

void* pool_allocate(size_t bytes) { return pool().allocate(bytes); }
void pool_free(void* block, size_t bytes) noexcept { pool().free(block, bytes); }
void pool_trim() noexcept { pool().trim(); }
PoolStats pool_stats() noexcept { return pool().stats(); }
void pool_reset_peak() noexcept { pool().reset_peak(); }

}  // namespace pydl
