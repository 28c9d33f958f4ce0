#include "runtime/table/sort.h"

#include <algorithm>
#include <limits>

#include "bind/common.h"
#include "bind/device.h"

namespace pydl::bind {
namespace {

// x as dense rows along one axis, and the way back: from (rows, k) to the shape of x with k in that axis.
struct Rows {
  Array x;      // (rows, n)
  Shape moved;  // the shape of x with the axis last
  int axis;

  Rows(const char* op, const Array& from, int64_t dim) : axis(wrap_axis(op, dim, from.ndim())) {
    Shape strides;
    for (int i = 0; i < from.ndim(); ++i)
      if (i != axis) moved.push_back(from.size(i)), strides.push_back(from.strides()[i]);
    moved.push_back(from.ndim() ? from.size(axis) : 1);
    strides.push_back(from.ndim() ? from.strides()[axis] : 1);
    const int64_t n = moved[moved.ndim - 1];
    if (n >= int64_t(1) << 32) fail<ShapeError>(op, ": axis of size ", n, ": expected less than 2^32 elements");
    int64_t rows = 1;
    for (int i = 0; i + 1 < moved.ndim; ++i) rows *= moved[i];
    x = reshape(contiguous(from.as_strided(moved, strides)), {rows, n});
  }
  int64_t rows() const { return x.size(0); }
  int64_t n() const { return x.size(1); }
  Array empty(int64_t k, Dtype dtype) const { return Array::empty({rows(), k}, dtype, x.device()); }

