#include "runtime/table/index.h"

#include "bind/common.h"

namespace pydl::bind {
namespace {

// int64, dense, with negative indices wrapped; BoundsError if one is outside [-n, n).
Array checked_index(const char* op, const Array& index, int64_t n) {
  if (index.dtype() != Dtype::i64 && index.dtype() != Dtype::i32)
    fail<DtypeError>(op, ": index must be int64 or int32, got ", index.dtype());
  const Array dense = contiguous(cast(index, Dtype::i64));
  const int64_t* in = dense.view().as<int64_t>();
  const int64_t count = dense.numel();
  bool negative = false;
  for (int64_t i = 0; i < count; ++i) {
    if (in[i] < -n || in[i] >= n) fail<BoundsError>(op, ": index ", in[i], " is out of range for size ", n);
    negative |= in[i] < 0;
  }
  if (!negative) return dense;
  Array wrapped = Array::empty(dense.shape(), Dtype::i64, dense.device());
  int64_t* out = wrapped.view().as<int64_t>();
  for (int64_t i = 0; i < count; ++i) out[i] = in[i] < 0 ? in[i] + n : in[i];
  return wrapped;
}

Shape with_size(Shape shape, int axis, int64_t size) {
  if (shape.ndim) shape[axis] = size;
  return shape;
}

Array block_of(const Array& y, const Array& like, int64_t n) {  // y seen as (outer, n, inner)
  const Shape shape{like.size(0), n, like.size(2)};
  return y.as_strided(shape, dense_strides(shape));
}

// An array without axes holds one element along "dim": it takes just one index and stays one element.
void check_scalar(const char* op, const Array& x, const Array& index, int64_t size) {
  if (x.ndim() == 0 && (index.numel() != 1 || size != 1))
    fail<ShapeError>(op, ": a tensor without axes takes one index of size 1, got ", index.numel(), " of size ", size);
}

Array index_select(const Array& x, int64_t dim, const Array& index) {
  if (index.ndim() > 1) fail<ShapeError>("index_select: index must have one axis, got shape ", index.shape());
  const int axis = wrap_axis("index_select", dim, x.ndim());
  const Array block = around(x, axis);
  const Array at = checked_index("index_select", index, block.size(1));
  check_scalar("index_select", x, at, 1);
  Array y = Array::empty(with_size(x.shape(), axis, at.numel()), x.dtype(), x.device());
  run<&IndexKernels::index_select>(y.numel(), x.device(), block.view(), at.view(),
                                   block_of(y, block, at.numel()).view());
  return y;
}

// Zeros with `size` along dim, plus x at index: the gradient of index_select.
Array index_add(const Array& x, int64_t dim, const Array& index, int64_t size) {
  const int axis = wrap_axis("index_add", dim, x.ndim());
  const Array block = around(x, axis);
  const Array at = checked_index("index_add", index, size);
  if (at.numel() != block.size(1))
    fail<ShapeError>("index_add: ", at.numel(), " indices for shape ", x.shape(), ": expected ", block.size(1));
  check_scalar("index_add", x, at, size);
  Array y = filled(with_size(x.shape(), axis, size), x.dtype(), 0, x.device());
  run<&IndexKernels::index_add>(x.numel() + y.numel(), x.device(), at.view(), block.view(),
                                block_of(y, block, size).view());
  return y;
}

// x cut to the sizes of index in every axis but dim, as gather reads no more of it.
Array cut(const char* op, const Array& x, const Array& index, int axis) {
  bool fits = x.ndim() == index.ndim();
  for (int i = 0; i < x.ndim() && fits; ++i) fits = i == axis || index.size(i) <= x.size(i);
  if (!fits)
    fail<ShapeError>(op, ": index of shape ", index.shape(), " does not fit ", x.shape(),
                     ": expected as many axes and no larger sizes but in dim ", axis);
  Shape shape = index.shape();
  if (shape.ndim) shape[axis] = x.size(axis);
  return x.as_strided(shape, x.strides());
}

Array gather(const Array& x, int64_t dim, const Array& index) {
  const int axis = wrap_axis("gather", dim, x.ndim());
  const Array block = around(cut("gather", x, index, axis), axis);
  const Array at = around(checked_index("gather", index, block.size(1)), axis);
  Array y = Array::empty(index.shape(), x.dtype(), x.device());
  run<&IndexKernels::gather>(y.numel(), x.device(), block.view(), at.view(), block_of(y, block, at.size(1)).view());
  return y;
}

// y with x added at index along dim; y is a fresh copy.
Array scatter_add(const Array& y, int64_t dim, const Array& index, const Array& x) {
  const int axis = wrap_axis("scatter_add", dim, y.ndim());
  const Array source = cut("scatter_add", x, index, axis);
  if (x.ndim() && index.size(axis) > x.size(axis))
    fail<ShapeError>("scatter_add: index of shape ", index.shape(), " does not fit src ", x.shape(),
                     ": expected no larger size in dim ", axis);
  const Array at = around(checked_index("scatter_add", index, y.ndim() ? y.size(axis) : 1), axis);
  if (x.dtype() != y.dtype()) fail<DtypeError>("scatter_add: expected src of dtype ", y.dtype(), ", got ", x.dtype());
  Shape read = index.shape();
  const Array values = around(source.as_strided(read, source.strides()), axis);
  Shape region = index.shape();
  if (region.ndim) region[axis] = y.size(axis);
  cut("scatter_add", y, index, axis);
  Array out = clone(y);
  Array part = out.as_strided(region, out.strides());
  const Array block = around(part, axis);  // a copy where index covers only a part of y
  run<&IndexKernels::scatter_add>(x.numel() + y.numel(), y.device(), at.view(), values.view(), block.view());
  if (block.storage() != out.storage()) copy_values(block.as_strided(region, dense_strides(region)), part, y.device());
  return out;
}

// The positions of what is not zero, (count, ndim) int64.
Array nonzero(const Array& x) {
  const Array mask = contiguous(cast(x, Dtype::b8));
  const bool* hit = mask.view().as<bool>();
  const int64_t n = mask.numel();
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += hit[i];
  Array y = Array::empty({count, x.ndim()}, Dtype::i64, x.device());
  int64_t* out = y.view().as<int64_t>();
  for (int64_t i = 0; i < n; ++i) {
    if (!hit[i]) continue;
    int64_t rest = i;
    for (int axis = x.ndim() - 1; axis >= 0; --axis) {
      out[axis] = rest % x.size(axis);
      rest /= x.size(axis);
    }
    out += x.ndim();
  }
  return y;
}

}  // namespace

void bind_index(py::module_& m) {
  m.def("index_select", &index_select, py::arg("x"), py::arg("dim"), py::arg("index"));
  m.def("index_add", &index_add, py::arg("x"), py::arg("dim"), py::arg("index"), py::arg("size"));
  m.def("gather", &gather, py::arg("x"), py::arg("dim"), py::arg("index"));
  m.def("scatter_add", &scatter_add, py::arg("y"), py::arg("dim"), py::arg("index"), py::arg("x"));
  m.def("nonzero", &nonzero, py::arg("x"));
}

}  // namespace pydl::bind
