// Views and the operations that move data without computing.

#include <algorithm>
#include <utility>

#include "bind/common.h"

namespace pydl::bind {
namespace {

// Fills in one size of -1 and checks the count.
Array reshape_to(const Array& x, Shape shape) {
  int unknown = -1;
  int64_t known = 1;
  for (int i = 0; i < shape.ndim; ++i) {
    if (shape[i] == -1 && unknown < 0) {
      unknown = i;
    } else if (shape[i] < 0) {
      fail<ShapeError>("reshape: shape ", shape, " has more than one -1 or a negative size");
    } else if (__builtin_mul_overflow(known, shape[i], &known)) {
      fail<ShapeError>("reshape: shape ", shape, " is too large");
    }
  }
  const int64_t n = x.numel();
  if (unknown >= 0 && known > 0 && n % known == 0)
    shape[unknown] = n / known;
  else if (unknown >= 0 || known != n)
    fail<ShapeError>("reshape: ", x.shape(), " has ", n, " elements: it does not fit into shape ", shape);
  return reshape(x, shape);
}

Array permute(const Array& x, const Shape& axes) {
  if (axes.ndim != x.ndim())
    fail<ShapeError>("permute: got ", axes.ndim, " dims for a tensor of shape ", x.shape(), ": expected ", x.ndim());
  Shape shape, strides;
  bool seen[kMaxAxes]{};
  for (int i = 0; i < axes.ndim; ++i) {
    const int axis = wrap_axis("permute", axes[i], x.ndim());
    if (seen[axis]) fail<ShapeError>("permute: dim ", axes[i], " is repeated in ", axes);
    seen[axis] = true;
    shape.push_back(x.size(axis));
    strides.push_back(x.view().strides[axis]);
  }
  return x.as_strided(shape, strides);
}

Array expand_to(const Array& x, Shape shape) {
  const int lead = shape.ndim - x.ndim();
  bool fits = lead >= 0;
  int64_t count = 1;
  for (int i = 0; i < shape.ndim && fits; ++i) {
    if (i >= lead && shape[i] == -1) shape[i] = x.size(i - lead);
    fits = shape[i] >= 0 && (i < lead || shape[i] == x.size(i - lead) || x.size(i - lead) == 1);
    if (fits && __builtin_mul_overflow(count, shape[i] ? shape[i] : 1, &count))
      fail<ShapeError>("expand: shape ", shape, " is too large");
  }
  if (!fits)
    fail<ShapeError>("expand: ", x.shape(), " does not expand to ", shape, ": expected equal sizes, or 1 to expand");
  return expand(x, shape);
}

// x[start : start + size * step : step] along every axis; the caller has clipped the bounds.
Array slice(const Array& x, const Shape& starts, const Shape& sizes, const Shape& steps) {
  if (starts.ndim != x.ndim() || sizes.ndim != x.ndim() || steps.ndim != x.ndim())
    fail<ShapeError>("slice: expected one start, size and step for each of the ", x.ndim(), " axes");
  Shape strides;
  int64_t offset = 0;
  for (int i = 0; i < x.ndim(); ++i) {
    const int64_t last = starts[i] + (sizes[i] - 1) * steps[i];
    if (sizes[i] > 0 && (starts[i] < 0 || starts[i] >= x.size(i) || last < 0 || last >= x.size(i)))
      fail<BoundsError>("slice: ", starts[i], " to ", last, " is outside axis ", i, " of shape ", x.shape());
    if (sizes[i] < 0) fail<ShapeError>("slice: negative size in ", sizes);
    offset += sizes[i] > 0 ? starts[i] * x.view().strides[i] : 0;
    strides.push_back(x.view().strides[i] * steps[i]);
  }
  return x.as_strided(sizes, strides, sizes.numel() > 0 ? offset : 0);
}

// The addresses from the first byte to behind the last that an array with elements reads.
std::pair<const char*, const char*> extent(const View& x) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < x.ndim; ++i) (x.strides[i] < 0 ? low : high) += (x.shape[i] - 1) * x.strides[i];
  const auto size = static_cast<int64_t>(size_of(x.dtype));
  const char* data = static_cast<const char*>(x.data);
  return {data + low * size, data + (high + 1) * size};
}

bool overlap(const View& x, const View& y) {
  if (x.numel() == 0 || y.numel() == 0) return false;
  const auto a = extent(x), b = extent(y);
  return a.first < b.second && b.first < a.second;
}

void copy_into(const Array& x, const Array& y, const char* op) {
  if (y.storage() && y.storage()->read_only()) fail<ValueError>(op, ": the destination is read-only memory");
  for (int i = 0; i < y.ndim(); ++i)
    if (y.size(i) > 1 && y.view().strides[i] == 0)
      fail<ValueError>(op, ": several elements of the destination share memory: clone() it first");
  check_device(op, x, y);
  if (broadcast(op, x.shape(), y.shape()) != y.shape())
    fail<ShapeError>(op, ": ", x.shape(), " does not broadcast to ", y.shape());
  if (y.storage()) y.storage()->bump();
  const bool itself =
      x.view().data == y.view().data && x.dtype() == y.dtype() && x.shape() == y.shape() && x.strides() == y.strides();
  if (itself) return;
  // What overlaps is read whole first; two storages may share memory of another library's.
  copy_values(expand(overlap(x, y) ? clone(x) : x, y.shape()), y, y.device());
}

