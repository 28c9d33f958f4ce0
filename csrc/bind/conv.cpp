#include "runtime/table/conv.h"

#include <string>

#include "bind/common.h"

namespace pydl::bind {
namespace {

// Sizes, strides and the like, one per spatial axis.
struct Settings {
  Shape stride, padding, dilation;
  int64_t groups;
};

// Three spatial axes: those that are not there come first, with size 1.
Array with_three_axes(const Array& x) {
  Shape shape{x.size(0), x.size(1)}, strides{x.view().strides[0], x.view().strides[1]};
  for (int i = x.ndim(); i < 5; ++i) shape.push_back(1), strides.push_back(0);
  for (int i = 2; i < x.ndim(); ++i) shape.push_back(x.size(i)), strides.push_back(x.view().strides[i]);
  return x.as_strided(shape, strides);
}

ConvSpec spec_of(const Settings& s) {
  ConvSpec out{{1, 1, 1}, {0, 0, 0}, {1, 1, 1}, s.groups};
  const int missing = 3 - s.stride.ndim;
  for (int i = 0; i < s.stride.ndim; ++i) {
    out.stride[missing + i] = s.stride[i];
    out.padding[missing + i] = s.padding[i];
    out.dilation[missing + i] = s.dilation[i];
  }
  return out;
}

void check_settings(const std::string& op, int axes, const Settings& s) {
  const auto whole = [&](const char* name, const Shape& v, int64_t lowest) {
    bool fits = v.ndim == axes;
    for (int i = 0; i < v.ndim; ++i) fits = fits && v[i] >= lowest && v[i] < (int64_t{1} << 31);
    if (!fits) fail<ValueError>(op, ": ", name, " ", v, ": expected ", axes, " numbers of at least ", lowest);
  };
  whole("stride", s.stride, 1);
  whole("dilation", s.dilation, 1);
  if (s.padding.ndim != axes) fail<ValueError>(op, ": padding ", s.padding, ": expected ", axes, " numbers");
  if (s.groups < 1) fail<ValueError>(op, ": groups must be positive, got ", s.groups);
}

void check_operands(const std::string& op, const Array& a, const Array& b, const std::optional<Array>& bias) {
  check_device(op.c_str(), a, b);
  if (a.dtype() != b.dtype() || (bias && bias->dtype() != a.dtype()))
    fail<DtypeError>(op, ": expected one dtype, got ", a.dtype(), " and ",
                     a.dtype() != b.dtype() ? b.dtype() : bias->dtype());
  check_floating(op.c_str(), a);
}

void check_bias(const std::string& op, const std::optional<Array>& bias, int64_t channels) {
  if (bias && (bias->ndim() != 1 || bias->size(0) != channels))
    fail<ShapeError>(op, ": bias ", bias->shape(), " does not match ", channels, " output channels: expected (",
                     channels, ",)");
}

// Ranks, channels and groups: x (b, c, ...) and w (m, c / groups, ...) of 1 to 3 spatial axes.
void check_channels(const std::string& op, const Array& x, const Array& w, const Settings& s, int64_t channels) {
  const int axes = x.ndim() - 2;
  if (axes < 1 || axes > 3 || w.ndim() != x.ndim())
    fail<ShapeError>(op, ": input ", x.shape(), " and weight ", w.shape(), ": expected both with 3 to 5 axes");
  check_settings(op, axes, s);
  if (w.size(0) % s.groups)
    fail<ShapeError>(op, ": weight ", w.shape(), " does not split into ", s.groups, " groups: expected a multiple of ",
                     s.groups, " as its first size");
  if (channels != w.size(1) * s.groups)
    fail<ShapeError>(op, ": ", channels, " input channels do not match weight ", w.shape(), " of ", s.groups,
                     " groups: expected ", w.size(1) * s.groups);
}

int64_t work_of(const Array& y, const Array& w) {
  const int64_t rows = w.size(0) ? w.numel() / w.size(0) : 0;
  return y.numel() * (rows / 8 + 1);
}

Activation activation_of(const std::string& op, const std::string& name) {
  if (name == "none") return Activation::none;
  if (name == "relu") return Activation::relu;
  if (name == "tanh") return Activation::tanh;
  if (name == "sigmoid") return Activation::sigmoid;
  fail<ValueError>(op, ": activation must be one of none, relu, tanh, sigmoid, got ", name);
}

Shape full_shape(int64_t batch, int64_t channels, const Shape& size) {
  Shape shape{batch, channels};
  for (int i = 0; i < size.ndim; ++i) shape.push_back(size[i]);
  return shape;
}

void check_size(const std::string& op, const Array& x, const Shape& size) {
  bool fits = size.ndim == x.ndim() - 2;
  for (int i = 0; i < size.ndim; ++i) fits = fits && size[i] >= 0;
  if (!fits) fail<ShapeError>(op, ": size ", size, " does not fit input ", x.shape(), ": expected one size per axis");
}

// x (b, c, ...), w (m, c / groups, ...) to (b, m, *size).
Array conv(const Array& x, const Array& w, const std::optional<Array>& bias, const Shape& stride, const Shape& padding,
           const Shape& dilation, int64_t groups, const Shape& size, const std::string& activation) {
  const Settings s{stride, padding, dilation, groups};
  const std::string op = "conv" + std::to_string(x.ndim() - 2) + "d";
  check_channels(op, x, w, s, x.ndim() > 1 ? x.size(1) : 0);
  check_operands(op, x, w, bias);
  check_bias(op, bias, w.size(0));
  check_size(op, x, size);
  Array y = Array::empty(full_shape(x.size(0), w.size(0), size), x.dtype(), x.device());
  run<&ConvKernels::conv>(work_of(y, w), x.device(), with_three_axes(x).view(), with_three_axes(w).view(), maybe(bias),
                          spec_of(s), activation_of(op, activation), with_three_axes(y).view());
  return y;
}

// y (b, m, ...), w (m, c / groups, ...) to (b, c, *size): the adjoint of conv in x.
Array conv_input_grad(const Array& y, const Array& w, const std::optional<Array>& bias, const Shape& stride,
                      const Shape& padding, const Shape& dilation, int64_t groups, const Shape& size,
                      const std::string& activation) {
  const Settings s{stride, padding, dilation, groups};
  const std::string op = "conv_transpose" + std::to_string(y.ndim() - 2) + "d";
  check_channels(op, y, w, s, w.ndim() > 1 ? w.size(1) * groups : 0);
  if (y.size(1) != w.size(0))
    fail<ShapeError>(op, ": ", y.size(1), " input channels do not match weight ", w.shape(), ": expected ", w.size(0));
  check_operands(op, y, w, bias);
  check_bias(op, bias, w.size(1) * groups);
  check_size(op, y, size);
  Array x = Array::empty(full_shape(y.size(0), w.size(1) * groups, size), y.dtype(), y.device());
  run<&ConvKernels::conv_input_grad>(work_of(y, w), y.device(), with_three_axes(y).view(), with_three_axes(w).view(),
                                     maybe(bias), spec_of(s), activation_of(op, activation), with_three_axes(x).view());
  return x;
}

// x (b, c, ...), y (b, m, ...) to (m, c / groups, *size): the adjoint of conv in w.
Array conv_weight_grad(const Array& x, const Array& y, const Shape& stride, const Shape& padding, const Shape& dilation,
                       int64_t groups, const Shape& size) {
  const Settings s{stride, padding, dilation, groups};
  const std::string op = "conv_weight_grad";
  check_operands(op, x, y, std::nullopt);
  if (x.ndim() < 3 || x.ndim() > 5 || y.ndim() != x.ndim() || x.size(0) != y.size(0))
    fail<ShapeError>(op, ": input ", x.shape(), " and gradient ", y.shape(),
                     ": expected both with the same 3 to 5 axes and batch");
  check_settings(op, x.ndim() - 2, s);
  check_size(op, x, size);
  if (x.size(1) % groups || y.size(1) % groups)
    fail<ShapeError>(op, ": input ", x.shape(), " and gradient ", y.shape(), " do not split into ", groups, " groups");
  const Shape shape = full_shape(y.size(1), x.size(1) / groups, size);
  if (y.numel() == 0) return filled(shape, x.dtype(), 0, x.device());
  Array w = Array::empty(shape, x.dtype(), x.device());
  run<&ConvKernels::conv_weight_grad>(work_of(y, w), x.device(), with_three_axes(x).view(), with_three_axes(y).view(),
                                      spec_of(s), with_three_axes(w).view());
  return w;
}

// The name of the path that a float32 product takes.
std::string conv_path(const std::string& product, const Array& x, const Array& w, const Shape& stride,
                      const Shape& padding, const Shape& dilation, int64_t groups, const Array& y) {
  const Settings s{stride, padding, dilation, groups};
  check_channels("conv_path", x, w, s, x.ndim() > 1 ? x.size(1) : 0);
  const ConvProduct which = product == "forward"       ? ConvProduct::forward
                            : product == "input_grad"  ? ConvProduct::input_grad
                            : product == "weight_grad" ? ConvProduct::weight_grad
                                                       : throw ValueError(
                                                             "conv_path: product must be forward, "
                                                             "input_grad or weight_grad, got " +
                                                             product);
  ConvPath path = ConvPath::packed;
  peek<&ConvKernels::conv_path>(x.device(), which, with_three_axes(x).view(), with_three_axes(w).view(), spec_of(s),
                                with_three_axes(y).view(), &path);
#define PYDL_NAME(name) #name,
  static const char* const names[] = {PYDL_CONV_PATHS(PYDL_NAME)};
#undef PYDL_NAME
  return names[static_cast<int>(path)];
}

}  // namespace

void bind_conv(py::module_& m) {
  m.def("conv", &conv, py::arg("x"), py::arg("w"), py::arg("bias"), py::arg("stride"), py::arg("padding"),
        py::arg("dilation"), py::arg("groups"), py::arg("size"), py::arg("activation"));
  m.def("conv_input_grad", &conv_input_grad, py::arg("y"), py::arg("w"), py::arg("bias"), py::arg("stride"),
        py::arg("padding"), py::arg("dilation"), py::arg("groups"), py::arg("size"), py::arg("activation"));
  m.def("conv_weight_grad", &conv_weight_grad, py::arg("x"), py::arg("y"), py::arg("stride"), py::arg("padding"),
        py::arg("dilation"), py::arg("groups"), py::arg("size"));
  m.def("conv_path", &conv_path, py::arg("product"), py::arg("x"), py::arg("w"), py::arg("stride"), py::arg("padding"),
        py::arg("dilation"), py::arg("groups"), py::arg("y"));
}

}  // namespace pydl::bind
