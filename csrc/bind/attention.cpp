#include "runtime/table/attention.h"

#include <algorithm>

#include "bind/device.h"

namespace pydl::bind {
namespace {

constexpr int64_t kKeyBlock = 288, kItems = 16;  // heads are cut into parts of at least so many keys to make items

// x itself if the elements of a row follow each other.
Array unit_rows(const Array& x) { return x.size(3) <= 1 || x.view().strides[3] == 1 ? x : contiguous(x); }

// Memory for (b, h, t, d), in the order of x where that is by heads within a row: (b, t, h, d).
Array laid_out_like(const Array& x, const Shape& shape) {
  const int64_t b = shape[0], h = shape[1], t = shape[2], d = shape[3];
  if (x.view().strides[2] <= x.view().strides[1]) return Array::empty(shape, x.dtype(), x.device());
  return Array::empty({b, t, h, d}, x.dtype(), x.device()).as_strided(shape, {t * h * d, d, h * d, 1});
}

void check_operands(const Array& q, const Array& k, const Array& v) {
  for (const Array* x : {&q, &k, &v}) {
    if (x->ndim() != 4) fail<ShapeError>("attention: expected (b, h, t, d), got ", x->shape());
    if (!is_floating(x->dtype())) fail<DtypeError>("attention: expected a floating dtype, got ", x->dtype());
    if (x->dtype() != q.dtype())
      fail<DtypeError>("attention: query, key and value differ in dtype: ", q.dtype(), ", ", k.dtype(), ", ",
                       v.dtype());
    check_device("attention", q, *x);
  }
  const int64_t b = q.size(0), h = q.size(1), heads = k.size(1), s = k.size(2), d = q.size(3);
  const bool heads_fit = heads == h || (heads > 0 && h % heads == 0);
  if (k.size(0) != b || v.size(0) != b || !heads_fit || v.size(1) != heads || v.size(2) != s || k.size(3) != d)
    fail<ShapeError>("attention: query ", q.shape(), ", key ", k.shape(), " and value ", v.shape(),
                     " do not fit: expected (b, h, t, d), (b, h', s, d) and (b, h', s, e) with h' a divisor of h");
}

// Its strides of 0 say where it is the same for all.
std::optional<Array> spread_mask(const std::optional<Array>& mask, const Array& q, const Array& k) {
  if (!mask) return mask;
  const Shape shape{q.size(0), q.size(1), q.size(2), k.size(2)};
  if (mask->dtype() != Dtype::b8 && !is_floating(mask->dtype()))
    fail<DtypeError>("attention: the mask must be bool or floating, got ", mask->dtype());
  if (mask->ndim() > 4 || broadcast("attention", mask->shape(), shape) != shape)
    fail<ShapeError>("attention: mask ", mask->shape(), " does not match the scores ", shape);
  return expand(*mask, shape);
}

std::optional<Array> check_lengths(const std::optional<Array>& lengths, const Array& k) {
  if (!lengths) return lengths;
  if (lengths->dtype() != Dtype::i64 || lengths->shape() != Shape{k.size(0)})
    fail<ShapeError>("attention: expected one int64 length for each of ", k.size(0), " examples, got ",
                     lengths->shape(), " of dtype ", lengths->dtype());
  const Array dense = contiguous(*lengths);
  const Array read = on_host(dense);
  check("check_lengths", [n = read.view().as<int64_t>(), count = k.size(0), most = k.size(2)] {
    for (int64_t b = 0; b < count; ++b)
      if (n[b] < 0 || n[b] > most)
        fail<BoundsError>("attention: length ", n[b], " is out of range: expected one in [0, ", most, "]");
  });
  return dense;
}

AttentionSpec check_spec(double scale, int64_t below, int64_t above, double dropout, const std::optional<Array>& rng) {
  if (!(dropout >= 0 && dropout <= 1)) fail<ValueError>("attention: dropout must be in [0, 1], got ", dropout);
  if (dropout > 0 && (!rng || rng->dtype() != Dtype::i64 || rng->shape() != Shape{2} || !rng->dense()))
    fail<ValueError>("attention: dropout needs a seed and an offset, two int64");
  constexpr int64_t far = int64_t{1} << 40;
  return {scale, std::clamp(below, -far, far), std::clamp(above, -far, far), dropout};
}

int64_t work(const Array& q, const Array& k) { return q.size(0) * q.size(1) * q.size(2) * k.size(2) + q.numel(); }

// What all calls are given besides queries, keys and values.
struct Extras {
  std::optional<Array> mask, lengths, rng;
  AttentionSpec spec;
};

Extras check_extras(const Array& q, const Array& k, const std::optional<Array>& mask,
                    const std::optional<Array>& lengths, const std::optional<Array>& rng, double scale, int64_t below,
                    int64_t above, double dropout) {
  return {spread_mask(mask, q, k), check_lengths(lengths, k), rng, check_spec(scale, below, above, dropout, rng)};
}

py::tuple attend(const Array& q, const Array& k, const Array& v, const Extras& x) {
  Array y = laid_out_like(q, {q.size(0), q.size(1), q.size(2), v.size(3)});
  Array lse = Array::empty({q.size(0), q.size(1), q.size(2)}, wide(q), q.device());
  run<&AttentionKernels::attention>(work(q, k), q.device(), x.spec, q.view(), k.view(), v.view(), maybe(x.mask),
                                    maybe(x.lengths), maybe(x.rng), y.view(), lse.view());
  return py::make_tuple(y, lse);
}

py::tuple attention(const Array& q, const Array& k, const Array& v, const std::optional<Array>& mask,
                    const std::optional<Array>& lengths, const std::optional<Array>& rng, double scale, int64_t below,
                    int64_t above, double dropout) {
  check_operands(q, k, v);
  const Extras extras = check_extras(q, k, mask, lengths, rng, scale, below, above, dropout);
  return attend(unit_rows(q), unit_rows(k), unit_rows(v), extras);
}

// Sums of gq in parts: where heads alone are too few for all threads, or the sums are of another type.
std::optional<Array> parts_of(const Array& q, const Array& k) {
  const int64_t heads = k.size(0) * k.size(1), blocks = (k.size(2) + kKeyBlock - 1) / kKeyBlock;
  const int64_t wanted = heads > 0 && heads < kItems ? (kItems + heads - 1) / heads : 1;
  const int64_t parts = std::max<int64_t>(1, std::min(wanted, blocks));
  if (parts == 1 && q.dtype() == wide(q)) return std::nullopt;
  return Array::empty({parts, q.size(0), q.size(1), q.size(2), q.size(3)}, wide(q), q.device());
}

void attend_grad(const Array& g, const Array& q, const Array& k, const Array& v, const Extras& x, const Array& y,
                 const Array& lse, const Array& gq, const Array& gk, const Array& gv) {
  if (g.shape() != y.shape()) fail<ShapeError>("attention: gradient ", g.shape(), " does not match output ", y.shape());
  const Array gr = unit_rows(cast(g, q.dtype()));
  const auto part = parts_of(q, k);
  run<&AttentionKernels::attention_grad>(work(q, k), q.device(), x.spec, gr.view(), q.view(), k.view(), v.view(),
                                         maybe(x.mask), maybe(x.lengths), maybe(x.rng), y.view(), lse.view(),
                                         maybe(part), gq.view(), gk.view(), gv.view());
}

py::tuple attention_grad(const Array& g, const Array& q, const Array& k, const Array& v,
                         const std::optional<Array>& mask, const std::optional<Array>& lengths,
                         const std::optional<Array>& rng, const Array& y, const Array& lse, double scale, int64_t below,
                         int64_t above, double dropout) {
  check_operands(q, k, v);
  const Extras extras = check_extras(q, k, mask, lengths, rng, scale, below, above, dropout);
  const Array gq = laid_out_like(q, q.shape()), gk = laid_out_like(k, k.shape()), gv = laid_out_like(v, v.shape());
  attend_grad(g, unit_rows(q), unit_rows(k), unit_rows(v), extras, y, lse, gq, gk, gv);
  return py::make_tuple(gq, gk, gv);
}

// Queries, keys or values of dense x (b, t, 3, h, d), as (b, h, t, d).
Array third(const Array& x, int64_t index) {
  const int64_t b = x.size(0), t = x.size(1), h = x.size(3), d = x.size(4);
  return x.as_strided({b, h, t, d}, {t * 3 * h * d, d, 3 * h * d, 1}, index * h * d);
}

Array check_packed(const Array& x) {
  if (x.ndim() != 5 || x.size(2) != 3) fail<ShapeError>("attention: expected (b, t, 3, h, d), got ", x.shape());
  return contiguous(x);
}

py::tuple attention_packed(const Array& x, const std::optional<Array>& mask, const std::optional<Array>& lengths,
                           const std::optional<Array>& rng, double scale, int64_t below, int64_t above,
                           double dropout) {
  const Array dense = check_packed(x), q = third(dense, 0), k = third(dense, 1), v = third(dense, 2);
  check_operands(q, k, v);
  return attend(q, k, v, check_extras(q, k, mask, lengths, rng, scale, below, above, dropout));
}

// The gradients of all three, where each belongs.
Array attention_packed_grad(const Array& g, const Array& x, const std::optional<Array>& mask,
                            const std::optional<Array>& lengths, const std::optional<Array>& rng, const Array& y,
                            const Array& lse, double scale, int64_t below, int64_t above, double dropout) {
  const Array dense = check_packed(x), q = third(dense, 0), k = third(dense, 1), v = third(dense, 2);
  check_operands(q, k, v);
  const Extras extras = check_extras(q, k, mask, lengths, rng, scale, below, above, dropout);
  Array gx = Array::empty(x.shape(), x.dtype(), x.device());
  attend_grad(g, q, k, v, extras, y, lse, third(gx, 0), third(gx, 1), third(gx, 2));
  return gx;
}

void check_memory(const Array& q, const Array& memory, int64_t length) {
  const int64_t b = q.size(0), h = q.size(1), t = q.size(2), d = q.size(3);
  const bool fits = memory.ndim() == 4 && memory.size(0) == b && memory.size(1) == h && memory.size(3) == d;
  if (!fits || length < 0 || length > memory.size(2) - t)
    fail<ShapeError>("attention: a memory ", memory.shape(), " does not take ", q.shape(), " behind its first ", length,
                     ": expected (b, h, room, d) with room for them");
  if (memory.dtype() != q.dtype())
    fail<DtypeError>("attention: a memory of dtype ", memory.dtype(), " does not take ", q.dtype());
  if (memory.storage() && memory.storage()->read_only()) fail<ValueError>("attention: the memory is read-only");
  check_device("attention", q, memory);
}

// The places of a memory (b, h, room, d) from the first up to the last.
Array places(const Array& memory, int64_t first, int64_t last) {
  const Shape steps = memory.strides();
  const Shape shape{memory.size(0), memory.size(1), last - first, memory.size(3)};
  return memory.as_strided(shape, steps, shape.numel() > 0 ? first * steps[2] : 0);
}

void remember(const Array& x, const Array& memory, int64_t length) {
  if (memory.storage()) memory.storage()->bump();
  copy_values(x, places(memory, length, length + x.size(2)), x.device());
}

// Decoding: (b, t, h * d). Keys and values of x (b, t, 3, h, d) are written into their memories behind the first
// `length`, and its queries see what is there up to themselves.
Array attention_cached(const Array& x, const Array& keys, const Array& values, int64_t length,
                       const std::optional<Array>& mask, double scale) {
  const Array dense = check_packed(x), q = third(dense, 0);
  check_memory(q, keys, length);
  check_memory(q, values, length);
  const int64_t b = q.size(0), t = q.size(2), wide = q.size(1) * q.size(3), far = int64_t{1} << 40;
  const Array k = places(keys, 0, length + t), v = places(values, 0, length + t);
  const Extras extras = check_extras(q, k, mask, std::nullopt, std::nullopt, scale, far, length, 0);
  remember(third(dense, 1), keys, length);
  remember(third(dense, 2), values, length);
  const py::tuple made = attend(q, unit_rows(k), unit_rows(v), extras);
  return made[0].cast<Array>().as_strided({b, t, wide}, {t * wide, wide, 1});
}

// (b, h, t, s) bool: the weights that dropout leaves.
Array attention_kept(double p, const Array& rng, const Shape& shape) {
  check_spec(1, 0, 0, p, rng);
  if (shape.ndim != 4) fail<ShapeError>("attention: expected a shape (b, h, t, s), got ", shape);
  Array kept = Array::empty(shape, Dtype::b8, rng.device());
  run<&AttentionKernels::attention_kept>(kept.numel(), rng.device(), p, rng.view(), kept.view());
  return kept;
}

// The numbers of a generator for weights (b, h, t, s): its seed, and an offset that nobody else gets.
Array attention_ticket(const Array& state, const Shape& shape) {
  if (state.dtype() != Dtype::i64 || state.shape() != Shape{2})
    fail<ValueError>("attention: a generator's state is two int64: seed and offset");
  if (shape.ndim != 4) fail<ShapeError>("attention: expected a shape (b, h, t, s), got ", shape);
  Array ticket = Array::empty({2}, Dtype::i64, state.device());
  const int64_t counters = shape[0] * shape[1] * shape[2] * ((shape[3] + 3) / 4);
  run<&AttentionKernels::attention_ticket>(0, state.device(), state.view(), counters, ticket.view());
  return ticket;
}

}  // namespace

void bind_attention(py::module_& m) {
  m.def("attention", &attention, py::arg("q"), py::arg("k"), py::arg("v"), py::arg("mask"), py::arg("lengths"),
        py::arg("rng"), py::arg("scale"), py::arg("below"), py::arg("above"), py::arg("dropout"));
  m.def("attention_grad", &attention_grad, py::arg("g"), py::arg("q"), py::arg("k"), py::arg("v"), py::arg("mask"),
        py::arg("lengths"), py::arg("rng"), py::arg("y"), py::arg("lse"), py::arg("scale"), py::arg("below"),
        py::arg("above"), py::arg("dropout"));
  m.def("attention_packed", &attention_packed, py::arg("x"), py::arg("mask"), py::arg("lengths"), py::arg("rng"),
        py::arg("scale"), py::arg("below"), py::arg("above"), py::arg("dropout"));
  m.def("attention_packed_grad", &attention_packed_grad, py::arg("g"), py::arg("x"), py::arg("mask"),
        py::arg("lengths"), py::arg("rng"), py::arg("y"), py::arg("lse"), py::arg("scale"), py::arg("below"),
        py::arg("above"), py::arg("dropout"));
  m.def("attention_cached", &attention_cached, py::arg("x"), py::arg("keys"), py::arg("values"), py::arg("length"),
        py::arg("mask"), py::arg("scale"));
  m.def("attention_kept", &attention_kept, py::arg("p"), py::arg("rng"), py::arg("shape"));
  m.def("attention_ticket", &attention_ticket, py::arg("state"), py::arg("shape"));
}

}  // namespace pydl::bind