Array cat(const std::vector<Array>& parts, int64_t dim) {
  if (parts.empty()) fail<ValueError>("cat: expected at least one tensor");
  const Array& first = parts[0];
  if (first.ndim() == 0) fail<ShapeError>("cat: tensors without axes cannot be joined: use stack");
  const int axis = wrap_axis("cat", dim, first.ndim());
  Shape shape = first.shape();
  Dtype dtype = first.dtype();
  shape[axis] = 0;
  for (const Array& p : parts) {
    check_device("cat", first, p);
    bool fits = p.ndim() == first.ndim();
    for (int i = 0; i < p.ndim() && fits; ++i) fits = i == axis || p.size(i) == shape[i];
    if (!fits)
      fail<ShapeError>("cat: ", p.shape(), " does not match ", first.shape(), ": expected equal sizes but in dim ",
                       axis);
    shape[axis] += p.size(axis);
    dtype = promote(dtype, p.dtype());
  }
  Array y = Array::empty(shape, dtype, first.device());
  Shape starts, steps;
  for (int i = 0; i < shape.ndim; ++i) starts.push_back(0), steps.push_back(1);
  for (const Array& p : parts) {
    copy_values(p, slice(y, starts, p.shape(), steps), y.device());
    starts[axis] += p.size(axis);
  }
  return y;
}

// Zeros of a shape with x put at a slice: the gradient of slice.
Array slice_grad(const Array& g, const Shape& shape, const Shape& starts, const Shape& steps) {
  Array y = filled(shape, g.dtype(), 0, g.device());
  copy_into(g, slice(y, starts, g.shape(), steps), "slice_grad");
  return y;
}

int64_t storage_offset(const Array& x) {
  const char* start = x.storage() ? static_cast<const char*>(x.storage()->data()) : nullptr;
  if (!start || !x.view().data) return 0;
  return (static_cast<const char*>(x.view().data) - start) / static_cast<int64_t>(size_of(x.dtype()));
}

// Sizes and strides of any kind, from element `offset` of the memory on, as long as they stay inside it.
Array as_strided(const Array& x, const Shape& size, const Shape& stride, int64_t offset) {
  if (size.ndim != stride.ndim) fail<ShapeError>("as_strided: size ", size, " and stride ", stride, " do not pair up");
  const int64_t held = x.storage() ? static_cast<int64_t>(x.storage()->bytes() / size_of(x.dtype())) : 0;
  int64_t low = offset, high = offset, count = 1;
  bool fits = true;
  for (int i = 0; i < size.ndim; ++i) {
    int64_t reach = 0;
    if (size[i] < 0) fail<ShapeError>("as_strided: size ", size, " has a negative size");
    if (stride[i] < 0) fail<ValueError>("as_strided: stride ", stride, " has a negative stride");
    fits = fits && !__builtin_mul_overflow(size[i] ? size[i] - 1 : 0, stride[i], &reach) &&
           !__builtin_add_overflow(high, reach, &high) && !__builtin_mul_overflow(count, size[i] ? size[i] : 1, &count);
  }
  if (!fits || low < 0 || (size.numel() > 0 && high >= held))
    fail<BoundsError>("as_strided: size ", size, " and stride ", stride, " from ", offset, " leave the memory of ",
                      held, " elements");
  return x.as_strided(size, stride, size.numel() > 0 ? offset - storage_offset(x) : 0);
}

// All windows of `size` elements of an axis, `step` apart; the caller has checked that they fit.
Array windows(const Array& x, int64_t dim, int64_t size, int64_t step) {
  if (x.ndim() == kMaxAxes) fail<ShapeError>("unfold: expected at most ", kMaxAxes - 1, " axes, got ", x.ndim());
  Shape shape = x.shape(), strides = x.strides();
  const int axis = static_cast<int>(dim);
  const int64_t stride = x.ndim() ? strides[axis] : 1;
  if (x.ndim()) shape[axis] = (shape[axis] - size) / step + 1, strides[axis] *= step;
  shape.push_back(size);
  strides.push_back(stride);
  return x.as_strided(shape, strides);
}

}  // namespace

void bind_shape(py::module_& m) {
  m.def("reshape", &reshape_to, py::arg("x"), py::arg("shape"));
  m.def(
      "view",
      [](const Array& x, const Shape& shape) {
        Array y = reshape_to(x, shape);
        if (y.storage() != x.storage())
          fail<ShapeError>("view: ", x.shape(), " with strides ", x.strides(), " cannot be seen as ", y.shape(),
                           " without a copy: use reshape");
        return y;
      },
      py::arg("x"), py::arg("shape"));
  m.def("permute", &permute, py::arg("x"), py::arg("axes"));
  m.def("expand", &expand_to, py::arg("x"), py::arg("shape"));
  m.def("slice", &slice, py::arg("x"), py::arg("starts"), py::arg("sizes"), py::arg("steps"));
  m.def("slice_grad", &slice_grad, py::arg("g"), py::arg("shape"), py::arg("starts"), py::arg("steps"));
  m.def("cat", &cat, py::arg("parts"), py::arg("dim"));
  m.def("as_strided", &as_strided, py::arg("x"), py::arg("size"), py::arg("stride"), py::arg("offset"));
  m.def("windows", &windows, py::arg("x"), py::arg("dim"), py::arg("size"), py::arg("step"));
  m.def("storage_offset", &storage_offset, py::arg("x"), "elements in the memory before the first one");
  m.def("contiguous", &contiguous, py::arg("x"));
  m.def("clone", &clone, py::arg("x"));
  m.def("copy_into", &copy_into, py::arg("x"), py::arg("y"), py::arg("op"));
}

}  // namespace pydl::bind
