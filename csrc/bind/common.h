// What all bind files share: Shape from Python, the rules of promotion and broadcasting, and the call into the door.
// A bind function checks shapes and dtypes, allocates the output and launches; nothing else.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "array/array.h"
#include "array/errors.h"
#include "runtime/launch.h"

namespace py = pybind11;

namespace pydl::bind {

// One per family, called by module.cpp.
void bind_array(py::module_& m);
void bind_create(py::module_& m);
void bind_dlpack(py::module_& m);
void bind_shape(py::module_& m);
void bind_elementwise(py::module_& m);
void bind_reduce(py::module_& m);
void bind_index(py::module_& m);
void bind_place(py::module_& m);
void bind_softmax(py::module_& m);
void bind_loss(py::module_& m);
void bind_ctc(py::module_& m);
void bind_sort(py::module_& m);
void bind_gemm(py::module_& m);
void bind_conv(py::module_& m);
void bind_random(py::module_& m);
void bind_optim(py::module_& m);
void bind_norm(py::module_& m);
void bind_pool(py::module_& m);
void bind_resample(py::module_& m);
void bind_attention(py::module_& m);
void bind_rnn(py::module_& m);
void bind_plan(py::module_& m);
void bind_runtime(py::module_& m);

// Launches a kernel; the GIL is given up for work (in elements read or written) that takes longer than taking it back.
constexpr int64_t kGilWork = 1 << 16;
template <auto slot, class... Args>
void run(int64_t work, Device device, const Args&... args) {
  if (work < kGilWork) return launch<slot>(device, args...);
  py::gil_scoped_release unlocked;
  launch<slot>(device, args...);
}

// ---- array helpers (rules.cpp)

Array contiguous(const Array& x);                   // x itself if it is dense
Array cast(const Array& x, Dtype dtype);            // x itself if it has that dtype
Array reshape(const Array& x, const Shape& shape);  // a view where strides allow, else a copy; sizes must agree
Array expand(const Array& x, const Shape& shape);   // broadcast view; the caller has checked the shapes
Array clone(const Array& x);                        // always a copy, dense
// Copies between views of one shape, whatever their strides, and casts where their dtypes differ.
void copy_values(View from, View to, Device device);
Array filled(const Shape& shape, Dtype dtype, double value, Device device = {});

// That of floating results where no input is floating; float32 until it is set.
Dtype default_dtype();
void set_default_dtype(Dtype dtype);

// The shape that both broadcast to, or ShapeError naming op.
Shape broadcast(const char* op, const Shape& a, const Shape& b);
// PyTorch's rule: an array without axes does not promote one with axes of the same or a higher category.
Dtype result_type(const Array& a, const Array& b);
// Drops axes of size 1 and merges neighbours that all views step through alike; all have the shape of the first.
void coalesce(View* const* views, int count);

// The dtype that sums and statistics of x are kept in.
inline Dtype wide(const Array& x) { return x.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32; }
// Dense x as (planes, n).
inline View planes(const Array& x, int64_t n) {
  const Shape shape{n ? x.numel() / n : 0, n};
  return x.as_strided(shape, dense_strides(shape));
}

void check_device(const char* op, const Array& a, const Array& b);
void check_floating(const char* op, const Array& x);
int wrap_axis(const char* op, int64_t axis, int ndim);  // negative axes count from the end
// x as (outer, n, inner) around an axis, dense.
Array around(const Array& x, int axis);

// Raises BoundsError unless every class is in [0, classes) or ignored; target is dense int64. The one place where a
// loss reads its classes on the host.
void check_classes(const char* op, const Array& target, int64_t classes, std::optional<int64_t> ignored);

// Losses as they are, their sum, or their mean, which divides by the sum of `weights` where there are any; and that sum
// (of no elements where it is not needed).
enum Reduction : int { kNone, kSum, kMean };
inline View filled_or_absent(const Array& x) { return x.numel() ? x.view() : View{}; }
py::tuple reduced_losses(const Array& loss, const Array& weights, int reduction);

inline std::optional<Array> dense(std::optional<Array> x) {
  if (x) x = contiguous(*x);
  return x;
}
// The array as an optional argument of a kernel.
inline View maybe(const std::optional<Array>& x) { return x ? x->view() : View{}; }

}  // namespace pydl::bind

namespace pydl::bind {
// The one Python object of each dtype (pydl.float32, ...), so that `is` compares them.
extern PyObject* dtype_objects[8];
}  // namespace pydl::bind

namespace pybind11::detail {

template <>
struct type_caster<pydl::Dtype> {
  PYBIND11_TYPE_CASTER(pydl::Dtype, const_name("dtype"));

  bool load(handle source, bool) {
    for (int i = 0; i < 8; ++i)
      if (source.ptr() == pydl::bind::dtype_objects[i]) {
        value = static_cast<pydl::Dtype>(i);
        return true;
      }
    pydl::fail<pydl::DtypeError>("expected a dtype such as pydl.float32, got ", repr(source).cast<std::string>());
  }
  static handle cast(pydl::Dtype dtype, return_value_policy, handle) {
    return handle(pydl::bind::dtype_objects[static_cast<int>(dtype)]).inc_ref();
  }
};

// Shape <-> any sequence of integers; a tuple on the way back. No function is overloaded on these types, so the casters
// raise errors of their own in place of pybind11's list of signatures.
template <>
struct type_caster<pydl::Shape> {
  PYBIND11_TYPE_CASTER(pydl::Shape, const_name("tuple[int, ...]"));

  bool load(handle source, bool) {
    if (!PySequence_Check(source.ptr()) || PyUnicode_Check(source.ptr())) refuse(source);
    object fast = reinterpret_steal<object>(PySequence_Fast(source.ptr(), "expected a sequence of integers"));
    if (!fast) throw error_already_set();
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(fast.ptr());
    if (n > pydl::kMaxAxes) pydl::fail<pydl::ShapeError>("expected at most ", pydl::kMaxAxes, " axes, got ", n);
    for (Py_ssize_t i = 0; i < n; ++i) {
      const int64_t size = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(fast.ptr(), i));
      if (size == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        refuse(source);
      }
      value.push_back(size);
    }
    return true;
  }

  [[noreturn]] static void refuse(handle source) {
    pydl::fail<pydl::DtypeError>("expected a sequence of integers, got ", repr(source).cast<std::string>());
  }

  static handle cast(const pydl::Shape& shape, return_value_policy, handle) {
    PyObject* out = PyTuple_New(shape.ndim);
    for (int i = 0; i < shape.ndim; ++i) PyTuple_SET_ITEM(out, i, PyLong_FromLongLong(shape[i]));
    return out;
  }
};

}  // namespace pybind11::detail
