// Shape and dtype rules that all families share.
#include <algorithm>

#include "bind/common.h"
#include "runtime/cuda.h"
#include "runtime/table/elementwise.h"
#include "runtime/table/shape.h"

namespace pydl::bind {

static Dtype default_float = Dtype::f32;

Dtype default_dtype() { return default_float; }
void set_default_dtype(Dtype dtype) {
  if (!is_floating(dtype)) fail<DtypeError>("set_default_dtype: expected a floating dtype, got ", dtype);
  default_float = dtype;
}

Array contiguous(const Array& x) { return x.dense() ? x : clone(x); }

void copy_values(View from, View to, Device device) {
  View* views[] = {&to, &from};
  coalesce(views, 2);
  const bool dense = to.ndim == 1 && to.strides[0] == 1 && from.strides[0] == 1;
  if (from.dtype == to.dtype && !dense) return run<&ShapeKernels::move>(to.numel(), device, from, to);
  run<&ElementwiseKernels::copy>(to.numel(), device, from, to);
}

Array clone(const Array& x) {
  Array y = Array::empty(x.shape(), x.dtype(), x.device());
  copy_values(x, y, x.device());
  return y;
}

Array cast(const Array& x, Dtype dtype) {
  if (x.dtype() == dtype) return x;
  Array y = Array::empty(x.shape(), dtype, x.device());
  copy_values(x, y, x.device());
  return y;
}

Array filled(const Shape& shape, Dtype dtype, double value, Device device) {
  Array y = Array::empty(shape, dtype, device);
  if (device.kind != DeviceKind::cpu) {  // a range with a step of 0: the value goes along by itself
    const Array flat = y.as_strided({y.numel()}, {1});
    run<&ElementwiseKernels::arange>(y.numel(), device, value, 0.0, flat.view());
    return y;
  }
  View from = y;
  from.data = kept(&value);
  from.dtype = Dtype::f64;
  std::fill(from.strides, from.strides + from.ndim, 0);
  copy_values(from, y, device);
  return y;
}

// Strides that show x in another shape without a copy; false where the layout does not allow it.
static bool view_strides(const View& x, const Shape& shape, Shape* out) {
  *out = dense_strides(shape);
  if (x.numel() == 0) return true;
  int64_t sizes[kMaxAxes], steps[kMaxAxes];
  int n = 0;
  for (int i = 0; i < x.ndim; ++i)
    if (x.shape[i] != 1) sizes[n] = x.shape[i], steps[n] = x.strides[i], ++n;
  // Walk both shapes from the end; each run of old axes that steps through memory evenly feeds a run of new ones.
  int old = n - 1, fresh = shape.ndim - 1;
  while (old >= 0) {
    int64_t step = steps[old], have = sizes[old], need = 1;
    while (old > 0 && steps[old - 1] == sizes[old] * steps[old]) have *= sizes[--old];
    while (fresh >= 0 && need < have) {
      (*out)[fresh] = step * need;
      need *= shape[fresh--];
    }
    if (need != have) return false;
    --old;
  }
  return true;
}

Array reshape(const Array& x, const Shape& shape) {
  Shape strides;
  if (view_strides(x, shape, &strides)) return x.as_strided(shape, strides);
  return contiguous(x).as_strided(shape, dense_strides(shape));
}

Array expand(const Array& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Shape strides = shape;
  const int lead = shape.ndim - x.ndim();
  for (int i = 0; i < shape.ndim; ++i)
    strides[i] = i < lead || (x.size(i - lead) == 1 && shape[i] != 1) ? 0 : x.view().strides[i - lead];
  return x.as_strided(shape, strides);
}

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  const Shape& longer = a.ndim >= b.ndim ? a : b;
  const Shape& other = a.ndim >= b.ndim ? b : a;
  Shape out = longer;
  const int lead = longer.ndim - other.ndim;
  for (int i = 0; i < other.ndim; ++i) {
    int64_t& size = out[lead + i];
    if (other[i] == size || other[i] == 1) continue;
    if (size != 1)
      fail<ShapeError>(op, ": shapes ", a, " and ", b, " do not broadcast: expected sizes that are equal or 1, got ",
                       a[a.ndim - other.ndim + i], " and ", b[b.ndim - other.ndim + i], " in axis ", i - other.ndim);
    size = other[i];
  }
  return out;
}

Dtype result_type(const Array& a, const Array& b) {
  if (a.dtype() == b.dtype()) return a.dtype();
  const Category ca = category_of(a.dtype()), cb = category_of(b.dtype());
  if (a.ndim() > 0 && b.ndim() == 0 && cb <= ca) return a.dtype();
  if (b.ndim() > 0 && a.ndim() == 0 && ca <= cb) return b.dtype();
  return promote(a.dtype(), b.dtype());
}

void coalesce(View* const* views, int count) {
  View& first = *views[0];
  int kept = 0;
  for (int i = 0; i < first.ndim; ++i) {
    if (first.shape[i] == 1) continue;
    bool merges = kept > 0;
    for (int v = 0; v < count && merges; ++v)
      merges = views[v]->strides[kept - 1] == views[v]->strides[i] * first.shape[i];
    if (!merges) ++kept;
    const int64_t size = first.shape[i];
    for (int v = 0; v < count; ++v) {
      views[v]->strides[kept - 1] = views[v]->strides[i];
      views[v]->shape[kept - 1] = merges ? views[v]->shape[kept - 1] * size : size;
    }
  }
  for (int v = 0; v < count; ++v) {
    views[v]->ndim = std::max(kept, 1);
    if (kept == 0) views[v]->shape[0] = views[v]->strides[0] = 1;
  }
}

void check_device(const char* op, const Array& a, const Array& b) {
  if (a.device() != b.device())
    fail<DeviceError>(op, ": expected all tensors on one device, got ", device_name(a.device()), " and ",
                      device_name(b.device()));
}

void check_floating(const char* op, const Array& x) {
  if (!is_floating(x.dtype())) fail<DtypeError>(op, ": expected a floating dtype, got ", x.dtype());
}

int wrap_axis(const char* op, int64_t axis, int ndim) {
  const int span = std::max(ndim, 1);
  if (axis < -span || axis >= span)
    fail<BoundsError>(op, ": dim ", axis, " is out of range: expected one in [", -span, ", ", span - 1, "]");
  return static_cast<int>(axis < 0 ? axis + span : axis);
}

Array around(const Array& x, int axis) {
  int64_t outer = 1, n = x.ndim() ? x.size(axis) : 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= x.size(i);
  for (int i = axis + 1; i < x.ndim(); ++i) inner *= x.size(i);
  return reshape(contiguous(x), {outer, n, inner});
}

}  // namespace pydl::bind
