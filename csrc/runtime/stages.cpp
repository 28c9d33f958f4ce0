#include "runtime/stages.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "array/dtype.h"
#include "runtime/cuda.h"
#include "runtime/reduce_run.h"

namespace pydl {
namespace {

// A line of fewer elements is added in another order where it is the only one.
constexpr int64_t kLeastColumns = 64;

bool is(const char* name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [name](const char* n) { return !std::strcmp(name, n); });
}

bool elementwise(const Launch& l) {
  return is(l.name, {"unary", "special", "activation", "activation_grad", "test", "binary", "ternary", "compare",
                     "where", "copy", "move"});
}

Fused::Operand operand_of(const Launch& l, const View& v) {
  const auto place = reinterpret_cast<const char*>(&v) - static_cast<const char*>(l.call);
  return {place, v.data, -1, static_cast<int64_t>(size_of(v.dtype)), {}};
}

// x as rows of which each becomes one number; a total has rows of kReduceRun elements, as the kernel has.
Fused::Stage reduction(const Traced& t, const Ending& ending) {
  Fused::Stage s{};
  s.run = t.launch.run;
  s.call = t.launch.call;
  s.bytes = t.bytes;
  s.ndim = s.count = 2;
  s.reduces = true;
  const int64_t n = t.accesses[0].view->numel();
  s.shape[0] = (n + ending.columns - 1) / ending.columns;
  s.shape[1] = s.inner[0] = ending.columns;
  s.inner[1] = 1;
  for (int k = 0; k < 2; ++k) s.operand[k] = operand_of(t.launch, *t.accesses[k].view);
  s.operand[0].strides[0] = ending.columns;
  s.operand[0].strides[1] = s.operand[1].strides[0] = 1;
  return s;
}

}  // namespace

bool on_device(const Traced& t) {
  return cuda_in_use() && !t.accesses.empty() && device_at(t.accesses.back().begin).kind != DeviceKind::cpu;
}

Ending ending_of(const Traced& t) {
  if (!is(t.launch.name, {"reduce"}) || t.accesses.size() != 2 || !t.accesses[0].dense || !t.accesses[1].dense)
    return {};
  const View &x = *t.accesses[0].view, &y = *t.accesses[1].view;
  int axis = y.ndim;
  while (axis > 0 && y.shape[axis - 1] == 1) --axis;
  int64_t rows = 1;
  for (int i = 0; i < axis; ++i) {
    if (x.shape[i] != y.shape[i]) return {};
    rows *= x.shape[i];
  }
  if (rows > 1) {
    const int64_t columns = x.numel() / rows;
    return columns < kLeastColumns ? Ending{} : Ending{Ending::rows, columns};
  }
  const bool adds =
      is(t.launch.label, {"sum"}) && x.dtype == y.dtype && (x.dtype == Dtype::f32 || x.dtype == Dtype::f64);
  return adds ? Ending{Ending::total, kReduceRun} : Ending{};
}

int64_t size_of_space(const Traced& t) {
  const Launch& l = t.launch;
  if (t.accesses.empty() || on_device(t)) return 0;  // tiles are for the CPU's caches
  if (!elementwise(l)) return ending_of(t).kind == Ending::none ? 0 : t.accesses[0].view->numel();
  const Access& y = t.accesses.back();
  if (!y.dense) return 0;
  bool one_axis = true;
  for (const Access& a : t.accesses) {
    const View& v = *a.view;
    const int64_t step = v.strides[v.ndim - 1];
    if (step != 1 && step != 0 && v.shape[v.ndim - 1] != 1) return 0;
    one_axis &= v.ndim == 1;
  }
  // An exponent that all elements have is a case of its own, which a tile must not fall into by chance.
  if (!std::strcmp(l.label, "pow")) {
    const View& b = *t.accesses[1].view;
    for (int i = 0; i < b.ndim; ++i)
      if (b.strides[i] != 0) return 0;
  }
  if (keeps_vectors(l) && (!one_axis || reinterpret_cast<uintptr_t>(y.begin) % 64 != 0)) return 0;
  return y.view->numel();
}

bool writes_by_element(const Traced& t) {
  return !on_device(t) &&
         (is(t.launch.name, {"fused"}) || (elementwise(t.launch) && !is(t.launch.name, {"copy", "move"})));
}

int64_t work_of(const Launch& l) {
  if (is(l.name, {"special"}) || is(l.label, {"pow", "zeta", "gammainc", "gammaincc"})) return 12;
  return is(l.name, {"unary", "activation", "activation_grad"}) ? 4 : 1;
}

bool keeps_vectors(const Launch& l) { return is(l.label, {"sin", "cos", "tan", "sinc", "lgamma", "digamma"}); }

Fused::Stage stage_of(const Traced& t) {
  if (const Ending ending = ending_of(t); ending.kind != Ending::none) return reduction(t, ending);
  Fused::Stage s{};
  s.run = t.launch.run;
  s.call = t.launch.call;
  s.bytes = t.bytes;
  for (const Access& a : t.accesses) {
    const View& v = *a.view;
    Fused::Operand& o = s.operand[s.count++];
    o = operand_of(t.launch, v);
    std::copy(v.strides, v.strides + v.ndim, o.strides);
    std::copy(v.shape, v.shape + v.ndim, s.shape);
    s.ndim = v.ndim;
  }
  int64_t inner = 1;
  for (int i = s.ndim - 1; i >= 0; --i) s.inner[i] = inner, inner *= s.shape[i];
  return s;
}

}  // namespace pydl
