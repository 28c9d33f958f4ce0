// Pool: who owns bytes, and who may reuse them.
//
// Freed blocks are kept and handed out again, because memory fresh from the kernel is the most expensive thing on a
// CPU: every first touch of a page is a fault. Blocks fall into size classes, eight to each doubling, so at most an
// eighth is wasted. Blocks of 64 KiB to 1 MiB, cut from slabs, and of 2 MiB and more sit on 2 MiB pages where the
// kernel grants them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pydl {

struct PoolStats {
  int64_t active;  // bytes handed out now
  int64_t peak;    // the most ever handed out at once
  int64_t cached;  // bytes kept for reuse
};

constexpr size_t kAlignment = 64;

// A block of at least `bytes`, aligned to 64. Throws std::bad_alloc, after giving back all that is cached, if there is
// none.
void* pool_allocate(size_t bytes);
// `bytes` as it was asked for.
void pool_free(void* block, size_t bytes) noexcept;
// Gives all cached blocks back to the system.
void pool_trim() noexcept;
PoolStats pool_stats() noexcept;
void pool_reset_peak() noexcept;

}  // namespace pydl
