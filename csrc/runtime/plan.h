// Plan: launches recorded while a function runs once, to be run again without it.
//
// A recorded launch is the kernel's address and its arguments by value. What arguments point to on the host (lists of
// spans, numbers) is copied into the plan's arena; arrays made meanwhile lie in the plan's own memory; those that were
// there before are kept alive. So every address stays good for as long as the plan lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "array/array.h"
#include "array/errors.h"
#include "memory/plan_memory.h"
#include "runtime/labels.h"

namespace pydl {

class Graphs;

// Memory that is never moved and goes all at once.
class Arena {
 public:
  void* take(size_t bytes);
  const void* copy(const void* from, size_t bytes);

  struct Chunk {
    std::unique_ptr<char[]> memory;
    size_t bytes, used;
  };
  const std::vector<Chunk>& chunks() const { return chunks_; }

 private:
  static constexpr size_t kChunk = size_t{1} << 16;
  std::vector<Chunk> chunks_;
  size_t left_ = 0;
  char* next_ = nullptr;
};

// ---- what may be an argument of a kernel: numbers, op codes, and structs that point to nothing but arrays' memory

struct Numbers;
struct ConvSpec;
struct RowNorm;
struct CrossEntropy;
struct PairLossOptions;
struct PoolWindow;
struct ResampleMap;
struct FoldWindow;
struct GridSampling;
struct AttentionSpec;
struct SparseRows;
struct RecurrentSpec;
struct RecurrentState;
struct RecurrentGrads;

template <class T>
constexpr bool kPlain = std::is_arithmetic_v<T> || std::is_enum_v<T>;
#define PYDL_PLAIN(Struct) \
  template <>              \
  inline constexpr bool kPlain<Struct> = true;
PYDL_PLAIN(Numbers)
PYDL_PLAIN(ConvSpec)
PYDL_PLAIN(RowNorm)
PYDL_PLAIN(CrossEntropy)
PYDL_PLAIN(PairLossOptions)
PYDL_PLAIN(PoolWindow)
PYDL_PLAIN(ResampleMap)
PYDL_PLAIN(FoldWindow)
PYDL_PLAIN(GridSampling)
PYDL_PLAIN(AttentionSpec)
PYDL_PLAIN(SparseRows)
PYDL_PLAIN(RecurrentSpec)
PYDL_PLAIN(RecurrentState)
PYDL_PLAIN(RecurrentGrads)
#undef PYDL_PLAIN

// An argument as a plan keeps it.
template <class T>
T keep(Arena&, const T& x) {
  static_assert(kPlain<T> && std::is_trivially_copyable_v<T>,
                "a new kind of argument: add it to the list above, or a keep() that copies what it points to");
  return x;
}
View keep(Arena& arena, const View& x);
Spans keep(Arena& arena, const Spans& x);

// The bytes that an argument makes a kernel read or write.
template <class T>
int64_t traffic(const T&) {
  return 0;
}
int64_t traffic(const View& x);
int64_t traffic(const Spans& x);

// ---- recording and replay

struct Launch {
  void (*run)(const void* call);
  const void* call;   // in the arena
  const char* name;   // of the kernel
  const char* label;  // of its op code, or ""
  int64_t bytes;
  int64_t flops;
  const char* scope;    // the module that it is of, or ""
  int64_t nanoseconds;  // when it was recorded, or measured last
  Device device;        // the CPU for what runs on the host, checks among them
};

// Runs a launch on the calling thread's stream of its device.
void run(const Launch& launch);

// Arithmetic of a launch, from its call as Plan::append makes it: of products and the like their multiplications and
// additions, of others one for each element.
int64_t flops_of(const char* kernel, const void* call);

// The module that this thread's launches are of, or "". The text is kept for good.
const char* scope();
void set_scope(const char* module);

class Plan {
 public:
  Plan();
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // From begin to end, launches of the calling thread are recorded. CaptureError if it records already.
  void begin();
  void end();
  bool recording() const { return recording_; }

  // Runs all launches. An error of a recorded check ends it there, as it would have ended the function.
  void replay();
  // From now on replays note the time of each launch.
  void measure(bool on) { measured_ = on; }

  template <class... P>
  void append(Device device, void (*kernel)(P...), const char* name, const P&... args) {
    using Call = std::tuple<void (*)(P...), P...>;
    on_device_ |= device.kind != DeviceKind::cpu;
    const void* call = new (arena_.take(sizeof(Call))) Call{kernel, keep(arena_, args)...};
    const char* labels[] = {label(args)..., ""};
    const int64_t bytes = (int64_t{0} + ... + traffic(args));
    launches_.push_back({&run_kernel<P...>, call, name, labels[0], bytes, flops_of(name, call), scope(), 0, device});
  }
  // device: what it gives work to; the CPU if it works itself.
  template <class F>
  void append_check(const char* name, const F& check, Device device = {}) {
    static_assert(std::is_trivially_copyable_v<F>, "a check holds views, numbers and kept text");
    on_device_ |= device.kind != DeviceKind::cpu;
    const void* call = arena_.copy(&check, sizeof(F));
    launches_.push_back(
        {[](const void* f) { (*static_cast<const F*>(f))(); }, call, name, "", 0, 0, scope(), 0, device});
  }
  void took(int64_t nanoseconds) { launches_.back().nanoseconds = nanoseconds; }

