// The cells of recurrent layers, forward and back, for the CPU's kernels and the GPU's. V: a vector, or a number.
#pragma once

#include "kernels/numbers.h"
#include "runtime/table/rnn.h"

#define PYDL_CELL PYDL_HD inline __attribute__((always_inline))

namespace pydl::PYDL_ISA {
namespace {

template <class V>
PYDL_CELL V plain_cell(Cell cell, V pre) {
  return cell == Cell::tanh      ? tanh(pre)
         : cell == Cell::relu    ? max(pre, V())
         : cell == Cell::sigmoid ? sigmoid(pre)
                                 : pre;
}

// From the gradient of the output y to that of what the curve was given.
template <class V>
PYDL_CELL V plain_cell_grad(Cell cell, V y, V gh) {
  const V one = number<V>(1);
  return cell == Cell::tanh      ? gh * (one - y * y)
         : cell == Cell::relu    ? select(y > V(), gh, V())
         : cell == Cell::sigmoid ? gh * y * (one - y)
                                 : gh;
}

template <class V>
struct LstmUnit {
  V i, f, g, o, c, h;
};

// c = f c + i g, h = o tanh(c), from the products of the gates. Source: Hochreiter & Schmidhuber 1997; the forget gate:
// Gers et al. 2000.
template <class V>
PYDL_CELL LstmUnit<V> lstm_cell(V i, V f, V g, V o, V before) {
  const V vi = sigmoid(i), vf = sigmoid(f), vg = tanh(g), vo = sigmoid(o);
  const V c = fma(vf, before, vi * vg);
  return {vi, vf, vg, vo, c, vo * tanh(c)};
}

// Gradients of the products, and of the state before.
template <class V>
struct LstmGrad {
  V to[4], gc;
};

template <class V>
PYDL_CELL LstmGrad<V> lstm_cell_grad(V i, V f, V g, V o, V c, V before, V gh, V gc) {
  const V one = number<V>(1), t = tanh(c);
  const V all = fma(gh * o, one - t * t, gc);
  return {{all * g * i * (one - i), all * before * f * (one - f), all * i * (one - g * g), gh * t * o * (one - o)},
          all * f};
}

template <class V>
struct GruUnit {
  V r, z, n, h;
};

// h = (1 - z) n + z h, n = tanh(product of the input + r inner). Source: Cho et al. 2014 (arXiv:1406.1078), with r
// after the product.
template <class V>
PYDL_CELL GruUnit<V> gru_cell(V r, V z, V n, V inner, V before) {
  const V vr = sigmoid(r), vz = sigmoid(z), vn = tanh(fma(vr, inner, n));
  return {vr, vz, vn, fma(vz, before, (number<V>(1) - vz) * vn)};
}

// Gradients of the input's products, of the inner product, and of the state before by way of z alone.
template <class V>
struct GruGrad {
  V r, z, n, inner, gh;
};

template <class V>
PYDL_CELL GruGrad<V> gru_cell_grad(V r, V z, V n, V inner, V before, V gh) {
  const V one = number<V>(1);
  const V gn = gh * (one - z) * (one - n * n), gr = gn * inner * r * (one - r);
  return {gr, gh * (before - n) * z * (one - z), gn, gn * r, gh * z};
}

// The same with r before the product: `n` has the product of r h. Source: Cho et al. 2014, equation 8.
template <class V>
struct GruBeforeUnit {
  V z, n, h;
};

template <class V>
PYDL_CELL GruBeforeUnit<V> gru_before_cell(V z, V n, V before) {
  const V vz = sigmoid(z), vn = tanh(n);
  return {vz, vn, fma(vz, before, (number<V>(1) - vz) * vn)};
}

// Gradients of the products of z and n, and of the state before by way of z alone.
template <class V>
struct GruBeforeGrad {
  V z, n, gh;
};

template <class V>
PYDL_CELL GruBeforeGrad<V> gru_before_cell_grad(V z, V n, V before, V gh) {
  const V one = number<V>(1);
  return {gh * (before - n) * z * (one - z), gh * (one - z) * (one - n * n), gh * z};
}

// From the gradient of r h to that of r's product.
template <class V>
PYDL_CELL V reset_grad(V r, V before, V scaled) {
  return scaled * before * r * (number<V>(1) - r);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

#undef PYDL_CELL
