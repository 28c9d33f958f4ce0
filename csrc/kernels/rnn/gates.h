// The gates of one row: from products to the new state, and back. All pointers are to the block's first unit; gates lie
// `units` apart. What is given twice (out and stage) is written twice: for the caller, and for the next product.
#pragma once

#include "runtime/table/rnn.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

// f(i, put, get) for each vector of n units: get(p) is p[i ...], put(p, v) writes it, both cut at the end.
template <class T, class F>
inline __attribute__((always_inline)) void each_vector(int64_t n, const F& f) {
  constexpr int N = Vec<T>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) f([i](const T* p) { return load<T>(p + i); }, [i](T* p, Vec<T> v) { store(p + i, v); });
  if (const int64_t rest = n - i; rest > 0)
    f([i, rest](const T* p) { return load<T>(p + i, rest); }, [i, rest](T* p, Vec<T> v) { store(p + i, v, rest); });
}

template <class T>
struct Row {
  T* gates;
  int64_t units;
  const T* before = nullptr;  // of the state: that of the lstm's cell, or the gru's output
  T* cell = nullptr;          // lstm
  T* inner = nullptr;         // gru: the product that r scales
  T* out = nullptr;
  T* stage = nullptr;  // null: none
};

template <class T>
void plain_row(Cell cell, const Row<T>& x, int64_t n) {
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> pre = get(x.gates);
        const Vec<T> y = cell == Cell::tanh      ? tanh(pre)
                         : cell == Cell::relu    ? max(pre, Vec<T>())
                         : cell == Cell::sigmoid ? sigmoid(pre)
                                                 : pre;
        put(x.out, y);
        put(x.stage, y);
      });
}

// c = f c + i g, h = o tanh(c). Source: Hochreiter & Schmidhuber 1997; the forget gate: Gers et al. 2000.
template <class T>
void lstm_row(const Row<T>& x, int64_t n) {
  T *const i = x.gates, *const f = i + x.units, *const g = f + x.units, *const o = g + x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> vi = sigmoid(get(i)), vf = sigmoid(get(f)), vg = tanh(get(g)), vo = sigmoid(get(o));
        const Vec<T> c = fma(vf, get(x.before), vi * vg), h = vo * tanh(c);
        put(i, vi);
        put(f, vf);
        put(g, vg);
        put(o, vo);
        put(x.cell, c);
        put(x.out, h);
        if (x.stage) put(x.stage, h);
      });
}

// h = (1 - z) n + z h, n = tanh(pre + r inner). Source: Cho et al. 2014 (arXiv:1406.1078), with r after the product.
template <class T>
void gru_row(const Row<T>& x, int64_t n) {
  T *const r = x.gates, *const z = r + x.units, *const m = z + x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> vr = sigmoid(get(r)), vz = sigmoid(get(z)), vm = tanh(fma(vr, get(x.inner), get(m)));
        const Vec<T> h = fma(vz, get(x.before), (T(1) - vz) * vm);
        put(r, vr);
        put(z, vz);
        put(m, vm);
        put(x.out, h);
        put(x.stage, h);
      });
}

// The way back: from gradients of the new state to those of the products and of the state before.
template <class T>
struct RowGrad {
  const T* gates;
  int64_t units;
  // As above; plain cells: cell is their output.
  const T *before = nullptr, *cell = nullptr, *inner = nullptr;
  T* gh = nullptr;        // gradient of the output by way of later steps; gru: then that of `before`
  const T* gy = nullptr;  // and directly; null: 0
  T* gc = nullptr;        // lstm: of the cell, then of the one before
  T *to = nullptr, *scaled = nullptr, *stage = nullptr;  // gradients of the products
};

template <class T>
void plain_row_grad(Cell cell, const RowGrad<T>& x, int64_t n) {
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> y = get(x.cell), gh = x.gy ? get(x.gh) + get(x.gy) : get(x.gh);
        const Vec<T> g = cell == Cell::tanh      ? gh * (T(1) - y * y)
                         : cell == Cell::relu    ? select(y > Vec<T>(), gh, Vec<T>())
                         : cell == Cell::sigmoid ? gh * y * (T(1) - y)
                                                 : gh;
        put(x.to, g);
        put(x.stage, g);
      });
}

template <class T>
void lstm_row_grad(const RowGrad<T>& x, int64_t n) {
  const int64_t u = x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> i = get(x.gates), f = get(x.gates + u), g = get(x.gates + 2 * u), o = get(x.gates + 3 * u);
        const Vec<T> t = tanh(get(x.cell)), gh = x.gy ? get(x.gh) + get(x.gy) : get(x.gh);
        const Vec<T> gc = fma(gh * o, T(1) - t * t, get(x.gc)), one(T(1));
        const Vec<T> to[] = {gc * g * i * (one - i), gc * get(x.before) * f * (one - f), gc * i * (one - g * g),
                             gh * t * o * (one - o)};
        put(x.gc, gc * f);
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          put(x.to + k * u, to[k]);
          put(x.stage + k * u, to[k]);
        }
      });
}

template <class T>
void gru_row_grad(const RowGrad<T>& x, int64_t n) {
  const int64_t u = x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> r = get(x.gates), z = get(x.gates + u), m = get(x.gates + 2 * u), one(T(1));
        const Vec<T> gh = x.gy ? get(x.gh) + get(x.gy) : get(x.gh), inner = get(x.inner);
        const Vec<T> gm = gh * (one - z) * (one - m * m), gr = gm * inner * r * (one - r);
        const Vec<T> gz = gh * (get(x.before) - m) * z * (one - z);
        put(x.gh, gh * z);
        put(x.to, gr);
        put(x.to + u, gz);
        put(x.to + 2 * u, gm);
        for (T* both : {x.scaled, x.stage}) {
          put(both, gr);
          put(both + u, gz);
          put(both + 2 * u, gm * r);
        }
      });
}

}  // namespace
}  // namespace pydl::PYDL_ISA
