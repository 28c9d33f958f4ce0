// The parts of factorizations that pydl/ops/lapack.py calls between its products.
#pragma once

#include "bind/common.h"

namespace pydl::bind {

void bind_factor(py::module_& m);

}  // namespace pydl::bind
