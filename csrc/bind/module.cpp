// The extension module pydl._C: errors first, then one call per family.
#include "bind/device.h"
#include "bind/factor.h"
#include "bind/guard.h"

namespace pydl::bind {
namespace {

// Errors are made here so that C++ can raise them; pydl.errors re-exports them.
template <class Error>
void define_error(py::module_& m, const char* name, const char* doc, PyObject* base, PyObject* builtin) {
  PYBIND11_CONSTINIT static PyObject* type;
  const py::tuple bases = py::make_tuple(py::handle(base), py::handle(builtin));
  type = PyErr_NewExceptionWithDoc((std::string("pydl.errors.") + name).c_str(), doc, bases.ptr(), nullptr);
  m.add_object(name, py::handle(type));
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& e) {
      PyErr_SetString(type, e.what());
    }
  });
}

void bind_errors(py::module_& m) {
  PyObject* base =
      PyErr_NewExceptionWithDoc("pydl.errors.PydlError", "What pydl raises on purpose.", PyExc_Exception, nullptr);
  m.add_object("PydlError", py::handle(base));
  define_error<ShapeError>(m, "ShapeError", "Shapes do not fit each other or the operation.", base, PyExc_ValueError);
  define_error<DtypeError>(m, "DtypeError", "A dtype, or the type of an argument, is not one that the operation takes.",
                           base, PyExc_TypeError);
  define_error<DeviceError>(m, "DeviceError", "A device is not available, or tensors are on different ones.", base,
                            PyExc_RuntimeError);
  define_error<BoundsError>(m, "BoundsError", "An index or axis is out of range.", base, PyExc_IndexError);
  define_error<CaptureError>(m, "CaptureError", "What a function does cannot be recorded and replayed.", base,
                             PyExc_RuntimeError);
  define_error<ValueError>(m, "ArgumentError", "A value is not one that the operation takes.", base, PyExc_ValueError);
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  bind_errors(m);
  bind_array(m);
  bind_create(m);
  bind_dlpack(m);
  bind_shape(m);
  bind_elementwise(m);
  bind_reduce(m);
  bind_index(m);
  bind_place(m);
  bind_softmax(m);
  bind_loss(m);
  bind_ctc(m);
  bind_sort(m);
  bind_gemm(m);
  bind_factor(m);
  bind_conv(m);
  bind_random(m);
  bind_optim(m);
  bind_norm(m);
  bind_pool(m);
  bind_resample(m);
  bind_attention(m);
  bind_rnn(m);
  bind_plan(m);
  bind_guard(m);
  bind_ready(m);
  bind_skip(m);
  bind_runtime(m);
  bind_cuda(m);
}

}  // namespace pydl::bind
