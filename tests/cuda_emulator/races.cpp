// Who touched which byte of shared memory since the threads last met. The compiler's -fsanitize=thread puts a call of
// __tsan_read... or __tsan_write... before each access; these are ours, no other part of that sanitizer is linked.
//
// Two accesses of a byte by two threads, one of them a write, are in order if a barrier of the block lies between
// them, or one of the warp where both are of one warp. Atomics are not seen.
#include <link.h>

#include <cstdio>
#include <vector>

#include "cuda_runtime.h"

namespace emulator {
namespace {

constexpr int16_t kNobody = -1, kSeveral = -2;

struct Access {
  uint32_t block = 0, warp = 0;  // meetings before it
  int16_t thread = kNobody, of_warp = kNobody;
};
struct Byte {
  Access written, read;
};

// Static shared memory lies among the library's own variables.
struct Range {
  const char *begin = nullptr, *end = nullptr;
  bool holds(const char* p) const { return p >= begin && p < end; }
};

int find_variables(dl_phdr_info* info, size_t, void* found) {
  const auto* own = reinterpret_cast<const char*>(&thread);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    const auto* begin = reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr);
    const Range range{begin, begin + part.p_memsz};
    if (part.p_type != PT_LOAD || !(part.p_flags & PF_W) || !range.holds(own)) continue;
    *static_cast<Range*>(found) = range;
    return 1;
  }
  return 0;
}

const Range variables = [] {
  Range found;
  dl_iterate_phdr(&find_variables, &found);
  return found;
}();
std::vector<Byte> dynamic_bytes, static_bytes(static_cast<size_t>(variables.end - variables.begin));

Byte* byte_at(const char* p) {
  const char* shared = static_cast<const char*>(block.shared);
  if (p >= shared && p < shared + shared_size) return &dynamic_bytes[shared_before() + static_cast<size_t>(p - shared)];
  return variables.holds(p) ? &static_bytes[static_cast<size_t>(p - variables.begin)] : nullptr;
}

bool in_order(const Access& before, const Meetings& now, int16_t self, int16_t warp) {
  if (before.thread == kNobody || before.thread == self || before.block != now.block) return true;
  return before.of_warp == warp && before.warp != now.warp;
}

void race(const char* p, const char* what, const Access& before) {
  const char* shared = static_cast<const char*>(block.shared);
  const bool dynamic = p >= shared && p < shared + shared_size;
  char text[200];
  std::snprintf(text, sizeof(text), "race on %s shared memory at byte %zu: %s thread %d; thread %d, no barrier between",
                dynamic ? "dynamic" : "static", dynamic ? static_cast<size_t>(p - shared) : 0, what, before.thread,
                thread->rank);
  failed(text);
}

bool on_own_stack(const char* p) { return p >= stack && p < stack + kStack; }

void touch(const void* at, size_t bytes, bool write) {
  const char* p = static_cast<const char*>(at);
  if (!thread || on_own_stack(p)) return;
  Byte* first = byte_at(p);
  if (!first) {
    if (!held(at, bytes)) failed(write ? "a write outside of all blocks" : "a read outside of all blocks");
    return;
  }
  const Meetings now = meetings();
  const auto self = static_cast<int16_t>(thread->rank), warp = static_cast<int16_t>(self / kWarp);
  for (size_t i = 0; i < bytes; ++i) {
    Byte& b = first[i];
    if (!in_order(b.written, now, self, warp))
      race(p + i, write ? "two writes, before by" : "read after write by", b.written);
    if (write) {
      if (!in_order(b.read, now, self, warp)) race(p + i, "written after read by", b.read);
      b.written = {now.block, now.warp, self, warp};
    } else {
      const bool others = b.read.block == now.block && b.read.thread != self && b.read.thread != kNobody;
      const int16_t whose = others && b.read.of_warp != warp ? kSeveral : warp;
      b.read = {now.block, now.warp, others ? kSeveral : self, whose};
    }
  }
}

}  // namespace

void reads(const void* at, size_t bytes) { touch(at, bytes, false); }
void writes(const void* at, size_t bytes) { touch(at, bytes, true); }

void forget_accesses(size_t shared) {
  if (dynamic_bytes.size() < shared) dynamic_bytes.resize(shared);
}

}  // namespace emulator

#define PYDL_ACCESS(bytes)                                                          \
  void __tsan_read##bytes(void* at) { emulator::reads(at, bytes); }                 \
  void __tsan_write##bytes(void* at) { emulator::writes(at, bytes); }               \
  void __tsan_unaligned_read##bytes(const void* at) { emulator::reads(at, bytes); } \
  void __tsan_unaligned_write##bytes(void* at) { emulator::writes(at, bytes); }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
PYDL_ACCESS(1)
PYDL_ACCESS(2)
PYDL_ACCESS(4)
PYDL_ACCESS(8)
PYDL_ACCESS(16)
void __tsan_read_range(void* at, unsigned long bytes) { emulator::reads(at, bytes); }
void __tsan_write_range(void* at, unsigned long bytes) { emulator::writes(at, bytes); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
long __tsan_atomic64_fetch_add(volatile long* at, long x, int) { return __atomic_fetch_add(at, x, __ATOMIC_SEQ_CST); }
}
