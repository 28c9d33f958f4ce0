
#include "runtime/table/reduce.h"

#include "bind/common.h"

namespace pydl::bind {
namespace {

const char* const kReduce[] = {
#define PYDL_NAME(name) #name,
    PYDL_REDUCE(PYDL_NAME)
#undef PYDL_NAME
};

Dtype reduced_dtype(Reduce op, Dtype dtype) {
  if (op == Reduce::any || op == Reduce::all) return Dtype::b8;
  const bool adds = op == Reduce::sum || op == Reduce::prod;
  return adds && !is_floating(dtype) ? Dtype::i64 : dtype;
}

// Which axes `dims` names; no dims at all name every axis.
unsigned axis_mask(const char* op, const std::optional<Shape>& dims, int ndim) {
  if (!dims || dims->ndim == 0) return (1u << ndim) - 1;
  unsigned mask = 0;
  for (int i = 0; i < dims->ndim; ++i) {
    const unsigned bit = 1u << wrap_axis(op, (*dims)[i], ndim);
    if (mask & bit) fail<ShapeError>(op, ": dim ", (*dims)[i], " appears twice in ", *dims);
    mask |= bit;
  }
  return ndim ? mask : 0;
}

// Merges neighbouring axes that are both reduced or both kept and that x steps through evenly.
void merge(View* x, View* y, unsigned mask) {
  int kept = 0;
  bool last = false;
  for (int i = 0; i < x->ndim; ++i) {
    if (x->shape[i] == 1) continue;
    const bool reduced = mask >> i & 1;
    if (kept > 0 && reduced == last && x->strides[kept - 1] == x->strides[i] * x->shape[i]) {
      x->shape[kept - 1] *= x->shape[i];
    } else {
      x->shape[kept++] = x->shape[i];
    }
    x->strides[kept - 1] = x->strides[i];
    y->shape[kept - 1] = reduced ? 1 : x->shape[kept - 1];
    last = reduced;
  }
  if (kept == 0) x->shape[0] = x->strides[0] = y->shape[0] = kept = 1;
  x->ndim = y->ndim = kept;
  const Shape strides = dense_strides({y->shape, kept});
  for (int i = 0; i < kept; ++i) y->strides[i] = strides[i];
}

Array reduce(Reduce op, const Array& x, const std::optional<Shape>& dims, bool keepdim) {
  const char* name = kReduce[static_cast<int>(op)];
  const unsigned mask = axis_mask(name, dims, x.ndim());
  Shape wide = x.shape(), narrow;
  for (int i = 0; i < x.ndim(); ++i) {
    if (!(mask >> i & 1)) {
      narrow.push_back(x.size(i));
    } else {
      if (x.size(i) == 0 && (op == Reduce::amax || op == Reduce::amin))
        fail<ShapeError>(name, ": axis ", i, " of shape ", x.shape(), " is empty: expected at least one element");
      wide[i] = 1;
    }
  }
  Array y = Array::empty(keepdim ? wide : narrow, reduced_dtype(op, x.dtype()), x.device());
  View from = x, to = y;
  merge(&from, &to, mask);
  run<&ReduceKernels::reduce>(x.numel(), x.device(), op, from, to);
  return y;
}

Array arg_reduce(ArgReduce op, const Array& x, std::optional<int64_t> dim, bool keepdim) {
  const char* name = op == ArgReduce::argmax ? "argmax" : "argmin";
  const Array in = dim ? x : reshape(x, {x.numel()});
  const int axis = wrap_axis(name, dim.value_or(0), in.ndim());
  const Array block = around(in, axis);
  if (block.size(1) == 0) fail<ShapeError>(name, ": expected at least one element, got shape ", x.shape());
  Shape shape;
  for (int i = 0; i < x.ndim(); ++i) {
    const bool reduced = !dim || i == axis;
    if (!reduced || keepdim) shape.push_back(reduced ? 1 : x.size(i));
  }
  Array y = Array::empty(shape, Dtype::i64, x.device());
  const Array flat = y.as_strided({block.size(0), block.size(2)}, {block.size(2), 1});
  run<&ReduceKernels::arg_reduce>(x.numel(), x.device(), op, block.view(), flat.view());
  return y;
}

Array scan(Scan op, const char* name, const Array& x, int64_t dim) {
  const Array block = around(x, wrap_axis(name, dim, x.ndim()));
  Array y = Array::empty(x.shape(), reduced_dtype(Reduce::sum, x.dtype()), x.device());
  const Shape shape = block.shape();
  const Array flat = y.as_strided(shape, dense_strides(shape));
  run<&ReduceKernels::scan>(x.numel(), x.device(), op, block.view(), flat.view());
  return y;
}

}  // namespace

void bind_reduce(py::module_& m) {
#define PYDL_DEF(op)                                                      \
  m.def(                                                                  \
      #op,                                                                \
      [](const Array& x, const std::optional<Shape>& dim, bool keepdim) { \
        return reduce(Reduce::op, x, dim, keepdim);                       \
      },                                                                  \
      py::arg("x"), py::arg("dim") = py::none(), py::arg("keepdim") = false);
  PYDL_REDUCE(PYDL_DEF)
#undef PYDL_DEF
  m.def(
      "argmax",
      [](const Array& x, std::optional<int64_t> dim, bool keepdim) {
        return arg_reduce(ArgReduce::argmax, x, dim, keepdim);
      },
      py::arg("x"), py::arg("dim") = py::none(), py::arg("keepdim") = false);
  m.def(
      "argmin",
      [](const Array& x, std::optional<int64_t> dim, bool keepdim) {
        return arg_reduce(ArgReduce::argmin, x, dim, keepdim);
      },
      py::arg("x"), py::arg("dim") = py::none(), py::arg("keepdim") = false);
  m.def(
      "cumsum", [](const Array& x, int64_t dim) { return scan(Scan::cumsum, "cumsum", x, dim); }, py::arg("x"),
      py::arg("dim"));
  m.def(
      "cumprod", [](const Array& x, int64_t dim) { return scan(Scan::cumprod, "cumprod", x, dim); }, py::arg("x"),
      py::arg("dim"));
}

}  // namespace pydl::bind
