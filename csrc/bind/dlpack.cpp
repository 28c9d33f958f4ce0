// DLPack in both directions, with and without version (the ABI of DLPack 1.x), and the buffer protocol by way of NumPy.
#include "bind/device.h"

namespace pydl::bind {
namespace {

struct DLDevice {
  int32_t type, id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct Plain {  // DLManagedTensor
  DLTensor tensor;
  void* context;
  void (*deleter)(Plain*);
};
struct Versioned {  // DLManagedTensorVersioned
  uint32_t major, minor;
  void* context;
  void (*deleter)(Versioned*);
  uint64_t flags;
  DLTensor tensor;
};
constexpr uint64_t kReadOnly = 1, kCopied = 2;
constexpr int32_t kCpu = 1, kCuda = 2, kPinned = 3;  // CUDA's pinned memory belongs to the CPU too

template <class Managed>
struct Names;
template <>
struct Names<Plain> {
  static constexpr const char *fresh = "dltensor", *used = "used_dltensor";
};
template <>
struct Names<Versioned> {
  static constexpr const char *fresh = "dltensor_versioned", *used = "used_dltensor_versioned";
};

uint8_t code_of(Dtype d) {
  switch (d) {
#define PYDL_CASE(name, type, text, code, rank) \
  case Dtype::name:                             \
    return code;
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return 0;
}

// What a consumer holds: the array and the numbers that DLTensor points to.
template <class Managed>
struct Export {
  Array array;
  Shape shape, strides;
  Managed managed;
};

template <class Managed>
py::capsule to_capsule(const Array& x, uint64_t flags) {
  auto* e = new Export<Managed>{x, x.shape(), x.strides(), {}};
  e->managed.context = e;
  e->managed.deleter = [](Managed* m) { delete static_cast<Export<Managed>*>(m->context); };
  DLTensor& t = e->managed.tensor;
  t.data = x.view().data;
  t.device = x.device().kind == DeviceKind::cpu ? DLDevice{kCpu, 0} : DLDevice{kCuda, x.device().index};
  t.ndim = x.ndim();
  t.dtype = {code_of(x.dtype()), static_cast<uint8_t>(8 * size_of(x.dtype())), 1};
  t.shape = e->shape.dims;
  t.strides = e->strides.dims;
  if constexpr (std::is_same_v<Managed, Versioned>) {
    e->managed.major = 1;
    e->managed.flags = flags;
  }
  return py::capsule(&e->managed, Names<Managed>::fresh, [](PyObject* capsule) {
    if (!PyCapsule_IsValid(capsule, Names<Managed>::fresh)) return;  // consumed: the consumer deletes
    auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, Names<Managed>::fresh));
    m->deleter(m);
  });
}

py::capsule to_dlpack(const Array& x, bool versioned, bool copied) {
  refuse_reading("__dlpack__");
  const bool read_only = x.storage() && x.storage()->read_only();
  if (!versioned && read_only)
    fail<ValueError>("__dlpack__: read-only memory needs a consumer of DLPack 1.0 or later (max_version)");
  return versioned ? to_capsule<Versioned>(x, (read_only ? kReadOnly : 0) | (copied ? kCopied : 0))
                   : to_capsule<Plain>(x, 0);
}

bool dtype_of(DLDataType d, Dtype* out) {
  for (int i = 0; i < 8; ++i) {
    *out = static_cast<Dtype>(i);
    if (d.lanes == 1 && d.code == code_of(*out) && d.bits == 8 * size_of(*out)) return true;
  }
  return false;
}

template <class Managed>
Array consume(const py::capsule& capsule, bool read_only) {
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Names<Managed>::fresh));
  if (!m) throw py::error_already_set();
  const DLTensor& t = m->tensor;
  View v;
  if (t.device.type != kCpu && t.device.type != kPinned && t.device.type != kCuda)
    fail<DeviceError>("from_dlpack: expected memory of the CPU or a CUDA device, got device type ", t.device.type);
  Device device;
  if (t.device.type == kCuda) device = {DeviceKind::cuda, static_cast<int16_t>(t.device.id)};
  if (device.kind == DeviceKind::cuda) cuda_on(device);  // DeviceError where it cannot be used
  if (!dtype_of(t.dtype, &v.dtype))
    fail<DtypeError>("from_dlpack: dtype with code ", int{t.dtype.code}, " and ", int{t.dtype.bits},
                     " bits is not supported");
  if (t.ndim < 0 || t.ndim > kMaxAxes)
    fail<ShapeError>("from_dlpack: expected at most ", kMaxAxes, " axes, got ", t.ndim);
  v.ndim = t.ndim;
  int64_t count = 1;
  for (int i = 0; i < t.ndim; ++i)
    if (t.shape[i] < 0 || __builtin_mul_overflow(count, t.shape[i] ? t.shape[i] : 1, &count))
      fail<ShapeError>("from_dlpack: shape ", Shape(t.shape, t.ndim), " is not one of an array");
  for (int i = 0; i < t.ndim; ++i) v.shape[i] = t.shape[i];
  const Shape steps = t.strides ? Shape(t.strides, t.ndim) : dense_strides({t.shape, t.ndim});
  for (int i = 0; i < t.ndim; ++i) v.strides[i] = steps[i];
  static double nothing;  // arrays without elements may come without memory
  v.data = t.data ? static_cast<char*>(t.data) + t.byte_offset : reinterpret_cast<char*>(&nothing);
  if ((!t.data && v.numel() > 0) || reinterpret_cast<uintptr_t>(v.data) % size_of(v.dtype) != 0)
    fail<ValueError>("from_dlpack: the elements are missing or not aligned in memory");
  const auto bytes = static_cast<size_t>(v.numel()) * size_of(v.dtype);
  if (device.kind == DeviceKind::cuda) add_cuda_range(v.data, bytes, device);
  Storage* storage = Storage::borrow(v.data, bytes, read_only, m, [](void* owner) {
    py::gil_scoped_acquire gil;
    auto* held = static_cast<Managed*>(owner);
    const DLTensor& t = held->tensor;
    if (t.device.type == kCuda) remove_cuda_range(static_cast<char*>(t.data) + t.byte_offset);
    if (held->deleter) held->deleter(held);
  });
  PyCapsule_SetName(capsule.ptr(), Names<Managed>::used);
  return {storage, v, device};
}

Array from_dlpack(const py::capsule& capsule) {
  if (PyCapsule_IsValid(capsule.ptr(), Names<Versioned>::fresh)) {
    const auto* m = static_cast<Versioned*>(PyCapsule_GetPointer(capsule.ptr(), Names<Versioned>::fresh));
    if (m->major > 1) fail<ValueError>("from_dlpack: DLPack ", m->major, ".x is newer than 1.x");
    return consume<Versioned>(capsule, m->flags & kReadOnly);
  }
  if (!PyCapsule_IsValid(capsule.ptr(), Names<Plain>::fresh))
    fail<ValueError>("from_dlpack: expected a DLPack capsule that has not been used yet");
  return consume<Plain>(capsule, false);
}

}  // namespace

void bind_dlpack(py::module_& m) {
  m.def("to_dlpack", &to_dlpack, py::arg("x"), py::arg("versioned"), py::arg("copied"));
  m.def("from_dlpack", &from_dlpack, py::arg("capsule"));
}

}  // namespace pydl::bind
