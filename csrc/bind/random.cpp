#include "runtime/table/random.h"

#include "bind/common.h"

namespace pydl::bind {
namespace {

void check_state(const char* op, const Array& state) {
  if (state.dtype() != Dtype::i64 || state.shape() != Shape{2})
    fail<ValueError>(op, ": a generator's state is two int64: seed and offset");
}

Array random(Distribution d, double a, double b, const Array& state, const Shape& shape, Dtype dtype, Device device) {
  check_state("random", state);
  for (int i = 0; i < shape.ndim; ++i)
    if (shape[i] < 0) fail<ShapeError>("random: shape ", shape, " has a negative size");
  if (!is_floating(dtype) && (d == Distribution::uniform || d == Distribution::normal))
    fail<DtypeError>("random: expected a floating dtype, got ", dtype);
  if (d == Distribution::bernoulli && !(a >= 0 && a <= 1)) fail<ValueError>("bernoulli: p must be in [0, 1], got ", a);
  if (d == Distribution::randint && !(b > a))
    fail<ValueError>("randint: high must be larger than low, got ", a, " and ", b);
  Array y = Array::empty(shape, dtype, device);
  const Shape flat{y.numel()};
  run<&RandomKernels::random>(8 * y.numel(), device, d, a, b, state.view(), y.as_strided(flat, {1}).view());
  return y;
}

Array randperm(const Array& state, int64_t n, Device device) {
  check_state("randperm", state);
  if (n < 0) fail<ValueError>("randperm: n must not be negative, got ", n);
  Array y = Array::empty({n}, Dtype::i64, device);
  run<&RandomKernels::randperm>(8 * n, device, state.view(), y.view());
  return y;
}

py::tuple dropout(const Array& x, double p, const Array& state) {
  check_state("dropout", state);
  check_floating("dropout", x);
  if (!(p >= 0 && p <= 1)) fail<ValueError>("dropout: p must be in [0, 1], got ", p);
  const Array in = contiguous(x);
  Array y = Array::empty(x.shape(), x.dtype(), x.device()), mask = Array::empty(x.shape(), Dtype::b8, x.device());
  const Shape flat{x.numel()};
  run<&RandomKernels::dropout>(4 * x.numel(), x.device(), p, state.view(), in.as_strided(flat, {1}).view(),
                               y.as_strided(flat, {1}).view(), mask.as_strided(flat, {1}).view());
  return py::make_tuple(y, mask);
}

}  // namespace

void bind_random(py::module_& m) {
#define PYDL_DEF(name)                                                                             \
  m.def(                                                                                           \
      #name,                                                                                       \
      [](double a, double b, const Array& state, const Shape& shape, Dtype dtype, Device device) { \
        return random(Distribution::name, a, b, state, shape, dtype, device);                      \
      },                                                                                           \
      py::arg("a"), py::arg("b"), py::arg("state"), py::arg("shape"), py::arg("dtype"), py::arg("device"));
  PYDL_DEF(uniform)
  PYDL_DEF(normal)
  PYDL_DEF(bernoulli)
  PYDL_DEF(randint)
#undef PYDL_DEF
  m.def("randperm", &randperm, py::arg("state"), py::arg("n"), py::arg("device"));
  m.def("dropout", &dropout, py::arg("x"), py::arg("p"), py::arg("state"));
}

}  // namespace pydl::bind
