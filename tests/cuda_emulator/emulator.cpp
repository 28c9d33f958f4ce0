#include "emulator.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"

namespace emulator {

Thread* thread = nullptr;
Block block;
const char* stack = nullptr;
size_t shared_size = 0;

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
  struct Running* of = nullptr;  // its block
  bool busy = false;             // in the middle of a thread
  std::vector<Copy> copies;
  int groups = 0;
};

struct Warp {
  std::vector<std::unique_ptr<Exchange>> exchanges;
  uint32_t meetings = 0;
};

// A block that runs.
struct Running {
  Block block;
  std::vector<int> order;  // of the threads that have not begun
  int live = 0;            // threads that have not ended
  Barrier everyone;
  std::vector<Warp> warps;
  uint32_t meetings = 0;
};

// A thread that waits for a number in device memory.
struct Watcher {
  Fiber* fiber;
  const unsigned* at;
  unsigned least;
};

Context scheduler;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle, ready;
std::vector<Watcher> watchers;
Fiber* running = nullptr;
const std::function<void()>* kernel = nullptr;
std::vector<std::unique_ptr<Running>> blocks;  // the first `entered` run; the others are there to be used again
size_t entered = 0;
Running* here = nullptr;     // that of the running thread
uint32_t meetings_ever = 0;  // of all blocks: a number is never given twice
std::string wrong;           // with the launch

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

void met(Running& r) { r.meetings = ++meetings_ever; }

// To the scheduler, until somebody makes the calling thread ready.
void park() {
  Fiber* self = running;
  self->context.change_to(scheduler);
}

void wait_at(Barrier& b, int expected) {
  b.waiting.push_back(running);
  if (++b.arrived == expected) {
    if (&b == &here->everyone) met(*here);
    open(b);
  }
  park();
}

// Takes threads of its block that have not begun as long as there are any; a thread that waits keeps its fiber.
void fiber_main() {
  for (;;) {
    Fiber* self = running;
    Running& own = *self->of;
    while (!own.order.empty()) {
      const int rank = own.order.back();
      own.order.pop_back();
      const dim3 n = own.block.threads;
      const auto r = static_cast<unsigned>(rank);
      self->thread = {{r % n.x, r / n.x % n.y, r / n.x / n.y}, rank};
      self->busy = true;
      self->copies.clear();
      self->groups = 0;
      thread = &self->thread;
      (*kernel)();
      --own.live;  // those that have ended are not waited for
      if (own.live > 0 && own.everyone.arrived == own.live) {
        met(own);
        open(own.everyone);
      }
    }
    self->busy = false;
    idle.push_back(self);
    park();
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

void go(Fiber* f, Running* of) {
  running = f;
  thread = &f->thread;
  stack = f->stack.get();
  f->of = here = of;
  block = of->block;
  scheduler.change_to(f->context);
}

// Makes those ready whose number has come; whether there are any.
bool look_around() {
  size_t kept = 0;
  for (const Watcher& w : watchers) {
    if (*w.at >= w.least)
      ready.push_back(w.fiber);
    else
      watchers[kept++] = w;
  }
  watchers.resize(kept);
  return !ready.empty();
}

// Whether all threads of the blocks came to their end.
bool run_blocks() {
  std::vector<Running*> waiting;  // those with threads that have not begun
  for (size_t i = 0; i < entered; ++i) waiting.push_back(blocks[i].get());
  for (;;) {
    while (!waiting.empty() && waiting.back()->order.empty()) waiting.pop_back();
    if (!waiting.empty()) {
      std::swap(waiting[draw(static_cast<unsigned>(waiting.size()))], waiting.back());
      if (!waiting.back()->order.empty()) go(fresh(), waiting.back());
    } else if (!ready.empty() || look_around()) {
      std::swap(ready[draw(static_cast<unsigned>(ready.size()))], ready.back());
      Fiber* next = ready.back();
      ready.pop_back();
      go(next, next->of);
    } else {
      break;
    }
  }
  for (size_t i = 0; i < entered; ++i)
    if (blocks[i]->live > 0) return false;
  return true;
}

// After blocks that got stuck: their fibers are given up as they are.
void forget() {
  fibers.clear();
  idle.clear();
  ready.clear();
  watchers.clear();
  blocks.clear();
}

void enter(dim3 grid, dim3 threads, unsigned index, void* shared) {
  if (entered == blocks.size()) blocks.push_back(std::make_unique<Running>());
  Running& r = *blocks[entered++];
  r.block = {{index % grid.x, index / grid.x % grid.y, index / grid.x / grid.y}, threads, grid, shared};
  r.live = static_cast<int>(threads.x * threads.y * threads.z);
  for (int i = 0; i < r.live; ++i) r.order.push_back(i);
  mix(r.order);
  const auto warps = static_cast<size_t>((r.live + kWarp - 1) / kWarp);
  if (r.warps.size() < warps) r.warps.resize(warps);
  r.everyone = {};
  met(r);
}

// What the device cannot run; or null.
const char* unfit(dim3 grid, dim3 threads, size_t shared, bool together) {
  const int count = static_cast<int>(threads.x * threads.y * threads.z);
  if (count < 1 || count > 1024 || grid.x < 1 || grid.y < 1 || grid.y > 65535 || grid.z < 1 || grid.z > 65535)
    return "invalid configuration argument";
  if (shared > kMostShared) return "too much shared memory";
  const size_t by_threads = kMostThreads / static_cast<size_t>(count), by_shared = kMostShared / (shared ? shared : 1);
  if (together && size_t{grid.x} * grid.y * grid.z > kMultiprocessors * std::min(by_threads, by_shared))
    return "too many blocks in cooperative launch";
  return nullptr;
}

}  // namespace

void wait_for(const unsigned* at, unsigned least) {
  if (*at >= least) return;
  watchers.push_back({running, at, least});
  park();
}

void block_barrier() { wait_at(here->everyone, here->live); }

namespace {

Warp& own_warp() { return here->warps[static_cast<size_t>(thread->rank / kWarp)]; }

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

Meetings meetings() { return {here->meetings, own_warp().meetings}; }

size_t shared_before() {
  return static_cast<size_t>(static_cast<char*>(block.shared) - static_cast<char*>(blocks.front()->block.shared));
}

const char* run(dim3 grid, dim3 threads, size_t shared, const std::function<void()>& f, bool together) {
  if (const char* reason = unfit(grid, threads, shared, together)) return reason;
  const size_t count = size_t{grid.x} * grid.y * grid.z, apart = (shared + 127) / 128 * 128;
  const size_t room = (together ? count - 1 : 0) * apart + shared;
  constexpr std::align_val_t kAligned{128};
  const auto free = [=](void* p) { ::operator delete[](p, kAligned); };
  const std::unique_ptr<void, decltype(free)> memory(::operator new[](room, kAligned), free);
  std::vector<unsigned> all(count);
  for (size_t i = 0; i < count; ++i) all[i] = static_cast<unsigned>(i);
  mix(all);
  kernel = &f;
  shared_size = shared;
  wrong.clear();
  forget_accesses(room);
  for (size_t i = 0; i < count && wrong.empty();) {
    std::memset(memory.get(), 0xff, room);  // what no thread wrote is NaN
    entered = 0;
    do {
      enter(grid, threads, all[i], static_cast<char*>(memory.get()) + entered * apart);
    } while (++i < count && together);
    if (run_blocks()) continue;
    forget();
    wrong =
        together ? "threads of a grid wait for each other in vain" : "threads of a block wait for each other in vain";
  }
  thread = nullptr;
  return wrong.empty() ? nullptr : wrong.c_str();
}

}  // namespace emulator
