// Array = shared storage + a view of it. Copying an Array shares the storage; no operation mutates its inputs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <utility>

#include "array/dtype.h"
#include "array/view.h"
#include "array/watch.h"

namespace pydl {

enum class DeviceKind : uint8_t { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int16_t index = 0;
  bool operator==(Device o) const { return kind == o.kind && index == o.index; }
  bool operator!=(Device o) const { return !(*this == o); }
};

// Up to kMaxAxes sizes (or strides, or axes).
struct Shape {
  int64_t dims[kMaxAxes]{};
  int32_t ndim = 0;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    for (int64_t s : sizes) dims[ndim++] = s;
  }
  Shape(const int64_t* sizes, int n) : ndim(n) {
    for (int i = 0; i < n; ++i) dims[i] = sizes[i];
  }
  int64_t& operator[](int i) { return dims[i]; }
  int64_t operator[](int i) const { return dims[i]; }
  void push_back(int64_t s) { dims[ndim++] = s; }
  int64_t numel() const;
  bool operator==(const Shape& o) const;
  bool operator!=(const Shape& o) const { return !(*this == o); }
};
std::ostream& operator<<(std::ostream& out, const Shape& shape);  // (2, 3), as Python prints it
std::ostream& operator<<(std::ostream& out, Dtype dtype);

class Pool;

// One clock for changes in place and for recorded operations: memory that was changed after an operation read it has
// the larger number.
int64_t tick();

// A counted block of memory: ours (from the pool) or borrowed from another library with a way to let it go.
class Storage {
 public:
  using Release = void (*)(void* owner);

  static Storage* allocate(size_t bytes);
  // In the memory of a plan; pool: of a device, null for the CPU's.
  static Storage* planned(PlanMemory* home, size_t bytes, Pool* pool);
  static Storage* borrow(void* data, size_t bytes, bool read_only, void* owner, Release release);

  void retain() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool read_only() const { return read_only_; }
  int32_t refs() const { return refs_.load(std::memory_order_relaxed); }
  // When it was last changed in place, by the clock below; 0 for never.
  int64_t version() const { return version_; }
  void bump() {
    version_ = tick();
    if (watched()) note_change(this);
  }
  void set_version(int64_t version) { version_ = version; }
  // The memory of the plan that it was made for; null for most.
  PlanMemory* home() const { return home_; }
  // Its numbers are never written to again: they may be read while launches are recorded.
  void freeze() { frozen_ = true; }
  bool frozen() const { return frozen_; }

 private:
  Storage() = default;
  void destroy();

  void* data_ = nullptr;
  size_t bytes_ = 0;
  void* owner_ = nullptr;
  Release release_ = nullptr;
  PlanMemory* home_ = nullptr;
  std::atomic<int32_t> refs_{1};
  int64_t version_ = 0;
  bool read_only_ = false;
  bool frozen_ = false;
};

class Array {
 public:
  Array() = default;  // present() is false
  Array(Storage* owned, const View& view, Device device) : storage_(owned), view_(view), device_(device) {}
  Array(const Array& o) : storage_(o.storage_), view_(o.view_), device_(o.device_) {
    if (storage_) storage_->retain();
  }
  Array(Array&& o) noexcept : storage_(std::exchange(o.storage_, nullptr)), view_(o.view_), device_(o.device_) {}
  Array& operator=(Array o) noexcept {
    std::swap(storage_, o.storage_);
    view_ = o.view_;
    device_ = o.device_;
    return *this;
  }
  ~Array() {
    if (storage_) storage_->release();
  }

  // Dense, uninitialised.
  static Array empty(const Shape& shape, Dtype dtype, Device device = {});

  const View& view() const {
    if (watched()) note_use(storage_);
    return view_;
  }
  operator const View&() const { return view(); }
  Storage* storage() const { return storage_; }
  Device device() const { return device_; }
  Dtype dtype() const { return view_.dtype; }
  int ndim() const { return view_.ndim; }
  int64_t size(int axis) const { return view_.shape[axis]; }
  int64_t numel() const { return view_.numel(); }
  Shape shape() const { return {view_.shape, view_.ndim}; }
  Shape strides() const { return {view_.strides, view_.ndim}; }
  bool dense() const;

  // The same storage seen otherwise; `offset` is in elements from the first one of this array.
  Array as_strided(const Shape& shape, const Shape& strides, int64_t offset = 0) const;
  // The same facts without the memory: what a node keeps of an input whose values its rule does not need.
  Array shell() const { return {nullptr, shell_view(), device_}; }

 private:
  View shell_view() const {
    View v = view_;
    v.data = nullptr;
    return v;
  }

  Storage* storage_ = nullptr;
  View view_{};
  Device device_{};
};

Shape dense_strides(const Shape& shape);

}  // namespace pydl
