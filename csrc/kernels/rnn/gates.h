// The gates of one row: from products to the new state, and back. All pointers are to the block's first unit; gates lie
// `units` apart. What is given twice (out and stage) is written twice: for the caller, and for the next product.
#pragma once

#include "kernels/rnn/cells.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

// How a vector of a row is written: whole ones past the caches too, if asked, where p + i is aligned.
template <class T>
struct PutWhole {
  int64_t i;
  void operator()(T* p, Vec<T> v) const { store(p + i, v); }
  void past(bool caches, T* p, Vec<T> v) const { caches ? stream(p + i, v) : store(p + i, v); }
};

template <class T>
struct PutRest {
  int64_t i, n;
  void operator()(T* p, Vec<T> v) const { store(p + i, v, n); }
  void past(bool, T* p, Vec<T> v) const { store(p + i, v, n); }
};

// f(get, put) for each vector of n units: get(p) is p[i ...], put(p, v) writes it, both cut at the end.
template <class T, class F>
inline __attribute__((always_inline)) void each_vector(int64_t n, const F& f) {
  constexpr int N = Vec<T>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) f([i](const T* p) { return load<T>(p + i); }, PutWhole<T>{i});
  if (const int64_t rest = n - i; rest > 0)
    f([i, rest](const T* p) { return load<T>(p + i, rest); }, PutRest<T>{i, rest});
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
        const Vec<T> y = plain_cell(cell, get(x.gates));
        put(x.out, y);
        put(x.stage, y);
      });
}

template <class T>
void lstm_row(const Row<T>& x, int64_t n) {
  T *const i = x.gates, *const f = i + x.units, *const g = f + x.units, *const o = g + x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const LstmUnit<Vec<T>> y = lstm_cell(get(i), get(f), get(g), get(o), get(x.before));
        put(i, y.i);
        put(f, y.f);
        put(g, y.g);
        put(o, y.o);
        put(x.cell, y.c);
        put(x.out, y.h);
        if (x.stage) put(x.stage, y.h);
      });
}

template <class T>
void gru_row(const Row<T>& x, int64_t n) {
  T *const r = x.gates, *const z = r + x.units, *const m = z + x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const GruUnit<Vec<T>> y = gru_cell(get(r), get(z), get(m), get(x.inner), get(x.before));
        put(r, y.r);
        put(z, y.z);
        put(m, y.n);
        put(x.out, y.h);
        put(x.stage, y.h);
      });
}

// gru_before: r alone, and the state that it scales.
template <class T>
void reset_row(const Row<T>& x, int64_t n) {
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> r = sigmoid(get(x.gates)), scaled = r * get(x.before);
        put(x.gates, r);
        put(x.out, scaled);
        put(x.stage, scaled);
      });
}

template <class T>
void gru_before_row(const Row<T>& x, int64_t n) {
  T *const z = x.gates + x.units, *const m = z + x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const GruBeforeUnit<Vec<T>> y = gru_before_cell(get(z), get(m), get(x.before));
        put(z, y.z);
        put(m, y.n);
        put(x.out, y.h);
        put(x.stage, y.h);
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
  bool past = false;                                     // to and scaled are written past the caches

  // The whole gradient of the output.
  template <class Get>
  inline __attribute__((always_inline)) Vec<T> arriving(const Get& get) const {
    return gy ? get(gh) + get(gy) : get(gh);
  }
};

template <class T>
void plain_row_grad(Cell cell, const RowGrad<T>& x, int64_t n) {
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> gh = x.arriving(get);
        const Vec<T> g = plain_cell_grad(cell, get(x.cell), gh);
        put.past(x.past, x.to, g);
        put(x.stage, g);
      });
}

template <class T>
void lstm_row_grad(const RowGrad<T>& x, int64_t n) {
  const int64_t u = x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> gh = x.arriving(get);
        const LstmGrad<Vec<T>> y = lstm_cell_grad(get(x.gates), get(x.gates + u), get(x.gates + 2 * u),
                                                  get(x.gates + 3 * u), get(x.cell), get(x.before), gh, get(x.gc));
        put(x.gc, y.gc);
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          put.past(x.past, x.to + k * u, y.to[k]);
          put(x.stage + k * u, y.to[k]);
        }
      });
}

template <class T>
void gru_row_grad(const RowGrad<T>& x, int64_t n) {
  const int64_t u = x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> gh = x.arriving(get);
        const GruGrad<Vec<T>> y =
            gru_cell_grad(get(x.gates), get(x.gates + u), get(x.gates + 2 * u), get(x.inner), get(x.before), gh);
        put(x.gh, y.gh);
        put.past(x.past, x.to + 2 * u, y.n);
        put.past(x.past, x.scaled + 2 * u, y.inner);
        put(x.stage + 2 * u, y.inner);
        for (T* far : {x.to, x.scaled}) {
          put.past(x.past, far, y.r);
          put.past(x.past, far + u, y.z);
        }
        put(x.stage, y.r);
        put(x.stage + u, y.z);
      });
}

// gru_before: of z and n, from the gradient of the output. That of n goes to `scaled`, and comes back from its product
// as the gradient of the scaled state; from there that of r.
template <class T>
void gru_before_row_grad(const RowGrad<T>& x, int64_t n) {
  const int64_t u = x.units;
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> gh = x.arriving(get);
        const GruBeforeGrad<Vec<T>> y = gru_before_cell_grad(get(x.gates + u), get(x.gates + 2 * u), get(x.before), gh);
        put(x.gh, y.gh);
        put.past(x.past, x.to + u, y.z);
        put.past(x.past, x.to + 2 * u, y.n);
        put(x.stage + u, y.z);
        put(x.scaled, y.n);
      });
}

template <class T>
void reset_row_grad(const RowGrad<T>& x, int64_t n) {
  each_vector<T>(
      n, [&](auto get, auto put) __attribute__((always_inline)) {
        const Vec<T> r = get(x.gates), scaled = get(x.scaled), g = reset_grad(r, get(x.before), scaled);
        put(x.gh, fma(scaled, r, get(x.gh)));
        put.past(x.past, x.to, g);
        put(x.stage, g);
      });
}

}  // namespace
}  // namespace pydl::PYDL_ISA