  void use(Storage* storage);
  void change(Storage* storage);
  void borrow(Storage* storage);

  bool uses(const Storage* storage) const { return used_.count(const_cast<Storage*>(storage)) > 0; }
  bool changes(const Storage* own) const { return changed_own_.count(const_cast<Storage*>(own)) > 0; }
  // Whether memory was changed that a NumPy array made inside holds: a replay would not begin with its numbers.
  bool changes_borrowed() const;

  const std::unordered_set<Storage*>& changed() const { return changed_; }  // of those that were there before

  Arena& arena() { return arena_; }
  PlanMemory* memory() const { return memory_; }
  const std::vector<Launch>& launches() const { return launches_; }
  void rewrite(std::vector<Launch> launches);
  std::vector<Launch> cut(size_t first);        // takes the launches from there on out
  Graphs* inner(std::vector<Launch> launches);  // keeps launches that one of the plan's own runs
  std::string graphs() const;                   // how those on CUDA devices are run; empty if none is there
  int64_t bytes() const;                        // read and written by all launches

 private:
  template <class... P>
  static void run_kernel(const void* call) {
    std::apply([](auto kernel, const P&... args) { kernel(args...); },
               *static_cast<const std::tuple<void (*)(P...), P...>*>(call));
  }

  bool recording_ = false, measured_ = false, on_device_ = false;
  Arena arena_;
  PlanMemory* memory_;
  std::vector<Launch> launches_;
  mutable std::unique_ptr<Graphs> graphs_;  // of the launches, where some are on a device; made when first needed
  std::vector<std::unique_ptr<Graphs>> inner_;
  std::unordered_set<Storage*> used_;         // kept alive; they were there before
  std::unordered_set<Storage*> borrowed_;     // kept alive; made meanwhile on memory of somebody else
  std::unordered_set<Storage*> changed_;      // some of those
  std::unordered_set<Storage*> changed_own_;  // in the plan's memory; not kept alive
};

Plan* recording();  // the calling thread's

// Launches are not recorded, and arrays lie in ordinary memory, until this goes: for constants that never change.
class Unrecorded {
 public:
  Unrecorded();
  ~Unrecorded();

 private:
  Plan* before_;
};

// Raises CaptureError while recording: `what` reads numbers on the host, which a replay would not see change.
void refuse_reading(const char* what);

// Numbers or text of the caller's that a recorded launch or check may read.
template <class T>
T* kept(T* numbers, size_t count = 1) {
  Plan* plan = watched() ? recording() : nullptr;
  return plan ? static_cast<T*>(const_cast<void*>(plan->arena().copy(numbers, count * sizeof(T)))) : numbers;
}
const char* kept_text(const char* text);

// ---- profiles

struct Event {
  const char* name;
  const char* label;
  int64_t begin, nanoseconds, bytes, flops;
  const char* scope;
};

// The launches of the calling thread between start and stop, with their times.
class Profile {
 public:
  ~Profile() { stop(); }
  void start();  // CaptureError if the thread has a profile already
  void stop();
  std::vector<Event> events;

 private:
  bool running_ = false;
};

Profile* profiling();  // the calling thread's
int64_t now();         // nanoseconds of a steady clock
// Waits for what a launch gave a device to do, so that the clock tells how long that took.
void finish(Device device);

// ---- the door's other side: what launch does where somebody watches

template <class... P>
void launch_watched(Device device, void (*kernel)(P...), const char* name, std::common_type_t<P>... args) {
  Plan* plan = recording();
  Profile* profile = profiling();
  if (plan) plan->append(device, kernel, name, args...);
  const int64_t begin = now();
  kernel(args...);
  if (plan || profile) finish(device);
  const int64_t took = now() - begin;
  if (plan) plan->took(took);
  if (profile) {
    const std::tuple<void (*)(P...), P...> call{kernel, args...};
    const char* labels[] = {label(args)..., ""};
    const int64_t bytes = (int64_t{0} + ... + traffic(args));
    profile->events.push_back({name, labels[0], begin, took, bytes, flops_of(name, &call), scope()});
  }
}

// Runs a check of values on the host, now and in every replay; it throws what the caller is to see.
template <class F>
void check(const char* name, const F& f) {
  f();
  if (Plan* plan = watched() ? recording() : nullptr) plan->append_check(name, f);
}

}  // namespace pydl
