#include "runtime/table/place.h"

#include "bind/index.h"
#include "runtime/table/elementwise.h"

namespace pydl::bind {
namespace {

const char* const kPlace[] = {
#define PYDL_NAME(name) #name,
    PYDL_PLACE(PYDL_NAME)
#undef PYDL_NAME
};

Place place_of(const std::string& how) {
  for (int i = 0; i < 5; ++i)
    if (how == kPlace[i]) return static_cast<Place>(i);
  fail<ValueError>("place: expected put, add, mul, amax or amin, got ", how);
}

void check_rows(const char* op, const Array& y, const Array& index, const Array& x, int axis) {
  if (index.ndim() > 1) fail<ShapeError>(op, ": index must have one axis, got shape ", index.shape());
  const Shape expected = with_size(y.shape(), axis, index.numel());
  if (x.shape() != expected || (y.ndim() == 0 && index.numel() != 1))
    fail<ShapeError>(op, ": source ", x.shape(), " and index ", index.shape(), " do not fit: expected source ",
                     expected);
}

// What an index per element takes from x: its first part, in the shape of index.
Array source_of(const char* op, const Array& index, const Array& x, int axis) {
  const Array part = cut(op, x, index, axis);
  if (x.ndim() && index.size(axis) > x.size(axis))
    fail<ShapeError>(op, ": index of shape ", index.shape(), " does not fit src ", x.shape(),
                     ": expected no larger size in dim ", axis);
  return part.as_strided(index.shape(), part.strides());
}

// x meets y at index along dim, in y's memory. rows: index (k,) has one entry for a slice of x; else one per element.
void place_into(const char* op, Place how, const Array& y, int axis, const Array& index, const Array& x, bool rows) {
  if (x.dtype() != y.dtype()) fail<DtypeError>(op, ": expected values of dtype ", y.dtype(), ", got ", x.dtype());
  check_device(op, x, y);
  if (rows) check_rows(op, y, index, x, axis);
  const Array region = rows ? y : cut(op, y, index, axis);
  const Array source = rows ? x : source_of(op, index, x, axis);
  const Array at = checked_index(op, index, y.ndim() ? y.size(axis) : 1);
  const Array block = around(region, axis);  // a copy where the region is not dense
  const Array values = around(source, axis);
  if (rows) {
    run<&PlaceKernels::index_place>(x.numel(), y.device(), how, at.view(), values.view(), block.view());
  } else {
    const Array each = around(at, axis);
    run<&PlaceKernels::scatter_place>(x.numel(), y.device(), how, each.view(), values.view(), block.view());
  }
  if (block.view().data != region.view().data) copy_values(reshape(block, region.shape()), region, y.device());
}

Array place(const std::string& op, const std::string& how, const Array& y, int64_t dim, const Array& index,
            const Array& x, bool rows) {
  Array out = clone(y);
  place_into(op.c_str(), place_of(how), out, wrap_axis(op.c_str(), dim, y.ndim()), index, x, rows);
  return out;
}

void place_inside(const std::string& op, const std::string& how, const Array& y, int64_t dim, const Array& index,
                  const Array& x, bool rows) {
  if (y.storage() && y.storage()->read_only()) fail<ValueError>(op, ": the destination is read-only memory");
  for (int i = 0; i < y.ndim(); ++i)
    if (y.size(i) > 1 && y.view().strides[i] == 0)
      fail<ValueError>(op, ": several elements of the destination share memory: clone() it first");
  const bool shared = x.storage() == y.storage();  // then it is read whole first
  place_into(op.c_str(), place_of(how), y, wrap_axis(op.c_str(), dim, y.ndim()), index, shared ? clone(x) : x, rows);
  if (y.storage()) y.storage()->bump();
}

// y where the mask is true becomes value, in its memory; the mask broadcasts to y, value has no axes.
void fill_where(const Array& y, const Array& mask, const Array& value) {
  if (y.storage() && y.storage()->read_only()) fail<ValueError>("setitem: the destination is read-only memory");
  View hit = expand(mask, y.shape()), from = expand(value, y.shape()), to = y;
  View* views[] = {&to, &hit, &from};
  coalesce(views, 3);
  run<&ElementwiseKernels::where>(y.numel(), y.device(), hit, from, to, to);
  if (y.storage()) y.storage()->bump();
}

// Zeros with `size` along dim, plus x at index: the gradient of index_select.
Array index_add(const Array& x, int64_t dim, const Array& index, int64_t size) {
  const int axis = wrap_axis("index_add", dim, x.ndim());
  check_scalar("index_add", x, index, size);
  Array y = filled(with_size(x.shape(), axis, size), x.dtype(), 0, x.device());
  place_into("index_add", Place::add, y, axis, index, x, true);
  return y;
}

}  // namespace

void bind_place(py::module_& m) {
  m.def("place", &place, py::arg("op"), py::arg("how"), py::arg("y"), py::arg("dim"), py::arg("index"), py::arg("x"),
        py::arg("rows"), "a copy of y in which x meets it at index along dim");
  m.def("place_inside", &place_inside, py::arg("op"), py::arg("how"), py::arg("y"), py::arg("dim"), py::arg("index"),
        py::arg("x"), py::arg("rows"), "the same in the memory of y");
  m.def("fill_where", &fill_where, py::arg("y"), py::arg("mask"), py::arg("value"));
  m.def("index_add", &index_add, py::arg("x"), py::arg("dim"), py::arg("index"), py::arg("size"));
}

}  // namespace pydl::bind
