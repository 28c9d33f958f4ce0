// What reading and writing at indices share.
#pragma once

#include "bind/common.h"

namespace pydl::bind {

// int64, dense, counted from the start; BoundsError if one is outside [-n, n), or [0, n) where none counts from the
// end.
Array checked_index(const char* op, const Array& index, int64_t n, bool from_end = true);

inline Shape with_size(Shape shape, int axis, int64_t size) {
  if (shape.ndim) shape[axis] = size;
  return shape;
}

// x cut to the sizes of index in every axis but one: what an operation with an index per element reads or writes.
Array cut(const char* op, const Array& x, const Array& index, int axis);

// An array without axes holds one element along "dim": it takes just one index.
void check_scalar(const char* op, const Array& x, const Array& index, int64_t size);

}  // namespace pydl::bind
