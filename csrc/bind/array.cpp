// The Python classes dtype, device and Array.
#include <pybind11/numpy.h>

#include <cmath>
#include <cstring>
#include <optional>

#include "bind/device.h"

namespace pydl::bind {

PyObject* dtype_objects[8];

namespace {

struct DtypeObject {
  Dtype dtype;
};

void bind_dtype(py::module_& m) {
  py::class_<DtypeObject>(m, "dtype", "The type of the elements of a tensor: pydl.float32, ...")
      .def_property_readonly("name", [](const DtypeObject& d) { return name_of(d.dtype); })
      .def_property_readonly("itemsize", [](const DtypeObject& d) { return size_of(d.dtype); })
      .def_property_readonly("is_floating_point", [](const DtypeObject& d) { return is_floating(d.dtype); })
      .def("__repr__", [](const DtypeObject& d) { return std::string("pydl.") + name_of(d.dtype); })
      .def("__reduce__", [](const DtypeObject& d) { return name_of(d.dtype); });  // pickled as a global of this module
#define PYDL_DTYPE_OBJECT(name, type, text, ...)                 \
  {                                                              \
    py::object object = py::cast(DtypeObject{Dtype::name});      \
    dtype_objects[static_cast<int>(Dtype::name)] = object.ptr(); \
    m.attr(text) = object;                                       \
    object.release();                                            \
  }
  PYDL_DTYPES(PYDL_DTYPE_OBJECT)
  m.def("promote_types", &promote, py::arg("a"), py::arg("b"));
}

constexpr int64_t kSmall = 4096;  // elements: below, keeping them costs less than making a shell

constexpr const char* kDevices = "expected 'cpu', 'cuda', 'cuda:N' or N";
constexpr int64_t kMostIndices = 1000;

[[noreturn]] void fail_kind(const py::handle& given) {
  fail<DtypeError>("device: ", kDevices, ", got ", py::repr(given).cast<std::string>());
}
[[noreturn]] void fail_name(const std::string& text) {
  fail<ValueError>("device: '", text, "' is not a device: ", kDevices);
}

// The number of a device: of an int or one of NumPy's, not of a bool.
std::optional<int64_t> device_index(const py::handle& given) {
  const bool whole = PyLong_Check(given.ptr()) || py::isinstance(given, py::module_::import("numpy").attr("integer"));
  if (!whole || PyBool_Check(given.ptr())) return std::nullopt;
  int overflow = 0;
  const py::int_ number(py::reinterpret_borrow<py::object>(given));
  const int64_t index = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow || index < 0 || index >= kMostIndices)
    fail<ValueError>("device: ", py::repr(number).cast<std::string>(), " is not the number of a device: ", kDevices);
  return index;
}

Device cuda_device_of(int64_t index) {
  const Device device{DeviceKind::cuda, static_cast<int16_t>(index)};
  cuda_on(device);  // raises the reason where it cannot be used
  return device;
}

Device parse_device(const py::handle& given) {
  if (py::isinstance<Device>(given)) return given.cast<Device>();
  if (!py::isinstance<py::str>(given)) {
    if (const auto index = device_index(given)) return cuda_device_of(*index);
    fail_kind(given);
  }
  const auto text = given.cast<std::string>();
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  int index = cuda_device();
  if (colon != std::string::npos) {
    const std::string digits = text.substr(colon + 1);
    if (digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string::npos)
      fail_name(text);
    index = std::stoi(digits);
  }
  if (kind == "cpu" && (colon == std::string::npos || index == 0)) return {};
  if (kind != "cuda") fail_name(text);
  return cuda_device_of(index);
}

// A kind, and a number of its own.
Device parse_kind(const py::handle& type, const py::handle& index) {
  if (index.is_none()) return parse_device(type);
  if (!py::isinstance<py::str>(type)) fail_kind(type);
  const auto kind = type.cast<std::string>();
  const auto number = device_index(index);
  if (!number) fail<DtypeError>("device: expected an int as index, got ", py::repr(index).cast<std::string>());
  if (kind.find(':') != std::string::npos)
    fail<ValueError>("device: '", kind, "' has a number: expected a type without one before an index");
  return parse_device(py::str(kind + ":" + std::to_string(*number)));
}

void bind_device(py::module_& m) {
  py::class_<Device>(
      m, "device",
      "Where memory is: device('cpu'), or device('cuda:N'), device('cuda', N) or device(N) where there is "
      "one.")
      .def(py::init(&parse_device), py::arg("device"))
      .def(py::init(&parse_kind), py::arg("type"), py::arg("index") = py::none())
      .def_property_readonly("type", [](const Device& d) { return d.kind == DeviceKind::cpu ? "cpu" : "cuda"; })
      .def_property_readonly("index",
                             [](const Device& d) -> py::object {
                               if (d.kind == DeviceKind::cpu) return py::none();
                               return py::int_(d.index);
                             })
      .def(
          "__eq__", [](const Device& a, const Device& b) { return a == b; }, py::is_operator())
      .def("__hash__", [](const Device& d) { return py::hash(py::str(device_name(d))); })
      .def("__str__", &device_name)
      .def("__repr__", [](const Device& d) { return "device(type='" + device_name(d) + "')"; })
      .def("__reduce__",
           [](const Device& d) { return py::make_tuple(py::type::of<Device>(), py::make_tuple(device_name(d))); });
}

py::object item(const Array& x) {
  if (x.numel() != 1) fail<ValueError>("item: a tensor of shape ", x.shape(), " is not one number");
  const bool frozen = x.storage() && x.storage()->frozen();
  if (!frozen) refuse_reading("item");
  const Unrecorded ordinary;
  const Category c = category_of(x.dtype());
  const Array wide = reshape(on_host(cast(x, c == Category::floating  ? Dtype::f64
                                             : c == Category::integer ? Dtype::i64
                                                                      : Dtype::b8)),
                             Shape{});
  if (c == Category::floating) return py::float_(*wide.view().as<double>());
  if (c == Category::integer) return py::int_(*wide.view().as<int64_t>());
  return py::bool_(*wide.view().as<bool>());
}

void bind_class(py::module_& m) {
  py::class_<Array>(m, "Array")
      .def_property_readonly("shape", &Array::shape)
      .def_property_readonly("strides", &Array::strides)
      .def_property_readonly("ndim", &Array::ndim)
      .def_property_readonly("size", &Array::numel)
      .def_property_readonly("dtype", &Array::dtype)
      .def_property_readonly("device", &Array::device)
      .def_property_readonly("is_floating", [](const Array& x) { return is_floating(x.dtype()); })
      .def_property_readonly("is_dense", &Array::dense)
      .def_property_readonly("data_ptr", [](const Array& x) { return reinterpret_cast<uintptr_t>(x.view().data); })
      .def_property_readonly("version",
                             [](const Array& x) { return x.storage() ? x.storage()->version() : int64_t{0}; })
      .def_property_readonly("read_only", [](const Array& x) { return x.storage() && x.storage()->read_only(); })
      .def_property_readonly("is_shared", [](const Array& x) { return x.storage() && x.storage()->refs() > 1; })
      .def("bump",
           [](const Array& x) {
             if (x.storage()) x.storage()->bump();
           })
      .def("item", &item);
  m.def(
      "same_shape", [](const Array& a, const Array& b) { return a.shape() == b.shape(); }, py::arg("a"), py::arg("b"));
  m.def(
      "same_type",
      [](const py::object& a, const py::object& b) {
        py::detail::make_caster<Array> x, y;
        if (!x.load(a, false) || !y.load(b, false)) return false;
        const Array& first = x;
        const Array& second = y;
        return first.shape() == second.shape() && first.dtype() == second.dtype();
      },
      py::arg("a"), py::arg("b"), "whether a and b are arrays that agree in shape and dtype");
  m.def("tick", &tick, "the next number of the clock of recorded operations and changes in place");
  m.def(
      "shell",
      [](const py::object& x) {
        const Array& a = x.cast<const Array&>();
        const bool shared = a.storage() && a.storage()->refs() > 1;
        return a.numel() <= kSmall && !shared ? x : py::cast(a.shell());
      },
      py::arg("x"), "the facts of x without its memory; x itself if it is small and nobody else holds its memory");
  m.def(
      "own",
      [](const py::object& x) {
        const Array& a = x.cast<const Array&>();
        return a.dense() && a.storage() && a.storage()->refs() == 1 ? x : py::cast(clone(a));
      },
      py::arg("x"), "x itself if nobody else holds its memory and it is dense, else a copy");
  m.def(
      "shares_memory", [](const Array& a, const Array& b) { return a.storage() && a.storage() == b.storage(); },
      py::arg("a"), py::arg("b"));
}

}  // namespace

void bind_array(py::module_& m) {
  bind_dtype(m);
  bind_device(m);
  bind_class(m);
}

}  // namespace pydl::bind
