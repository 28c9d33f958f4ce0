// Threads by OpenMP. What OpenMP leaves open is settled here: blocks are claimed one at a time by whichever thread is
// free, so that a thread whose core is taken by a neighbour delays one block, not its share of all; nested and
// concurrent calls run serially inside a region; a child made by fork gets a fresh team instead of the dead parent's.
#include "runtime/parallel.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "memory/pool.h"
#include "runtime/threads.h"

namespace pydl {
namespace {

int affinity_threads() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

// CPUs that the cgroup's quota amounts to, rounded up; 0 if there is no quota.
int quota_threads() {
  long long quota = -1, period = 100000;
  if (FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {  // version 2: "max 100000" or "150000 100000"
    if (std::fscanf(f, "%lld %lld", &quota, &period) != 2) quota = -1;
    std::fclose(f);
  } else if (FILE* g = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
    if (std::fscanf(g, "%lld", &quota) != 1) quota = -1;
    std::fclose(g);
  }
  return quota > 0 && period > 0 ? static_cast<int>(std::max(1LL, (quota + period - 1) / period)) : 0;
}

int asked_threads() {
  for (const char* name : {"PYDL_NUM_THREADS", "OMP_NUM_THREADS"})
    if (const char* text = std::getenv(name))
      if (const int n = std::atoi(text); n > 0) return n;
  return 0;
}

std::atomic<int> limit{0};  // 0: not yet known

// libgomp's threads do not survive fork, and every thread that starts a region has a team of its own. Only the thread
// that forks lives on in the child: ending its team before lets parent and child each start a new one.
thread_local bool used = false;  // this thread has a team
void end_team() {
  if (std::exchange(used, false)) omp_pause_resource_all(omp_pause_hard);
}

// Each thread begins with a share of its own and then helps the others: what it wrote in one region it reads in the
// next, while it lies in its cache.
struct alignas(64) Share {
  std::atomic<int64_t> next;
};
constexpr int kShares = 64;
int64_t first_of(int share, int shares, int64_t blocks) { return blocks * share / shares; }

// One buffer per thread and slot, from the pool, freed when the thread ends.
struct Scratch {
  static constexpr int kSlots = 8;
  void* block[kSlots]{};
  size_t bytes[kSlots]{};
  ~Scratch() {
    for (int i = 0; i < kSlots; ++i)
      if (block[i]) pool_free(block[i], bytes[i]);
  }
};
thread_local Scratch buffers;

}  // namespace

int default_threads() {
  if (const int asked = asked_threads()) return asked;
  const int quota = quota_threads();
  return quota ? std::min(quota, affinity_threads()) : affinity_threads();
}

int num_threads() {
  int n = limit.load(std::memory_order_relaxed);
  if (n == 0) limit.store(n = default_threads());
  return n;
}

void set_num_threads(int n) { limit.store(std::max(1, n)); }

void parallel_run(int64_t n, int64_t grain, Body body, const void* context) noexcept {
  const int64_t blocks = (n + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), blocks));
  if (threads <= 1 || omp_in_parallel()) return body(context, 0, n);
  static const int registered = pthread_atfork(end_team, nullptr, nullptr);
  (void)registered;
  used = true;
  Share taken[kShares];
  const int shares = std::min(threads, kShares);
  for (int i = 0; i < shares; ++i) taken[i].next.store(first_of(i, shares, blocks), std::memory_order_relaxed);
#pragma omp parallel num_threads(threads)
  for (int k = 0, own = omp_get_thread_num(); k < shares; ++k) {
    const int share = (own + k) % shares;
    const int64_t end = first_of(share + 1, shares, blocks);
    for (int64_t i; (i = taken[share].next.fetch_add(1, std::memory_order_relaxed)) < end;)
      body(context, i * grain, std::min(n, (i + 1) * grain));
  }
}

void* scratch(int slot, size_t bytes) noexcept {
  Scratch& s = buffers;
  if (s.bytes[slot] < bytes) {
    if (s.block[slot]) pool_free(s.block[slot], s.bytes[slot]);
    s.bytes[slot] = bytes;
    s.block[slot] = pool_allocate(bytes);
  }
  return s.block[slot];
}

int64_t second_level_cache() noexcept {
  static const int64_t bytes = [] {
#ifdef _SC_LEVEL2_CACHE_SIZE
    return std::max<int64_t>(sysconf(_SC_LEVEL2_CACHE_SIZE), 256 << 10);
#else
    return int64_t{256} << 10;
#endif
  }();
  return bytes;
}

}  // namespace pydl