  Array back(const Array& y, int ndim) const {
    if (ndim == 0) return y.as_strided({}, {});
    Shape shape = moved;
    shape[ndim - 1] = y.size(1);
    const Shape steps = dense_strides(shape);
    Shape to, strides;
    for (int i = 0; i < ndim; ++i) {
      const int j = i < axis ? i : i == axis ? ndim - 1 : i - 1;
      to.push_back(shape[j]);
      strides.push_back(steps[j]);
    }
    return contiguous(y.as_strided(to, strides));
  }
};

std::optional<Array> workspace(int64_t n, Device device) {
  const int64_t bytes = sort_bytes(n);
  return bytes ? std::optional<Array>(Array::empty({bytes}, Dtype::u8, device)) : std::nullopt;
}

using Pair = std::pair<Array, Array>;

Pair sort(const Array& x, int64_t dim, bool descending) {
  const Rows r("sort", x, dim);
  const Array y = r.empty(r.n(), x.dtype()), at = r.empty(r.n(), Dtype::i64);
  run<&SortKernels::sort>(8 * x.numel(), x.device(), r.x.view(), y.view(), at.view(),
                          maybe(workspace(r.n(), x.device())), descending);
  return {r.back(y, x.ndim()), r.back(at, x.ndim())};
}

Pair topk(const Array& x, int64_t k, int64_t dim, bool largest) {
  const Rows r("topk", x, dim);
  const int least = x.ndim() ? 0 : 1;  // without axes there is no shape of no elements
  if (k < least || k > r.n())
    fail<BoundsError>("topk: k ", k, " is out of range: expected one in [", least, ", ", r.n(), "]");
  const Array y = r.empty(k, x.dtype()), at = r.empty(k, Dtype::i64);
  const bool sorts = 8 * k > r.n();
  run<&SortKernels::topk>(2 * x.numel(), x.device(), r.x.view(), y.view(), at.view(),
                          maybe(sorts ? workspace(r.n(), x.device()) : std::nullopt), largest);
  return {r.back(y, x.ndim()), r.back(at, x.ndim())};
}

Pair kth(const char* op, const Array& x, int64_t k, int64_t dim, Nan nan) {
  const Rows r(op, x, dim);
  if (r.n() == 0) fail<ShapeError>(op, ": axis of shape ", x.shape(), " is empty: expected at least one element");
  if (nan == Nan::last && (k < 1 || k > r.n()))
    fail<BoundsError>(op, ": k ", k, " is out of range: expected one in [1, ", r.n(), "]");
  const Array y = r.empty(1, x.dtype()), at = r.empty(1, Dtype::i64);
  run<&SortKernels::kth>(4 * x.numel(), x.device(), r.x.view(), y.view(), at.view(),
                         maybe(workspace(r.n(), x.device())), nan == Nan::last ? k - 1 : -1, nan);
  return {r.back(y, x.ndim()), r.back(at, x.ndim())};
}

Array longest_run(const Array& x, int64_t dim) {
  const Rows r("mode", x, dim);
  if (r.n() == 0) fail<ShapeError>("mode: axis of shape ", x.shape(), " is empty: expected at least one element");
  const Array at = r.empty(1, Dtype::i64);
  run<&SortKernels::longest_run>(2 * x.numel(), x.device(), r.x.view(), at.view());
  return r.back(at, x.ndim());
}

// x (n, ...) as (n, m)
Array slices(const Array& x) {
  int64_t m = 1;
  for (int i = 1; i < x.ndim(); ++i) m *= x.size(i);
  return reshape(contiguous(x), {x.size(0), m});
}

Array sort_slices(const Array& x) {
  const Array rows = slices(x);
  const Array at = Array::empty({x.size(0)}, Dtype::i64, x.device());
  const Array work = Array::empty({x.size(0)}, Dtype::i64, x.device());
  run<&SortKernels::sort_slices>(16 * x.numel(), x.device(), rows.view(), at.view(), work.view());
  return at;
}

Array run_starts(const Array& x) {
  refuse_reading("unique");
  const Array rows = slices(x);
  const Array starts = Array::empty({x.size(0)}, Dtype::i64, x.device());
  const Array count = Array::empty({}, Dtype::i64, x.device());
  run<&SortKernels::run_starts>(x.numel(), x.device(), rows.view(), starts.view(), count.view());
  const Array found = on_host(count);
  return contiguous(starts.as_strided({*found.view().as<const int64_t>()}, {1}));
}

Pair spread_runs(const Array& starts, const std::optional<Array>& order, int64_t n) {
  const Array runs = Array::empty({n}, Dtype::i64, starts.device());
  const Array sizes = Array::empty(starts.shape(), Dtype::i64, starts.device());
  run<&SortKernels::spread_runs>(2 * n, starts.device(), starts.view(), maybe(order), runs.view(), sizes.view());
  return {runs, sizes};
}

// edges (..., m) or (m), x (..., k); the caller has checked that the leading axes agree.
Array search(const Array& edges, const Array& x, bool right, bool narrow, const std::optional<Array>& order) {
  const int64_t m = edges.size(edges.ndim() - 1), leads = m ? edges.numel() / m : 1;
  const int64_t rows = edges.ndim() == 1 ? 1 : leads;
  Array y = Array::empty(x.shape(), narrow ? Dtype::i32 : Dtype::i64, x.device());
  if (x.numel() == 0) return y;
  const Shape shape{rows, x.numel() / rows};
  const Array from = reshape(contiguous(x), shape), lines = reshape(contiguous(edges), {rows, m});
  std::optional<Array> places;
  if (order) places = contiguous(*order);
  run<&SortKernels::search>(8 * x.numel(), x.device(), lines.view(), maybe(places), from.view(),
                            y.as_strided(shape, dense_strides(shape)).view(), right);
  return y;
}

// How many bins a vector of integers fills, at least `least`; also the check that no integer is negative.
int64_t bincount_bins(const Array& x, int64_t least) {
  if (x.numel() == 0) return least;
  refuse_reading("bincount");
  const Array made = Array::empty({2}, Dtype::i64, x.device());
  run<&SortKernels::integer_bounds>(x.numel(), x.device(), contiguous(x).view(), made.view());
  const Array found = on_host(made);
  const auto* bounds = found.view().as<const int64_t>();
  if (bounds[0] < 0) fail<ValueError>("bincount: expected no negative integers, got ", bounds[0]);
  if (bounds[1] == std::numeric_limits<int64_t>::max()) fail<ValueError>("bincount: ", bounds[1], " is too large");
  return std::max(least, bounds[1] + 1);
}

// x: within [0, bins).
Array bincount(const Array& x, int64_t bins) {
  Array y = Array::empty({bins}, Dtype::i64, x.device());
  run<&SortKernels::bincount>(x.numel(), x.device(), contiguous(x).view(), y.view());
  return y;
}

Pair cumulative_extreme(const char* op, bool largest, const Array& x, int64_t dim) {
  const Array block = around(x, wrap_axis(op, dim, x.ndim()));
  Array y = Array::empty(x.shape(), x.dtype(), x.device()), at = Array::empty(x.shape(), Dtype::i64, x.device());
  const Shape shape = block.shape(), strides = dense_strides(shape);
  run<&SortKernels::cumulative_extreme>(x.numel(), x.device(), largest, block.view(),
                                        y.as_strided(shape, strides).view(), at.as_strided(shape, strides).view());
  return {y, at};
}

}  // namespace

void bind_sort(py::module_& m) {
  m.def("sort", &sort, py::arg("x"), py::arg("dim"), py::arg("descending"));
  m.def("topk", &topk, py::arg("x"), py::arg("k"), py::arg("dim"), py::arg("largest"));
  m.def(
      "kthvalue", [](const Array& x, int64_t k, int64_t dim) { return kth("kthvalue", x, k, dim, Nan::last); },
      py::arg("x"), py::arg("k"), py::arg("dim"));
  m.def(
      "median",
      [](const Array& x, int64_t dim, bool skip_nan) {
        return kth(skip_nan ? "nanmedian" : "median", x, -1, dim, skip_nan ? Nan::skip : Nan::result);
      },
      py::arg("x"), py::arg("dim"), py::arg("skip_nan"));
  m.def("longest_run", &longest_run, py::arg("x"), py::arg("dim"));
  m.def("sort_slices", &sort_slices, py::arg("x"));
  m.def("run_starts", &run_starts, py::arg("x"));
  m.def("spread_runs", &spread_runs, py::arg("starts"), py::arg("order"), py::arg("n"));
  m.def("search", &search, py::arg("edges"), py::arg("x"), py::arg("right"), py::arg("narrow"),
        py::arg("order") = py::none());
  m.def("bincount_bins", &bincount_bins, py::arg("x"), py::arg("least"));
  m.def("bincount", &bincount, py::arg("x"), py::arg("bins"));
  m.def(
      "cummax", [](const Array& x, int64_t dim) { return cumulative_extreme("cummax", true, x, dim); }, py::arg("x"),
      py::arg("dim"));
  m.def(
      "cummin", [](const Array& x, int64_t dim) { return cumulative_extreme("cummin", false, x, dim); }, py::arg("x"),
      py::arg("dim"));
}

}  // namespace pydl::bind
