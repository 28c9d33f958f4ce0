// The execution model of CUDA on the CPU: grid, block, warp, shared memory, barriers, shuffles, votes and atomics.
//
// Every thread of a block is a fiber. It runs until it waits for others, at a barrier or in a warp's exchange; who
// begins and who goes on next is drawn at random, so that an order that the code does not ask for is not there either.
// Blocks run one after the other, in random order too; those of a cooperative launch run at the same time, their
// threads mixed at random (static shared memory would be common to them: their kernels use dynamic memory). Threads
// that wait for each other in vain end the launch with an error. Everything runs on the calling thread, one launch at a
// time.
//
// Files that are compiled with -fsanitize=thread tell of each access to memory (races.cpp): two threads at one byte of
// shared memory between the same barriers, one of them writing, end the launch with an error; so does an access to
// device memory that no block holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
};

namespace emulator {

constexpr int kWarp = 32, kMultiprocessors = 4, kMostThreads = 2048;  // of a multiprocessor
constexpr size_t kMostShared = size_t{227} << 10;                     // of a block, and of a multiprocessor
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStack = size_t{256} << 10;  // variables lie apart
#else
constexpr size_t kStack = size_t{64} << 10;
#endif

struct Thread {
  uint3 index;
  int rank;  // in the block
};
struct Block {
  uint3 index;
  dim3 threads, grid;
  void* shared;  // dynamic shared memory
};

extern Thread* thread;  // the one that runs
extern Block block;
extern const char* stack;   // of the fiber that runs
extern size_t shared_size;  // bytes of dynamic shared memory from block.shared on

// Runs `kernel` for every thread of the grid; what went wrong, or null. together: all blocks run at the same time.
const char* run(dim3 grid, dim3 threads, size_t shared, const std::function<void()>& kernel, bool together);

// Until the number there is at least so large: that is for other threads of the grid to bring about.
void wait_for(const unsigned* at, unsigned least);

void block_barrier();
void warp_barrier(unsigned mask);
// Every lane in the mask gives 8 bytes and, once all have, sees those of all: 32 numbers, good until its next exchange.
const uint64_t* exchange(unsigned mask, uint64_t mine);

// Every lane in the mask gives an address; the last to come calls f with those of all 32, then all go on.
void together(unsigned mask, void* mine, void (*f)(void* const* lanes));

// Copies of a thread that are begun now and done when it waits for them: until then the target is no number.
void copy_async(void* to, const void* from, int bytes, int size);
void close_copies();
void wait_copies(int but);

// What is wrong with a launch, while it runs; the first counts.
void failed(const char* what);

// Accesses of the running thread; nothing happens outside of kernels.
void reads(const void* at, size_t bytes);
void writes(const void* at, size_t bytes);

// How often threads that wait for each other have met: those of the block, those of the running thread's warp.
struct Meetings {
  uint32_t block, warp;
};
Meetings meetings();
size_t shared_before();               // bytes of other blocks that run, before block.shared
void forget_accesses(size_t shared);  // before blocks that have so much of it together

inline int lane() { return thread->rank % kWarp; }

template <class T>
uint64_t packed(T x) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof(T));
  return bits;
}
template <class T>
T unpacked(uint64_t bits) {
  T x;
  std::memcpy(&x, &bits, sizeof(T));
  return x;
}

// The value of the lane that `from` gives among `width` neighbours; one's own where there is none.
template <class T, class From>
T shuffle(unsigned mask, T x, int width, const From& from) {
  const int own = lane(), base = own / width * width, source = from(own - base);
  const uint64_t* all = exchange(mask, packed(x));
  return source < 0 || source >= width ? x : unpacked<T>(all[base + source]);
}

// No race with other atomics, so not looked at.
template <class T, class F>
__attribute__((noinline, no_sanitize("thread"))) T atomic(T* at, const F& change) {
  const T before = *at;
  *at = change(before);
  return before;
}

}  // namespace emulator
