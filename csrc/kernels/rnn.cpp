// Recurrent layers forward: at each step the state's product is added to the input's, which the caller has made for all
// steps at once, and the gates follow while the products are in the cache. The weight is packed once for all steps.
//   rnn/panels.h  the packed weight and its product   rnn/gates.h  the cells   rnn/steps.h  packed rows
#include "kernels/rnn/steps.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Forward {
  RecurrentSpec spec;
  RecurrentState x;
  const T* bias;
  View hn, cn;
  Steps steps;
  int64_t h, p;
  // Of what is fed back. second: of the lstm's projection, or of the state that r has scaled.
  Panels<T> weight{}, second{};
  bool packed = true;
  Stage<T> stage{}, scaled{};
  const T* zeros = nullptr;

  int64_t wide() const { return x.weight.shape[0]; }
};

// Steps and rows so few that packing the weight would take longer than its products.
inline bool too_few(const Steps& s) { return s.count <= 2 && s.most <= 4; }

template <class T>
Forward<T> prepare(RecurrentSpec spec, const RecurrentState& x, View bias, View hn, View cn) {
  Forward<T> f{spec, x, data<T>(bias), hn, cn, steps_of(x.sizes, x.y, spec.reverse), 0, x.weight.shape[1]};
  const int64_t groups = gates_of(spec.cell), b = f.steps.most;
  const bool before = spec.cell == Cell::gru_before;
  f.h = x.weight.shape[0] / groups;
  f.packed = !too_few(f.steps);
  const bool tiled = f.packed && suits_tiles<T>(b, f.h, x.proj);
  // gru_before: r and z as one group of twice the units.
  f.weight = panels<T>(before ? 1 : groups, before ? 2 * f.h : f.h, f.p, b, tiled, kWeightSlot, x.weight, f.p, 1);
  if (before) f.second = panels<T>(1, f.h, f.p, b, tiled, kSecondSlot, candidate<T>(x.weight), f.p, 1);
  if (x.proj.present()) f.second = panels<T>(1, f.p, f.h, b, false, kSecondSlot, x.proj, f.h, 1);
  if (f.packed) pack_panels(f.weight);
  if (f.packed) pack_panels(f.second);
  f.stage = {nullptr, nullptr, Stage<T>::stride(f.p), b, f.p, nullptr, nullptr};
  f.scaled = f.stage;
  const int64_t rows = b * f.stage.rs, scaled = before ? rows : 0;
  f.stage.now = static_cast<T*>(scratch(kStageSlot, sizeof(T) * static_cast<size_t>(2 * rows + scaled + f.h + f.p)));
  f.stage.next = zeroed(f.stage.now, 2 * rows) - rows;
  f.scaled.now = f.scaled.next = f.stage.next + rows;
  f.zeros = zeroed(f.scaled.now + scaled, f.h + f.p) - (f.h + f.p);
  if (x.h0.present())
    for (int64_t r = 0; r < b; ++r)
      for (T* to : {f.stage.now, f.stage.next}) copy_row(data<T>(x.h0) + r * f.p, to + r * f.stage.rs, f.p);
  if (!tiled) return f;
  give_tiles(f.stage, kTileSlot);
  if (before) give_tiles(f.scaled, kScaledTileSlot);
  for (int i = 0; i < 2; ++i) {  // rows that begin later keep their initial state until then
    f.stage.pack(b, 0, f.p);
    f.stage.swap();
  }
  return f;
}

// Where the groups of a step's product go; gru: that of the third group is kept apart.
template <class T>
void targets(const Forward<T>& f, const Step& s, Target<T>* to) {
  const int64_t groups = f.weight.groups, rs = f.wide();
  for (int64_t g = 0; g < least(groups, kMostGroups); ++g)
    to[g] = {data<T>(f.x.gates) + s.at * rs + g * f.h, rs, f.bias ? f.bias + g * f.h : nullptr, true};
  if (f.spec.cell == Cell::gru) to[2] = {data<T>(f.x.inner) + s.at * f.h, f.h, to[2].bias, false};
}

// Units j .. j + n of all rows of a step. gru_before: what follows the second product.
template <class T>
void gates(const Forward<T>& f, const Step& s, int64_t j, int64_t n) {
  const Cell cell = f.spec.cell;
  const bool lstm = cell == Cell::lstm, gru = cell == Cell::gru, projects = f.x.proj.present();
  const Before<T> old = before<T>(f.steps, s, lstm ? f.x.cells : f.x.y, lstm ? f.x.c0 : f.x.h0, f.h, f.zeros);
  for (int64_t r = 0; r < s.rows; ++r) {
    const int64_t at = (s.at + r) * f.h + j;
    Row<T> row{data<T>(f.x.gates) + (s.at + r) * f.wide() + j, f.h};
    row.out = data<T>(projects ? f.x.inner : f.x.y) + at;
    row.stage = projects ? nullptr : f.stage.next + r * f.stage.rs + j;
    if (cell >= Cell::lstm) row.before = old.row(r) + j;
    if (lstm) row.cell = data<T>(f.x.cells) + at;
    if (gru) row.inner = data<T>(f.x.inner) + at;
    lstm                       ? lstm_row(row, n)
    : gru                      ? gru_row(row, n)
    : cell == Cell::gru_before ? gru_before_row(row, n)
                               : plain_row(cell, row, n);
  }
  f.stage.pack(s.rows, j, n);
}

