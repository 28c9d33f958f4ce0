// Arrays from numbers, sizes and NumPy arrays, and NumPy arrays from Arrays.
#include <pybind11/numpy.h>

#include <cmath>
#include <cstring>

#include "bind/device.h"
#include "runtime/table/elementwise.h"

namespace pydl::bind {
namespace {

void check_sizes(const char* op, const Shape& shape) {
  for (int i = 0; i < shape.ndim; ++i)
    if (shape[i] < 0) fail<ShapeError>(op, ": shape ", shape, " has a negative size");
}

Array empty(const Shape& shape, Dtype dtype, Device device) {
  check_sizes("empty", shape);
  return Array::empty(shape, dtype, device);
}

// Whether an int becomes the same element by way of float64.
bool is_short(const py::handle& value, Dtype dtype) {
  if (is_floating(dtype)) return true;
  int too_large = 0;
  const int64_t whole = PyLong_AsLongLongAndOverflow(value.ptr(), &too_large);
  const bool fits = !too_large && whole > -(int64_t{1} << 31) && whole < int64_t{1} << 31;
  return fits && (dtype == Dtype::i64 || dtype == Dtype::i32);
}

// A Python number as an array without axes. Integers that float64 cannot hold go by way of int64.
Array scalar(const py::handle& value, Dtype dtype, Device device) {
  if (device.kind != DeviceKind::cpu && PyLong_Check(value.ptr()) && !is_short(value, dtype))
    return to_device(scalar(value, dtype, Device{}), device);  // kernels take float64
  Array y = Array::empty({}, dtype, device);
  if (device.kind == DeviceKind::cpu && PyLong_Check(value.ptr()) && !is_floating(dtype)) {
    int too_large = 0;
    const int64_t whole = PyLong_AsLongLongAndOverflow(value.ptr(), &too_large);
    if (too_large) fail<ValueError>("the number ", py::str(value).cast<std::string>(), " does not fit into int64");
    View from = y;
    from.data = const_cast<int64_t*>(kept(&whole));
    from.dtype = Dtype::i64;
    copy_values(from, y, device);
    return y;
  }
  const double number = PyFloat_AsDouble(value.ptr());
  if (number == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    fail<DtypeError>("expected a number that float64 can hold, got ", py::repr(value).cast<std::string>());
  }
  return filled({}, dtype, number, device);
}

// A number that is never written to: made once, also where launches are recorded.
Array constant(const py::handle& value, Dtype dtype, Device device) {
  const Unrecorded ordinary;
  const Array y = scalar(value, dtype, device);
  y.storage()->freeze();
  if (device.kind == DeviceKind::cuda && several_streams()) cuda_on(device).wait();  // others may read it
  return y;
}

Array full(const Shape& shape, const py::handle& value, Dtype dtype, Device device) {
  check_sizes("full", shape);
  const Array one = scalar(value, dtype, device);
  Array y = Array::empty(shape, dtype, device);
  copy_values(expand(one, shape), y, device);
  return y;
}

Array arange(double start, double end, double step, Dtype dtype, Device device) {
  if (step == 0 || !std::isfinite(start) || !std::isfinite(end) || !std::isfinite(step))
    fail<ValueError>("arange: start, end and step must be finite and step not 0, got ", start, ", ", end, ", ", step);
  const double count = std::ceil((end - start) / step);
  if (count > 9e15) fail<ShapeError>("arange: ", count, " numbers do not fit into memory");
  Array y = Array::empty({count > 0 ? static_cast<int64_t>(count) : 0}, dtype, device);
  run<&ElementwiseKernels::arange>(y.numel(), device, start, step, y.view());
  return y;
}

// Written directly: every backward starts with it.
std::optional<Array> seed_gradient(const Array& root) {
  if (root.numel() != 1) return std::nullopt;
  if (root.dtype() != Dtype::f32 || watched() || root.device().kind != DeviceKind::cpu)
    return filled(root.shape(), root.dtype(), 1, root.device());
  Array y = Array::empty(root.shape(), Dtype::f32, root.device());
  *y.view().as<float>() = 1;
  return y;
}

bool numpy_dtype(const py::dtype& d, Dtype* out) {
  switch (d.kind()) {
    case 'b':
      *out = Dtype::b8;
      return true;
    case 'u':
      *out = Dtype::u8;
      return d.itemsize() == 1;
    case 'i':
      *out = d.itemsize() == 4 ? Dtype::i32 : Dtype::i64;
      return d.itemsize() >= 4;
    case 'f':
      *out = d.itemsize() == 2 ? Dtype::f16 : d.itemsize() == 4 ? Dtype::f32 : Dtype::f64;
      return d.itemsize() <= 8;
    default:
      break;
  }
  *out = Dtype::bf16;  // ml_dtypes' bfloat16 registers as a void kind of its own name
  return py::str(d.attr("name")).cast<std::string>() == "bfloat16";
}

Array from_numpy(const py::array& x) {
  Dtype dtype;
  const py::dtype d = x.dtype();
  if (d.byteorder() == '>' || !numpy_dtype(d, &dtype))
    fail<DtypeError>("from_numpy: numpy dtype ", py::str(d).cast<std::string>(),
                     " is not supported: expected bool, uint8, int32, int64, float16, float32, float64 or bfloat16");
  if (x.ndim() > kMaxAxes) fail<ShapeError>("from_numpy: expected at most ", kMaxAxes, " axes, got ", x.ndim());
  View v;
  v.dtype = dtype;
  v.ndim = static_cast<int32_t>(x.ndim());
  const auto item = static_cast<py::ssize_t>(size_of(dtype));
  for (int i = 0; i < v.ndim; ++i) {
    if (x.shape(i) > 1 && x.strides(i) % item != 0)
      fail<ValueError>("from_numpy: strides must be whole elements; copy the array first");
    v.shape[i] = x.shape(i);
    v.strides[i] = x.strides(i) / item;
  }
  v.data = const_cast<void*>(x.data());
  if (reinterpret_cast<uintptr_t>(v.data) % size_of(dtype) != 0)
    fail<ValueError>("from_numpy: the elements are not aligned in memory; copy the array first");
  PyObject* owner = x.inc_ref().ptr();
  Storage* storage = Storage::borrow(v.data, static_cast<size_t>(x.nbytes()), !x.writeable(), owner, [](void* o) {
    py::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(o));
  });
  return {storage, v, Device{}};
}

py::dtype to_numpy_dtype(Dtype d) {
  if (d != Dtype::bf16) return py::dtype(name_of(d));
  try {
    return py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16"));
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_ImportError)) throw;
    fail<DtypeError>("numpy: NumPy has no bfloat16: install ml_dtypes, or convert with .float() first");
  }
}

