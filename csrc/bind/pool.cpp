// Pooling: the last `kernel.ndim` axes of x are pooled, all before them are planes.

#include "runtime/table/pool.h"

#include <limits>

#include "bind/common.h"

namespace pydl::bind {
namespace {

// Windows of these sizes; no strides: adaptive windows, `kernel` is the size of the output.
struct Windows {
  PoolWindow window;
  Shape out;             // of the pooled axes
  int64_t n = 1, m = 1;  // elements of a plane before and after
};

// Outputs along an axis; `ceil` lets the last window begin inside the input and reach beyond its padding.
int64_t outputs(const char* op, const PoolAxis& a, bool ceil) {
  const int64_t reach = a.dilation * (a.size - 1) + 1, room = a.n + 2 * a.pad - reach;
  if (a.size < 1 || a.stride < 1 || a.dilation < 1)
    fail<ValueError>(op, ": kernel, stride and dilation must be at least 1, got ", a.size, ", ", a.stride, " and ",
                     a.dilation);
  if (a.pad < 0 || 2 * a.pad > reach)
    fail<ValueError>(op, ": padding must be between 0 and half of the window, got ", a.pad, " for a window of ", reach);
  if (room < 0 && !(ceil && room + a.stride > 0))
    fail<ShapeError>(op, ": a window of ", reach, " does not fit an input of ", a.n, " padded by ", a.pad);
  int64_t out = (room + (ceil ? a.stride - 1 : 0)) / a.stride + 1;
  if (ceil && (out - 1) * a.stride >= a.n + a.pad) --out;
  return out;
}

Windows windows_of(const char* op, const Shape& x, const Shape& kernel, const Shape& stride, const Shape& pad,
                   const Shape& dilation, bool ceil) {
  const int axes = kernel.ndim;
  if (axes < 1 || axes > 3 || x.ndim < axes + 1 || x.ndim > axes + 2)
    fail<ShapeError>(op, ": expected an input of ", axes + 1, " or ", axes + 2, " axes, got ", x);
  Windows made;
  for (int i = 0; i < axes; ++i) {
    PoolAxis& a = made.window.axis[3 - axes + i];
    a.n = x[x.ndim - axes + i];
    if (a.n < 1) fail<ShapeError>(op, ": the pooled axes must not be empty, got ", x);
    if (stride.ndim == 0) {
      a.adaptive = true;
      a.out = kernel[i];
      if (a.out < 0) fail<ValueError>(op, ": output sizes must not be negative, got ", kernel);
    } else {
      a.size = kernel[i], a.stride = stride[i], a.pad = pad[i], a.dilation = dilation[i];
      a.out = outputs(op, a, ceil);
    }
    made.out.push_back(a.out);
    made.n *= a.n;
    made.m *= a.out;
  }
  if (made.n > std::numeric_limits<int32_t>::max())
    fail<ShapeError>(op, ": the pooled axes of ", x, " have more than 2^31 - 1 elements");
  return made;
}

// The last axes of x replaced by `tail`.
Shape with_tail(const Shape& x, const Shape& tail) {
  Shape shape(x.dims, x.ndim - tail.ndim);
  for (int i = 0; i < tail.ndim; ++i) shape.push_back(tail[i]);
  return shape;
}

std::pair<Array, Array> max_pool(const Array& x, const Shape& kernel, const Shape& stride, const Shape& pad,
                                 const Shape& dilation, bool ceil) {
  check_floating("max_pool", x);
  const Windows w = windows_of("max_pool", x.shape(), kernel, stride, pad, dilation, ceil);
  const Array in = contiguous(x);
  Array y = Array::empty(with_tail(x.shape(), w.out), x.dtype(), x.device());
  Array index = Array::empty(y.shape(), Dtype::i32, x.device());
  run<&PoolKernels::max_pool>(x.numel(), x.device(), w.window, planes(in, w.n), planes(y, w.m), planes(index, w.m));
  return {y, index};
}

PoolWindow averaging(PoolWindow w, bool count_pad, std::optional<int64_t> divisor) {
  if (divisor && *divisor == 0) fail<ValueError>("avg_pool: divisor_override must not be 0");
  w.count_pad = count_pad;
  w.divisor = divisor.value_or(0);
  return w;
}

Array avg_pool(const Array& x, const Shape& kernel, const Shape& stride, const Shape& pad, bool ceil, bool count_pad,
               std::optional<int64_t> divisor) {
  check_floating("avg_pool", x);
  const Windows w = windows_of("avg_pool", x.shape(), kernel, stride, pad, {1, 1, 1}, ceil);
  const Array in = contiguous(x);
  Array y = Array::empty(with_tail(x.shape(), w.out), x.dtype(), x.device());
  run<&PoolKernels::avg_pool>(x.numel(), x.device(), averaging(w.window, count_pad, divisor), planes(in, w.n),
                              planes(y, w.m));
  return y;
}

Array avg_pool_grad(const Array& g, const Shape& shape, const Shape& kernel, const Shape& stride, const Shape& pad,
                    bool ceil, bool count_pad, std::optional<int64_t> divisor) {
  check_floating("avg_pool_grad", g);
  const Windows w = windows_of("avg_pool_grad", shape, kernel, stride, pad, {1, 1, 1}, ceil);
  if (g.shape() != with_tail(shape, w.out))
    fail<ShapeError>("avg_pool_grad: gradient ", g.shape(), " does not match the output ", with_tail(shape, w.out));
  const Array in = contiguous(g);
  Array gx = Array::empty(shape, g.dtype(), g.device());
  run<&PoolKernels::avg_pool_grad>(gx.numel(), g.device(), averaging(w.window, count_pad, divisor), planes(in, w.m),
                                   planes(gx, w.n));
  return gx;
}

// x (..., spatial...) read at index, which max_pool made for it.
Array pool_pick(const Array& x, const Array& index, int axes) {
  const Shape from = x.shape(), to = index.shape();
  const int64_t n = Shape(from.dims + from.ndim - axes, axes).numel(),
                m = Shape(to.dims + to.ndim - axes, axes).numel();
  const Array in = contiguous(x), places = contiguous(index);
  Array y = Array::empty(to, x.dtype(), x.device());
  run<&PoolKernels::pool_pick>(y.numel(), x.device(), planes(in, n), planes(places, m), planes(y, m));
  return y;
}

// Zeros of shape (..., spatial...) with g added at index, which max_pool made with the same windows.
Array pool_place(const Array& g, const Array& index, const Shape& spatial, const Shape& kernel, const Shape& stride,
                 const Shape& pad, const Shape& dilation, bool ceil) {
  const Shape shape = with_tail(g.shape(), spatial);
  const Windows w = windows_of("pool_place", shape, kernel, stride, pad, dilation, ceil);
  if (g.shape() != with_tail(shape, w.out))
    fail<ShapeError>("pool_place: gradient ", g.shape(), " does not match the output ", with_tail(shape, w.out));
  const Array in = contiguous(g), places = contiguous(index);
  Array gx = Array::empty(shape, g.dtype(), g.device());
  run<&PoolKernels::pool_place>(gx.numel(), g.device(), w.window, planes(in, w.m), planes(places, w.m), View{},
                                planes(gx, w.n));
  return gx;
}

}  // namespace

void bind_pool(py::module_& m) {
  m.def("max_pool", &max_pool, py::arg("x"), py::arg("kernel"), py::arg("stride"), py::arg("padding"),
        py::arg("dilation"), py::arg("ceil_mode"));
  m.def("avg_pool", &avg_pool, py::arg("x"), py::arg("kernel"), py::arg("stride"), py::arg("padding"),
        py::arg("ceil_mode"), py::arg("count_include_pad"), py::arg("divisor_override"));
  m.def("avg_pool_grad", &avg_pool_grad, py::arg("g"), py::arg("shape"), py::arg("kernel"), py::arg("stride"),
        py::arg("padding"), py::arg("ceil_mode"), py::arg("count_include_pad"), py::arg("divisor_override"));
  m.def("pool_pick", &pool_pick, py::arg("x"), py::arg("index"), py::arg("axes"));
  m.def("pool_place", &pool_place, py::arg("g"), py::arg("index"), py::arg("spatial"), py::arg("kernel"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("ceil_mode"));
}

}  // namespace pydl::bind
