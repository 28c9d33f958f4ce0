#include "bind/index.h"

#include "bind/device.h"
#include "runtime/table/index.h"
#include "runtime/table/place.h"

namespace pydl::bind {

namespace {

int64_t element(const View& x, int64_t i) {
  return x.dtype == Dtype::i64 ? x.as<int64_t>()[i] : int64_t{x.as<int32_t>()[i]};
}

[[noreturn]] void refuse_index(const char* op, const View& index, int64_t least, int64_t n) {
  int64_t i = 0;
  while (element(index, i) >= least && element(index, i) < n) ++i;
  fail<BoundsError>(op, ": index ", element(index, i), " is out of range for size ", n);
}

// What the kernel finds in an index on a device.
int64_t facts_there(const View& index, Device device, int64_t n) {
  const Unrecorded ordinary;  // the check as a whole is what is recorded
  const Array report = filled({}, Dtype::i64, 0, device);
  peek<&PlaceKernels::check_index>(device, index, n, report.view());
  int64_t facts = 0;
  cuda_copy(&facts, report.view().data, sizeof facts, device);
  return facts;
}

int64_t facts_here(const View& index, int64_t n) {
  int64_t facts = 0;
  View report;
  report.data = &facts;
  peek<&PlaceKernels::check_index>(Device{}, index, n, report);
  return facts;
}

// Whether a dense index has negative entries; BoundsError if one is outside [least, n), least being 0 or -n.
bool look_at_index(const char* op, const View& index, Device device, int64_t least, int64_t n) {
  const bool here = device.kind == DeviceKind::cpu;
  const int64_t facts = here ? facts_here(index, n) : facts_there(index, device, n);
  if (!(facts & 1) && (facts == 0 || least != 0)) return facts != 0;
  if (here) refuse_index(op, index, least, n);
  const Unrecorded ordinary;
  const Array copy = Array::empty({index.numel()}, index.dtype);
  cuda_copy(copy.view().data, index.data, static_cast<size_t>(index.numel()) * size_of(index.dtype), device);
  refuse_index(op, copy.view(), least, n);
}

}  // namespace

Array checked_index(const char* op, const Array& index, int64_t n, bool from_end) {
  if (index.dtype() != Dtype::i64 && index.dtype() != Dtype::i32)
    fail<DtypeError>(op, ": index must be int64 or int32, got ", index.dtype());
  const Array dense = contiguous(index);
  const int64_t count = dense.numel();
  const bool recorded = watched() && recording();
  const int64_t least = from_end ? -n : 0;
  bool negative = recorded && from_end;  // a recorded launch must also fit the indices of a replay
  if (recorded) {
    check("check_index", [op = kept_text(op), x = dense.view(), device = dense.device(), least, n] {
      look_at_index(op, x, device, least, n);
    });
  } else {
    negative = look_at_index(op, dense, dense.device(), least, n);
  }
  if (!negative && dense.dtype() == Dtype::i64) return dense;
  Array counted = filled(dense.shape(), Dtype::i64, 0, dense.device());
  run<&PlaceKernels::fold_index>(count, dense.device(), dense.view(), n, counted.view());
  return counted;
}

void check_scalar(const char* op, const Array& x, const Array& index, int64_t size) {
  if (x.ndim() == 0 && (index.numel() != 1 || size != 1))
    fail<ShapeError>(op, ": a tensor without axes takes one index of size 1, got ", index.numel(), " of size ", size);
}

Array cut(const char* op, const Array& x, const Array& index, int axis) {
  bool fits = x.ndim() == index.ndim();
  for (int i = 0; i < x.ndim() && fits; ++i) fits = i == axis || index.size(i) <= x.size(i);
  if (!fits)
    fail<ShapeError>(op, ": index of shape ", index.shape(), " does not fit ", x.shape(),
                     ": expected as many axes and no larger sizes but in dim ", axis);
  return x.as_strided(with_size(index.shape(), axis, x.ndim() ? x.size(axis) : 1), x.strides());
}

namespace {

Array block_of(const Array& y, const Array& like, int64_t n) {  // y seen as (outer, n, inner)
  const Shape shape{like.size(0), n, like.size(2)};
  return y.as_strided(shape, dense_strides(shape));
}

// The rows of a table (v, d) at index (n,), in [0, v).
Array embedding(const Array& table, const Array& index) {
  if (table.ndim() != 2 || index.ndim() != 1)
    fail<ShapeError>("embedding: expected a table (v, d) and indices (n,), got ", table.shape(), " and ",
                     index.shape());
  const Array block = around(table, 0);
  const Array at = checked_index("embedding", index, table.size(0), false);
  Array y = Array::empty({at.numel(), table.size(1)}, table.dtype(), table.device());
  run<&IndexKernels::index_select>(y.numel(), table.device(), block.view(), at.view(),
                                   block_of(y, block, at.numel()).view());
  return y;
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

Array gather(const Array& x, int64_t dim, const Array& index) {
  const int axis = wrap_axis("gather", dim, x.ndim());
  const Array block = around(cut("gather", x, index, axis), axis);
  const Array at = around(checked_index("gather", index, block.size(1)), axis);
  Array y = Array::empty(index.shape(), x.dtype(), x.device());
  run<&IndexKernels::gather>(y.numel(), x.device(), block.view(), at.view(), block_of(y, block, at.size(1)).view());
  return y;
}

// The positions of what is true, (count, axes) int64.
Array nonzero(const Array& x) {
  refuse_reading("nonzero");
  const Array flags = contiguous(cast(x, Dtype::b8));
  const Array mask = flags.ndim() ? flags : reshape(flags, {1});
  Array counts = Array::empty({(mask.numel() + kMaskRun - 1) / kMaskRun}, Dtype::i64, x.device());
  run<&PlaceKernels::count_true>(mask.numel(), x.device(), mask.view(), counts.view());
  const Array found = on_host(counts);
  int64_t count = 0;
  for (int64_t i = 0; i < found.numel(); ++i) count += found.view().as<int64_t>()[i];
  Array y = Array::empty({count, mask.ndim()}, Dtype::i64, x.device());
  run<&PlaceKernels::positions>(mask.numel(), x.device(), mask.view(), counts.view(), y.view());
  return x.ndim() ? y : y.as_strided({count, 0}, {1, 1});
}

// One position in several merged axes from a position in each; all indices broadcast. `sizes` are those of the axes.
Array merge_indices(const std::string& op, const std::vector<Array>& indices, const Shape& sizes) {
  Shape shape;
  for (const Array& index : indices) shape = broadcast(op.c_str(), shape, index.shape());
  if (indices.size() == 1) return checked_index(op.c_str(), indices[0], sizes[0]);
  Array y = filled(shape, Dtype::i64, 0, indices[0].device());
  for (size_t i = 0; i < indices.size(); ++i) {
    const int64_t n = sizes[static_cast<int>(i)];
    const Array at = contiguous(expand(checked_index(op.c_str(), indices[i], n), shape));
    run<&PlaceKernels::fold_index>(y.numel(), y.device(), at.view(), n, y.view());
  }
  return y;
}

}  // namespace

void bind_index(py::module_& m) {
  m.def("index_select", &index_select, py::arg("x"), py::arg("dim"), py::arg("index"));
  m.def("embedding", &embedding, py::arg("table"), py::arg("index"));
  m.def("gather", &gather, py::arg("x"), py::arg("dim"), py::arg("index"));
  m.def("nonzero", &nonzero, py::arg("x"));
  m.def("merge_indices", &merge_indices, py::arg("op"), py::arg("indices"), py::arg("sizes"));
}

}  // namespace pydl::bind
