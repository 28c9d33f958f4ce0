// Resampling: the maps come from Python as tables, one for each of the last axes; grids and windows as they are.

#include "runtime/table/resample.h"

#include <limits>
#include <vector>

#include "bind/common.h"

namespace pydl::bind {
namespace {

// (n, out, lo, hi, shift, picks) of an axis, as ResampleAxis has them.
using Facts = Shape;

void check_places(const char* op, const Shape& x, int64_t n) {
  if (n > std::numeric_limits<int32_t>::max())
    fail<ShapeError>(op, ": the resampled axes of ", x, " have more than 2^31 - 1 elements");
}

ResampleAxis axis_of(const Facts& facts, const Array& place, const Array& weight, const Array& x) {
  const int64_t out = facts[1];
  check_device("resample", x, place);
  check_device("resample", x, weight);
  if (place.dtype() != Dtype::i32 || weight.dtype() != wide(x) || place.shape() != weight.shape() ||
      place.ndim() != 2 || place.shape()[1] != out)
    fail<ValueError>("resample: a table of ", place.shape(), " does not fit ", out, " outputs");
  ResampleAxis a;
  a.n = facts[0], a.out = out, a.lo = facts[2], a.hi = facts[3], a.shift = facts[4], a.picks = facts[5] != 0;
  a.taps = place.shape()[0];
  a.place = place.view().as<int32_t>();
  a.weight = weight.view().data;
  return a;
}

Array resample(const Array& x, const std::vector<Array>& places, const std::vector<Array>& weights,
               const std::vector<Facts>& facts) {
  if (x.dtype() != Dtype::u8) check_floating("resample", x);
  const int axes = static_cast<int>(facts.size());
  if (axes < 1 || axes > 3 || x.ndim() < axes || places.size() != facts.size() || weights.size() != facts.size())
    fail<ShapeError>("resample: ", axes, " maps do not fit an input ", x.shape());
  ResampleMap map;
  Shape shape = x.shape();
  int64_t n = 1, m = 1;
  for (int i = 0; i < axes; ++i) {
    int64_t& size = shape.dims[x.ndim() - axes + i];
    if (facts[i].ndim != 6 || facts[i][0] != size)
      fail<ShapeError>("resample: a map of ", facts[i], " does not fit an input ", x.shape());
    ResampleAxis& a = map.axis[3 - axes + i];
    if (places[i].numel())
      a = axis_of(facts[i], places[i], weights[i], x);
    else
      a.n = a.out = size;
    n *= size;
    m *= size = a.out;
  }
  check_places("resample", x.shape(), n);
  const Array in = contiguous(x);
  Array y = Array::empty(shape, x.dtype(), x.device());
  if (y.numel()) run<&ResampleKernels::resample>(x.numel() + y.numel(), x.device(), map, planes(in, n), planes(y, m));
  return y;
}

int64_t times(const char* op, int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) fail<ShapeError>(op, ": ", a, " times ", b, " elements are too many");
  return product;
}

FoldAxis fold_axis(const char* op, int64_t n, int64_t size, int64_t dilation, int64_t pad, int64_t stride) {
  constexpr int64_t most = int64_t{1} << 29;  // of each, so that their sums and products are numbers
  if (size < 1 || dilation < 1 || stride < 1 || pad < 0)
    fail<ValueError>(op, ": kernel_size, dilation and stride must be positive and padding not negative, got ", size,
                     ", ", dilation, ", ", stride, " and ", pad);
  if (n < 0 || n > most * most || size > most || dilation > most || stride > most || pad > most)
    fail<ShapeError>(op, ": an axis of ", n, ", kernel_size ", size, ", dilation ", dilation, ", stride ", stride,
                     " and padding ", pad, ": expected none negative, and at most ", most);
  const int64_t room = n + 2 * pad - dilation * (size - 1) - 1;
  if (room < 0)
    fail<ShapeError>(op, ": windows of ", size, " with dilation ", dilation, " do not fit an axis of ", n,
                     " padded by ", pad);
  return {n, room / stride + 1, size, stride, pad, dilation};
}

FoldWindow fold_window(const char* op, const Shape& image, const Shape& size, const Shape& dilation, const Shape& pad,
                       const Shape& stride) {
  return {fold_axis(op, image[0], size[0], dilation[0], pad[0], stride[0]),
          fold_axis(op, image[1], size[1], dilation[1], pad[1], stride[1])};
}

Array unfold(const Array& x, const Shape& size, const Shape& dilation, const Shape& pad, const Shape& stride) {
  check_floating("unfold", x);
  if (x.ndim() != 4) fail<ShapeError>("unfold: expected (n, c, h, w), got ", x.shape());
  const Shape s = x.shape();
  const FoldWindow w = fold_window("unfold", {s[2], s[3]}, size, dilation, pad, stride);
  const Array in = contiguous(x);
  const int64_t places = w.h.size * w.w.size, windows = times("unfold", w.h.out, w.w.out);
  Array y = Array::empty({s[0], times("unfold", s[1], places), windows}, x.dtype(), x.device());
  run<&ResampleKernels::unfold>(y.numel(), x.device(), w, planes(in, s[2] * s[3]), planes(y, places * windows));
  return y;
}

Array fold(const Array& columns, const Shape& output, const Shape& size, const Shape& dilation, const Shape& pad,
           const Shape& stride) {
  check_floating("fold", columns);
  if (columns.ndim() != 3) fail<ShapeError>("fold: expected (n, c * kernel, windows), got ", columns.shape());
  const Shape s = columns.shape();
  const FoldWindow w = fold_window("fold", output, size, dilation, pad, stride);
  const int64_t places = w.h.size * w.w.size, windows = times("fold", w.h.out, w.w.out);
  if (s[1] % places || s[2] != windows)
    fail<ShapeError>("fold: ", s, " does not fit: expected a multiple of ", places, " channels and ", windows,
                     " windows");
  const Array in = contiguous(columns);
  Array x = Array::empty({s[0], s[1] / places, output[0], output[1]}, columns.dtype(), columns.device());
  if (x.numel())
    run<&ResampleKernels::fold>(columns.numel(), columns.device(), w, planes(in, places * windows),
                                planes(x, output[0] * output[1]));
  return x;
}

// Checks that an image (b, c, spatial...) and a grid (b, outputs..., axes) fit.
GridSampling sampling(const char* op, const Shape& x, const Shape& grid, Dtype dtype, Dtype of_grid, int mode,
                      int padding, bool align) {
  const int axes = x.ndim - 2;
  if (axes < 2 || axes > 3 || grid.ndim != x.ndim || grid[grid.ndim - 1] != axes || grid[0] != x[0])
    fail<ShapeError>(op, ": input ", x, " and grid ", grid, " do not fit: expected (b, c, h, w) and (b, oh, ow, 2), ",
                     "or (b, c, d, h, w) and (b, od, oh, ow, 3)");
  if (dtype != of_grid) fail<DtypeError>(op, ": expected one dtype, got ", dtype, " and a grid of ", of_grid);
  if (mode == kGridBicubic && axes != 2) fail<ValueError>(op, ": bicubic sampling needs an input of 4 axes, got ", x);
  GridSampling s{{1, 1, 1}, axes, static_cast<GridMode>(mode), static_cast<GridPadding>(padding), align};
  int64_t n = 1;
  for (int i = 0; i < axes; ++i) {
    n *= s.size[3 - axes + i] = x[2 + i];
    if (x[2 + i] < 1) fail<ShapeError>(op, ": the sampled axes must not be empty, got ", x);
  }
  check_places(op, x, n);
  return s;
}

// (b, c, spatial...) as (b, c, places).
View flat(const Array& x) {
  const Shape s = x.shape();
  const Shape shape{s[0], s[1], Shape(s.dims + 2, s.ndim - 2).numel()};
  return x.as_strided(shape, dense_strides(shape));
}

// (b, c, outputs...) of a grid (b, outputs..., axes).
Shape sampled(const Shape& grid, int64_t c) {
  Shape shape{grid[0], c};
  for (int i = 1; i < grid.ndim - 1; ++i) shape.push_back(grid[i]);
  return shape;
}

void check_gradient(const char* op, const Array& g, const Shape& shape, Dtype dtype) {
  if (g.shape() != shape || g.dtype() != dtype)
    fail<ShapeError>(op, ": gradient ", g.shape(), " of ", g.dtype(), " does not match the output ", shape);
}

Array grid_sample(const Array& x, const Array& grid, int mode, int padding, bool align) {
  check_floating("grid_sample", x);
  const GridSampling s =
      sampling("grid_sample", x.shape(), grid.shape(), x.dtype(), grid.dtype(), mode, padding, align);
  const Array in = contiguous(x), at = contiguous(grid);
  Array y = Array::empty(sampled(grid.shape(), x.shape()[1]), x.dtype(), x.device());
  if (y.numel()) run<&ResampleKernels::grid_sample>(y.numel(), x.device(), s, flat(in), at.view(), flat(y));
  return y;
}

Array grid_sample_back(const Array& g, const Array& grid, const Shape& shape, int mode, int padding, bool align) {
  const char* op = "grid_sample_back";
  const GridSampling s = sampling(op, shape, grid.shape(), g.dtype(), grid.dtype(), mode, padding, align);
  check_gradient(op, g, sampled(grid.shape(), shape[1]), grid.dtype());
  const Array in = contiguous(g), at = contiguous(grid);
  Array gx = Array::empty(shape, g.dtype(), g.device());
  if (gx.numel())
    run<&ResampleKernels::grid_sample_back>(g.numel() + gx.numel(), g.device(), s, flat(in), at.view(), flat(gx));
  return gx;
}

Array grid_sample_move(const Array& x, const Array& grid, const Array& g, int mode, int padding, bool align) {
  const char* op = "grid_sample_move";
  const GridSampling s = sampling(op, x.shape(), grid.shape(), x.dtype(), grid.dtype(), mode, padding, align);
  check_gradient(op, g, sampled(grid.shape(), x.shape()[1]), x.dtype());
  const Array in = contiguous(x), at = contiguous(grid), given = contiguous(g);
  Array moved = Array::empty(grid.shape(), grid.dtype(), grid.device());
  if (moved.numel())
    run<&ResampleKernels::grid_sample_move>(g.numel(), g.device(), s, flat(in), at.view(), flat(given), moved.view());
  return moved;
}

}  // namespace

void bind_resample(py::module_& m) {
  m.def("resample", &resample, py::arg("x"), py::arg("places"), py::arg("weights"), py::arg("facts"));
  m.def("unfold", &unfold, py::arg("x"), py::arg("kernel"), py::arg("dilation"), py::arg("padding"), py::arg("stride"));
  m.def("fold", &fold, py::arg("columns"), py::arg("output"), py::arg("kernel"), py::arg("dilation"),
        py::arg("padding"), py::arg("stride"));
  m.def("grid_sample", &grid_sample, py::arg("x"), py::arg("grid"), py::arg("mode"), py::arg("padding"),
        py::arg("align_corners"));
  m.def("grid_sample_back", &grid_sample_back, py::arg("g"), py::arg("grid"), py::arg("shape"), py::arg("mode"),
        py::arg("padding"), py::arg("align_corners"));
  m.def("grid_sample_move", &grid_sample_move, py::arg("x"), py::arg("grid"), py::arg("g"), py::arg("mode"),
        py::arg("padding"), py::arg("align_corners"));
}

}  // namespace pydl::bind
