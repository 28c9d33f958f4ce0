#include "emulator.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"

namespace emulator {

Thread* thread = nullptr;
Block block;

namespace {

// Where threads wait until as many as are expected have come.
struct Barrier {
  int arrived = 0;
  std::vector<struct Fiber*> waiting;
};

// An exchange among the lanes of one mask. Two sets of numbers: a lane that is already in the next round does not
// disturb one that still reads.
struct Exchange {
  unsigned mask;
  Barrier barrier;
  int round = 0;
  uint64_t values[2][kWarp];
};

// A copy that was begun; its group is the number of those closed before.
struct Copy {
  void* to;
  const void* from;
  int bytes, size, group;
};

struct Fiber {
  Context context;
  std::unique_ptr<char[]> stack;
  Thread thread;
  bool busy = false;  // in the middle of a thread
  std::vector<Copy> copies;
  int groups = 0;
};

struct Warp {
  std::vector<std::unique_ptr<Exchange>> exchanges;
  uint32_t meetings = 0;
};

Context scheduler;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle, ready;
Fiber* running = nullptr;
const std::function<void()>* kernel = nullptr;
std::vector<int> order;  // of the threads that have not begun
int live = 0;            // threads that have not ended
Barrier everyone;
std::vector<Warp> warps;
uint32_t block_meetings = 0;
size_t shared_size = 0;
std::string wrong;  // with the launch

uint64_t random_state = 0x9E3779B97F4A7C15u;
unsigned draw(unsigned n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return static_cast<unsigned>((random_state >> 32) % n);
}

template <class T>
void mix(std::vector<T>& list) {
  for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[draw(static_cast<unsigned>(i))]);
}

void open(Barrier& b) {
  b.arrived = 0;
  ready.insert(ready.end(), b.waiting.begin(), b.waiting.end());
  b.waiting.clear();
}

void wait_at(Barrier& b, int expected) {
  Fiber* self = running;
  b.waiting.push_back(self);
  if (++b.arrived == expected) {
    if (&b == &everyone) ++block_meetings;
    open(b);
  }
  self->context.change_to(scheduler);
  running = self;
  thread = &self->thread;
}

// Takes threads that have not begun as long as there are any; a thread that waits keeps its fiber.
void fiber_main() {
  for (;;) {
    Fiber* self = running;
    while (!order.empty()) {
      const int rank = order.back();
      order.pop_back();
      const dim3 n = block.threads;
      const auto r = static_cast<unsigned>(rank);
      self->thread = {{r % n.x, r / n.x % n.y, r / n.x / n.y}, rank};
      self->busy = true;
      self->copies.clear();
      self->groups = 0;
      thread = &self->thread;
      (*kernel)();
      --live;  // those that have ended are not waited for
      if (live > 0 && everyone.arrived == live) {
        ++block_meetings;
        open(everyone);
      }
    }
    self->busy = false;
    idle.push_back(self);
    self->context.change_to(scheduler);
  }
}

Fiber* fresh() {
  if (!idle.empty()) {
    Fiber* f = idle.back();
    idle.pop_back();
    return f;
  }
  fibers.push_back(std::make_unique<Fiber>());
  Fiber* f = fibers.back().get();
  f->stack.reset(new char[kStack]);
  f->context.start(f->stack.get(), &fiber_main);
  return f;
}

void go(Fiber* f) {
  running = f;
  thread = &f->thread;
  scheduler.change_to(f->context);
}

// Whether all threads of the block came to their end.
bool run_block(int threads) {
  live = threads;
  for (int i = 0; i < threads; ++i) order.push_back(i);
  mix(order);
  everyone = {};
  const size_t count = static_cast<size_t>((threads + kWarp - 1) / kWarp);
  if (warps.size() < count) warps.resize(count);
  while (live > 0) {
    if (!order.empty()) {
      go(fresh());
    } else if (!ready.empty()) {
      std::swap(ready[draw(static_cast<unsigned>(ready.size()))], ready.back());
      Fiber* next = ready.back();
      ready.pop_back();
      go(next);
    } else {
      return false;
    }
  }
  return true;
}

// After a block that got stuck: its fibers are given up as they are.
void forget() {
  fibers.clear();
  idle.clear();
  ready.clear();
  order.clear();
  warps.clear();
}

}  // namespace