// gru_before, after the products of r and z: those of r among units j .. j + n of both scale the state.
template <class T>
void resets(const Forward<T>& f, const Step& s, int64_t j, int64_t n) {
  n = least(n, f.h - j);
  const Before<T> old = before<T>(f.steps, s, f.x.y, f.x.h0, f.h, f.zeros);
  for (int64_t r = 0; r < s.rows && n > 0; ++r) {
    Row<T> row{data<T>(f.x.gates) + (s.at + r) * f.wide() + j, f.h, old.row(r) + j};
    row.out = data<T>(f.x.inner) + (s.at + r) * f.h + j;
    row.stage = f.scaled.next + r * f.scaled.rs + j;
    reset_row(row, n);
  }
  if (n > 0) f.scaled.pack(s.rows, j, n);
}

// Rows by a weight, then(j, n) after the products of units j .. j + n.
template <class T, class F>
void multiply_all(const Forward<T>& f, const Panels<T>& w, const Step& s, const Left<T>& left, const Target<T>* to,
                  const F& then) {
  if (f.packed) return multiply_each(w, s.rows, left, to, then);
  multiply_unpacked(w, s.rows, left, to);
  then(0, w.units);
}

template <class T>
void take(const Forward<T>& f, const Step& s) {
  Target<T> to[kMostGroups];
  targets(f, s, to);
  multiply_all(f, f.weight, s, f.stage.left(), to,
               [&](int64_t j, int64_t n) { f.spec.cell == Cell::gru_before ? resets(f, s, j, n) : gates(f, s, j, n); });
}

// y = inner proj^T. Source: Sak et al. 2014 (arXiv:1402.1128).
template <class T>
void project(const Forward<T>& f, const Step& s) {
  const Left<T> from{data<T>(f.x.inner) + s.at * f.h, f.h, nullptr};
  T* y = data<T>(f.x.y) + s.at * f.p;
  const Target<T> to{y, f.p, nullptr, false};
  multiply_all(f, f.second, s, from, &to, [&](int64_t j, int64_t n) {
    for (int64_t r = 0; r < s.rows; ++r) copy_row(y + r * f.p + j, f.stage.next + r * f.stage.rs + j, n);
  });
}

// gru_before: the third gate, and the new state.
template <class T>
void renew(const Forward<T>& f, const Step& s) {
  const int64_t at = 2 * f.h;
  const Target<T> to{data<T>(f.x.gates) + s.at * f.wide() + at, f.wide(), f.bias ? f.bias + at : nullptr, true};
  multiply_all(f, f.second, s, f.scaled.left(), &to, [&](int64_t j, int64_t n) { gates(f, s, j, n); });
}

// The states after a row's own last step.
template <class T>
void last_states(const Forward<T>& f, const Step& s) {
  for (int64_t r = f.steps.kept(s); r < s.rows; ++r) {
    copy_row(data<T>(f.x.y) + (s.at + r) * f.p, data<T>(f.hn) + r * f.p, f.p);
    if (f.cn.present()) copy_row(data<T>(f.x.cells) + (s.at + r) * f.h, data<T>(f.cn) + r * f.h, f.h);
  }
}

// All steps of some rows of the batch.
template <class T>
void walk(Forward<T> f, int64_t from, int64_t until) {
  f.steps.from = from;
  f.steps.until = until;
  for (View* x : {&f.x.h0, &f.x.c0, &f.hn, &f.cn}) skip_rows<T>(*x, from);
  f.stage.skip(from);
  f.scaled.skip(from);
  for (Step s = f.steps.first(); s.i < f.steps.count; s = f.steps.next(s)) {
    take(f, s);
    if (f.x.proj.present()) project(f, s);
    if (f.spec.cell == Cell::gru_before) renew(f, s);
    last_states(f, s);
    f.stage.swap();
  }
}

template <class T>
void run_forward(RecurrentSpec spec, const RecurrentState& x, View bias, View hn, View cn) {
  const Forward<T> f = prepare<T>(spec, x, bias, hn, cn);
  each_part(f.steps, f.weight, f.second, [&](int64_t from, int64_t until) { walk(f, from, until); });
}

}  // namespace

void recurrent(RecurrentSpec spec, RecurrentState state, View bias, View hn, View cn) {
  if (state.y.numel() == 0) return;
  state.y.dtype == Dtype::f64 ? run_forward<double>(spec, state, bias, hn, cn)
                              : run_forward<float>(spec, state, bias, hn, cn);
}

}  // namespace pydl::PYDL_ISA