// A NumPy array on the same memory, which it keeps alive; of an array of another device, on a copy.
py::array to_numpy(const Array& given) {
  refuse_reading("numpy");
  const Array x = on_host(given);
  const auto item = static_cast<py::ssize_t>(size_of(x.dtype()));
  std::vector<py::ssize_t> shape, strides;
  for (int i = 0; i < x.ndim(); ++i) {
    shape.push_back(x.size(i));
    strides.push_back(x.view().strides[i] * item);
  }
  py::capsule owner(new Array(x), [](void* a) { delete static_cast<Array*>(a); });
  py::array out(to_numpy_dtype(x.dtype()), shape, strides, x.view().data, owner);
  if (x.storage() && x.storage()->read_only()) out.attr("flags").attr("writeable") = false;
  return out;
}

}  // namespace

void bind_create(py::module_& m) {
  m.def("default_dtype", &default_dtype);
  m.def("set_default_dtype", &set_default_dtype, py::arg("dtype"));
  m.def("empty", &empty, py::arg("shape"), py::arg("dtype"), py::arg("device"));
  m.def("scalar", &scalar, py::arg("value"), py::arg("dtype"), py::arg("device"));
  m.def("constant", &constant, py::arg("value"), py::arg("dtype"), py::arg("device"),
        "a scalar that is never written to, made outside of any recording");
  m.def("full", &full, py::arg("shape"), py::arg("value"), py::arg("dtype"), py::arg("device"));
  m.def("seed_gradient", &seed_gradient, py::arg("root"), "1 in the shape of root; None unless root is one number");
  m.def("arange", &arange, py::arg("start"), py::arg("end"), py::arg("step"), py::arg("dtype"), py::arg("device"));
  m.def("from_numpy", &from_numpy, py::arg("x"));
  m.def("to_numpy", &to_numpy, py::arg("x"));
  m.def(
      "from_numpy_dtype",
      [](const py::dtype& d) {
        Dtype out;
        return numpy_dtype(d, &out) ? std::optional<Dtype>(out) : std::nullopt;
      },
      py::arg("dtype"));
}

}  // namespace pydl::bind
