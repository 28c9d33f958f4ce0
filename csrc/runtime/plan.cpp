#include "runtime/plan.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "runtime/cuda_table.h"
#include "runtime/graphs.h"

namespace pydl {

std::atomic<int> watchers{0};

namespace {

thread_local Plan* current = nullptr;
thread_local Profile* profile = nullptr;
thread_local const char* module = "";

// Where the stack of this thread ends.
uintptr_t stack_end() {
  uintptr_t end = UINTPTR_MAX;
#ifdef __linux__
  pthread_attr_t attributes;
  void* start = nullptr;
  size_t bytes = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    if (pthread_attr_getstack(&attributes, &start, &bytes) == 0) end = reinterpret_cast<uintptr_t>(start) + bytes;
    pthread_attr_destroy(&attributes);
  }
#endif
  return end;
}

// A view on a number of the caller's would be read again when the caller is long gone. `kept` is what to use there.
// Right behind a thread's stack there may be an array.
bool on_stack(const void* p) {
  constexpr uintptr_t kFrames = uintptr_t{1} << 20;
  thread_local const uintptr_t end = stack_end();
  const char here = 0;
  const auto low = reinterpret_cast<uintptr_t>(&here), at = reinterpret_cast<uintptr_t>(p);
  return at > low && at - low < kFrames && at < end;
}

}  // namespace

void* Arena::take(size_t bytes) {
  constexpr size_t kAlign = alignof(std::max_align_t);
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (bytes > left_) {
    const size_t size = std::max(bytes, kChunk);
    chunks_.push_back({std::make_unique<char[]>(size), size, 0});
    next_ = chunks_.back().memory.get();
    left_ = size;
  }
  left_ -= bytes;
  chunks_.back().used += bytes;
  return std::exchange(next_, next_ + bytes);
}

const void* Arena::copy(const void* from, size_t bytes) {
  void* to = take(bytes);
  if (bytes) std::memcpy(to, from, bytes);
  return to;
}

View keep(Arena&, const View& x) {
  if (on_stack(x.data)) fail<CaptureError>("a launch reads a number that is gone when it is replayed");
  return x;
}

Spans keep(Arena& arena, const Spans& x) {
  const auto bytes = static_cast<size_t>(x.count) * sizeof(Span);
  return {static_cast<const Span*>(arena.copy(x.items, bytes)), x.count};
}

int64_t traffic(const View& x) {
  if (!x.data) return 0;
  int64_t n = 1;
  for (int i = 0; i < x.ndim; ++i) n *= x.strides[i] ? x.shape[i] : std::min<int64_t>(x.shape[i], 1);
  return n * static_cast<int64_t>(size_of(x.dtype));
}

int64_t traffic(const Spans& x) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < x.count; ++i) bytes += x.items[i].n * static_cast<int64_t>(size_of(x.items[i].dtype));
  return bytes;
}

void run(const Launch& launch) {
  if (launch.device.kind != DeviceKind::cpu) cuda_table(launch.device);  // sets what its kernels work on
  launch.run(launch.call);
}

Plan::Plan() : memory_(PlanMemory::create()) {}

Plan::~Plan() {
  if (recording_) end();
  graphs_.reset();
  inner_.clear();
  for (Storage* s : used_) s->release();
  for (Storage* s : borrowed_) s->release();
  memory_->release();
}

void Plan::begin() {
  if (current) fail<CaptureError>("this thread records already");
  recording_ = true;
  current = this;
  watchers.fetch_add(1);
}

void Plan::end() {
  if (!recording_) return;
  recording_ = false;
  if (current == this) current = nullptr;
  watchers.fetch_sub(1);
  memory_->close();
}

void Plan::use(Storage* storage) {
  if (storage->home() == memory_ || borrowed_.count(storage)) return;
  if (used_.insert(storage).second) storage->retain();
}

void Plan::change(Storage* storage) {
  if (storage->home() == memory_)
    changed_own_.insert(storage);
  else if (used_.count(storage) || borrowed_.count(storage))
    changed_.insert(storage);
}

void Plan::borrow(Storage* storage) {
  if (borrowed_.insert(storage).second) storage->retain();
}

bool Plan::changes_borrowed() const {
  return std::any_of(borrowed_.begin(), borrowed_.end(), [this](Storage* s) { return changed_.count(s) > 0; });
}

std::vector<Launch> Plan::cut(size_t first) {
  const auto begin = launches_.begin() + static_cast<std::ptrdiff_t>(first);
  std::vector<Launch> taken(begin, launches_.end());
  launches_.erase(begin, launches_.end());
  return taken;
}

void Plan::rewrite(std::vector<Launch> launches) {
  launches_ = std::move(launches);
  graphs_.reset();
}

Graphs* Plan::inner(std::vector<Launch> launches) {
  inner_.push_back(std::make_unique<Graphs>(std::move(launches)));
  return inner_.back().get();
}

std::string Plan::graphs() const {
  if (!on_device_) return {};
  if (!graphs_) graphs_ = std::make_unique<Graphs>(launches_);
  std::string text = graphs_->report();
  for (const auto& inside : inner_) text += (text.empty() ? "" : "\n") + inside->report();
  return text;
}

int64_t Plan::bytes() const {
  int64_t sum = 0;
  for (const Launch& l : launches_) sum += l.bytes;
  return sum;
}

void Plan::replay() {
  if (Profile* p = profile; p || measured_) {
    for (Launch& l : launches_) {
      const int64_t begin = now();
      run(l);
      finish(l.device);
      l.nanoseconds = now() - begin;
      if (p) p->events.push_back({l.name, l.label, begin, l.nanoseconds, l.bytes, l.flops, l.scope});
    }
  } else if (on_device_) {
    if (!graphs_) graphs_ = std::make_unique<Graphs>(launches_);
    graphs_->run();
  } else {
    for (const Launch& l : launches_) l.run(l.call);
  }
  if (changed_.empty()) return;
  const int64_t version = tick();
  for (Storage* s : changed_) s->set_version(version);
}

Plan* recording() { return current; }

Unrecorded::Unrecorded() : before_(std::exchange(current, nullptr)) {}
Unrecorded::~Unrecorded() { current = before_; }

void note_use(Storage* storage) {
  if (current && storage) current->use(storage);
}
void note_change(Storage* storage) {
  if (current) current->change(storage);
}
void note_borrow(Storage* storage) {
  if (current) current->borrow(storage);
}
PlanMemory* recorded_memory() { return current ? current->memory() : nullptr; }

void refuse_reading(const char* what) {
  if (watched() && current) fail<CaptureError>(what, " reads values, which a replay would not see change");
}

const char* kept_text(const char* text) { return kept(text, std::strlen(text) + 1); }

void Profile::start() {
  if (profile) fail<CaptureError>("this thread has a profile already");
  profile = this;
  running_ = true;
  watchers.fetch_add(1);
}

void Profile::stop() {
  if (!running_) return;
  running_ = false;
  if (profile == this) profile = nullptr;
  watchers.fetch_sub(1);
}

Profile* profiling() { return profile; }

const char* scope() { return module; }

void set_scope(const char* name) {
  static auto* const known = new std::unordered_set<std::string>;  // never destroyed: events and plans name them
  static std::mutex busy;
  const std::lock_guard<std::mutex> alone(busy);
  module = known->emplace(name).first->c_str();
}

void finish(Device device) {
  if (device.kind != DeviceKind::cpu) cuda_on(device).wait();
}

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace pydl
