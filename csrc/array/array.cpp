#include "array/array.h"

#include "array/errors.h"
#include "memory/plan_memory.h"
#include "memory/pool.h"
#include "runtime/cuda.h"

namespace pydl {

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int i = 0; i < ndim; ++i) n *= dims[i];
  return n;
}

bool Shape::operator==(const Shape& o) const {
  if (ndim != o.ndim) return false;
  for (int i = 0; i < ndim; ++i)
    if (dims[i] != o.dims[i]) return false;
  return true;
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << "(";
  for (int i = 0; i < shape.ndim; ++i) out << (i ? ", " : "") << shape.dims[i];
  return out << (shape.ndim == 1 ? ",)" : ")");
}

std::ostream& operator<<(std::ostream& out, Dtype dtype) { return out << name_of(dtype); }

int64_t tick() {
  static std::atomic<int64_t> clock{0};
  return ++clock;
}

Storage* Storage::allocate(size_t bytes) {
  PlanMemory* home = watched() ? recorded_memory() : nullptr;
  if (home) return planned(home, bytes, nullptr);
  auto* s = new Storage;
  try {
    s->data_ = pool_allocate(bytes);
  } catch (...) {
    delete s;
    throw;
  }
  s->bytes_ = bytes;
  return s;
}

Storage* Storage::planned(PlanMemory* home, size_t bytes, Pool* pool) {
  auto* s = new Storage;
  try {
    s->data_ = home->allocate(bytes, pool);
  } catch (...) {
    delete s;
    throw;
  }
  home->retain();
  s->home_ = home;
  s->bytes_ = bytes;
  return s;
}

Storage* Storage::borrow(void* data, size_t bytes, bool read_only, void* owner, Release release) {
  auto* s = new Storage;
  s->data_ = data;
  s->bytes_ = bytes;
  s->read_only_ = read_only;
  s->owner_ = owner;
  s->release_ = release;
  if (watched()) note_borrow(s);
  return s;
}

void Storage::destroy() {
  if (release_) {
    release_(owner_);
  } else if (home_) {
    home_->free(data_);
    home_->release();
  } else {
    pool_free(data_, bytes_);
  }
  delete this;
}

Shape dense_strides(const Shape& shape) {
  Shape strides;
  strides.ndim = shape.ndim;
  int64_t step = 1;
  for (int i = shape.ndim - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i] > 1 ? shape[i] : 1;
  }
  return strides;
}

Array Array::empty(const Shape& shape, Dtype dtype, Device device) {
  // Sizes of 0 count as 1 here, so that no product of sizes overflows later.
  int64_t most = static_cast<int64_t>(size_of(dtype));
  for (int i = 0; i < shape.ndim; ++i)
    if (__builtin_mul_overflow(most, shape[i] ? shape[i] : 1, &most))
      fail<ShapeError>("an array of shape ", shape, " and dtype ", dtype, " does not fit into memory");
  const int64_t bytes = static_cast<int64_t>(size_of(dtype)) * shape.numel();
  View v;
  v.dtype = dtype;
  v.ndim = shape.ndim;
  const Shape strides = dense_strides(shape);
  for (int i = 0; i < shape.ndim; ++i) v.shape[i] = shape[i], v.strides[i] = strides[i];
  Storage* storage = device.kind == DeviceKind::cpu ? Storage::allocate(static_cast<size_t>(bytes))
                                                    : cuda_storage(static_cast<size_t>(bytes), device);
  v.data = storage->data();
  return {storage, v, device};
}

bool Array::dense() const {
  int64_t step = 1;
  for (int i = view_.ndim - 1; i >= 0; --i) {
    if (view_.shape[i] == 0) return true;
    if (view_.shape[i] != 1 && view_.strides[i] != step) return false;
    step *= view_.shape[i];
  }
  return true;
}

Array Array::as_strided(const Shape& shape, const Shape& strides, int64_t offset) const {
  View v = view_;
  v.ndim = shape.ndim;
  for (int i = 0; i < shape.ndim; ++i) v.shape[i] = shape[i], v.strides[i] = strides[i];
  if (v.data) v.data = static_cast<char*>(v.data) + offset * static_cast<int64_t>(size_of(v.dtype));
  if (storage_) storage_->retain();
  return {storage_, v, device_};
}

}  // namespace pydl