void block_barrier() { wait_at(everyone, live); }

namespace {

Warp& own_warp() { return warps[static_cast<size_t>(thread->rank / kWarp)]; }

// The numbers of all lanes of the mask; the last lane to come calls f with them first.
template <class F>
const uint64_t* meet(unsigned mask, uint64_t mine, const F& f) {
  if (!(mask >> lane() & 1)) std::abort();  // undefined on a device
  Warp& warp = own_warp();
  Exchange* found = nullptr;
  for (const auto& e : warp.exchanges)
    if (e->mask == mask) found = e.get();
  if (!found) {
    warp.exchanges.push_back(std::make_unique<Exchange>());
    found = warp.exchanges.back().get();
    found->mask = mask;
  }
  uint64_t* values = found->values[found->round & 1];
  values[lane()] = mine;
  const int expected = __builtin_popcount(mask);
  if (found->barrier.arrived + 1 == expected) {
    ++found->round;
    f(values);
  }
  wait_at(found->barrier, expected);
  return values;
}

}  // namespace

const uint64_t* exchange(unsigned mask, uint64_t mine) {
  return meet(mask, mine, [](const uint64_t*) {});
}

void warp_barrier(unsigned mask) {
  meet(mask, 0, [](const uint64_t*) { ++own_warp().meetings; });
}

void together(unsigned mask, void* mine, void (*f)(void* const* lanes)) {
  meet(mask, packed(mine), [f](const uint64_t* values) {
    void* lanes[kWarp];
    for (int i = 0; i < kWarp; ++i) lanes[i] = unpacked<void*>(values[i]);
    f(lanes);
  });
}

void copy_async(void* to, const void* from, int bytes, int size) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % static_cast<unsigned>(size))
    return failed("an asynchronous copy is not aligned");
  if (bytes) reads(from, static_cast<size_t>(bytes));
  writes(to, static_cast<size_t>(size));
  std::memset(to, 0xff, static_cast<size_t>(size));
  running->copies.push_back({to, from, bytes, size, running->groups});
}

void close_copies() { ++running->groups; }

void wait_copies(int but) {
  std::vector<Copy>& copies = running->copies;
  size_t done = 0;
  for (; done < copies.size() && copies[done].group < running->groups - but; ++done) {
    const Copy& c = copies[done];
    writes(c.to, static_cast<size_t>(c.size));
    std::memset(c.to, 0, static_cast<size_t>(c.size));
    std::memcpy(c.to, c.from, static_cast<size_t>(c.bytes));
  }
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(done));
}

void failed(const char* what) {
  if (wrong.empty()) wrong = what;
}

Meetings meetings() { return {block_meetings, own_warp().meetings}; }

bool on_own_stack(const void* at) {
  const auto* p = static_cast<const char*>(at);
  return p >= running->stack.get() && p < running->stack.get() + kStack;
}

size_t shared_bytes() { return shared_size; }

const char* run(dim3 grid, dim3 threads, size_t shared, const std::function<void()>& f) {
  const int count = static_cast<int>(threads.x * threads.y * threads.z);
  if (count < 1 || count > 1024 || grid.x < 1 || grid.y < 1 || grid.y > 65535 || grid.z < 1 || grid.z > 65535)
    return "invalid configuration argument";
  if (shared > (size_t{227} << 10)) return "too much shared memory";
  constexpr std::align_val_t kAligned{128};
  const auto free = [=](void* p) { ::operator delete[](p, kAligned); };
  const std::unique_ptr<void, decltype(free)> memory(::operator new[](shared, kAligned), free);
  std::vector<unsigned> blocks(size_t{grid.x} * grid.y * grid.z);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<unsigned>(i);
  mix(blocks);
  kernel = &f;
  shared_size = shared;
  wrong.clear();
  for (const unsigned b : blocks) {
    std::memset(memory.get(), 0xff, shared);  // what no thread wrote is NaN
    block = {{b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y}, threads, grid, memory.get()};
    ++block_meetings;
    forget_accesses();
    if (run_block(count)) continue;
    forget();
    thread = nullptr;
    return "threads of a block wait for each other in vain";
  }
  thread = nullptr;
  return wrong.empty() ? nullptr : wrong.c_str();
}

}  // namespace emulator
