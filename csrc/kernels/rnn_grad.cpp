// Recurrent layers back through time: at each step the gradients of the gates, then their product with the weight,
// which is the gradient of the state before, and at once the gates of that step for the same units. What is summed over
// all steps (the gradients of weights and input) is left to the caller: it is one product over all time.
#include "kernels/rnn/steps.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Backward {
  RecurrentSpec spec;
  RecurrentState x;
  RecurrentGrads g;
  Steps steps;
  int64_t h, p, wide;
  int64_t fed = 0;  // gates whose products are of the state as it is: all, but gru_before: two thirds
  // As in rnn.cpp.
  Panels<T> weight{}, second{};
  Stage<T> stage{};     // gradients of the gates
  Stage<T> scaled{};    // gru_before: those of the third
  T* hidden = nullptr;  // (b, h): of what is projected, or of what r has scaled, before each step
  const T* zeros = nullptr;
  bool past = false;  // the gradients of the products are written past the caches
};

// Gradients of the products from this many bytes on are not in a cache when the caller comes to read them. Fetching
// the lines that they are about to fill was a sixth of the time.
constexpr int64_t kPastCaches = int64_t{24} << 20;

template <class T>
bool past_caches(const Backward<T>& f) {
  const View& x = f.g.gates;
  const auto at = reinterpret_cast<uintptr_t>(x.data) | reinterpret_cast<uintptr_t>(f.g.scaled.data);
  return x.numel() * static_cast<int64_t>(sizeof(T)) >= kPastCaches && f.h % Vec<T>::N == 0 &&
         at % (Vec<T>::N * sizeof(T)) == 0;
}

template <class T>
Backward<T> prepare(RecurrentSpec spec, const RecurrentState& x, const RecurrentGrads& g) {
  Backward<T> f{spec, x, g, steps_of(x.sizes, x.y, spec.reverse), 0, x.weight.shape[1], x.weight.shape[0]};
  const int64_t b = f.steps.most;
  const bool before = spec.cell == Cell::gru_before, twice = before || x.proj.present();
  f.h = f.wide / gates_of(spec.cell);
  f.fed = before ? 2 * f.h : f.wide;
  f.past = past_caches(f);
  const bool tiled = suits_tiles<T>(b, f.h, x.proj);
  f.weight = panels<T>(1, f.p, f.fed, b, tiled, kWeightSlot, x.weight, 1, f.p);
  if (before) f.second = panels<T>(1, f.p, f.h, b, tiled, kSecondSlot, candidate<T>(x.weight), 1, f.p);
  if (x.proj.present()) f.second = panels<T>(1, f.h, f.p, b, false, kSecondSlot, x.proj, 1, f.h);
  if (f.steps.count > 1 || g.first) pack_panels(f.weight);
  pack_panels(f.second);
  f.stage = {nullptr, nullptr, Stage<T>::stride(f.fed), b, f.fed, nullptr, nullptr};
  f.scaled = {nullptr, nullptr, Stage<T>::stride(f.h), b, f.h, nullptr, nullptr};
  const int64_t rows = b * f.stage.rs, hidden = twice ? b * f.h : 0, scaled = before ? b * f.scaled.rs : 0;
  f.stage.now = static_cast<T*>(scratch(kStageSlot, sizeof(T) * static_cast<size_t>(2 * rows + scaled + hidden + f.h)));
  f.stage.next = f.stage.now + rows;
  f.scaled.now = f.scaled.next = f.stage.next + rows;
  f.hidden = f.scaled.now + scaled;
  f.zeros = zeroed(f.hidden + hidden, f.h) - f.h;
  if (tiled) give_tiles(f.stage, kTileSlot);
  if (tiled && before) give_tiles(f.scaled, kScaledTileSlot);
  return f;
}

// Units from j on of row r of a step: what all cells read and write.
template <class T>
RowGrad<T> row_grad(const Backward<T>& f, const Step& s, int64_t r, int64_t j) {
  const int64_t wide = (s.at + r) * f.wide + j;
  RowGrad<T> row{data<T>(f.x.gates) + wide, f.h};
  row.gh = data<T>(f.g.gh) + r * f.h + j;
  row.to = data<T>(f.g.gates) + wide;
  row.stage = f.stage.next + r * f.stage.rs + j;
  row.past = f.past;
  return row;
}

// Gradients of units j .. j + n of the products of a step, into `next`.
template <class T>
void gates_grad(const Backward<T>& f, const Step& s, int64_t j, int64_t n) {
  const bool lstm = f.spec.cell == Cell::lstm, gru = f.spec.cell == Cell::gru, projects = f.x.proj.present();
  const Before<T> old = before<T>(f.steps, s, lstm ? f.x.cells : f.x.y, lstm ? f.x.c0 : f.x.h0, f.h, f.zeros);
  for (int64_t r = 0; r < s.rows; ++r) {
    const int64_t at = (s.at + r) * f.h + j;
    RowGrad<T> row = row_grad(f, s, r, j);
    row.cell = data<T>(lstm ? f.x.cells : f.x.y) + at;
    if (projects) row.gh = f.hidden + r * f.h + j;
    row.gy = f.g.y.present() && !projects ? data<T>(f.g.y) + at : nullptr;
    if (lstm || gru) row.before = old.row(r) + j;
    if (lstm) row.gc = data<T>(f.g.gc) + r * f.h + j;
    if (gru) row.inner = data<T>(f.x.inner) + at;
    if (gru) row.scaled = data<T>(f.g.scaled) + (s.at + r) * f.wide + j;
    lstm ? lstm_row_grad(row, n) : gru ? gru_row_grad(row, n) : plain_row_grad(f.spec.cell, row, n);
  }
  if (f.past) stream_fence();
  for (int64_t g = 0; g < f.wide; g += f.h) f.stage.pack(s.rows, g + j, n);
}

// gru_before: of units j .. j + n, the gradients of n and z, from that of the output.
template <class T>
void renew_grad(const Backward<T>& f, const Step& s, int64_t j, int64_t n) {
  const Before<T> old = before<T>(f.steps, s, f.x.y, f.x.h0, f.h, f.zeros);
  for (int64_t r = 0; r < s.rows; ++r) {
    RowGrad<T> row = row_grad(f, s, r, j);
    row.before = old.row(r) + j;
    row.gy = f.g.y.present() ? data<T>(f.g.y) + (s.at + r) * f.h + j : nullptr;
    row.scaled = f.scaled.next + r * f.scaled.rs + j;
    gru_before_row_grad(row, n);
  }
  if (f.past) stream_fence();
  f.stage.pack(s.rows, f.h + j, n);
  f.scaled.pack(s.rows, j, n);
}

// And that of r, from the product of n's.
template <class T>
void resets_grad(const Backward<T>& f, const Step& s, int64_t j, int64_t n) {
  const Before<T> old = before<T>(f.steps, s, f.x.y, f.x.h0, f.h, f.zeros);
  for (int64_t r = 0; r < s.rows; ++r) {
    RowGrad<T> row = row_grad(f, s, r, j);
    row.before = old.row(r) + j;
    row.scaled = f.hidden + r * f.h + j;
    reset_row_grad(row, n);
  }
  if (f.past) stream_fence();
  f.stage.pack(s.rows, j, n);
}

// The gradient of a step's output, units j .. j + n: from later steps and from its own use.
template <class T>
void join(const Backward<T>& f, const Step& s, int64_t j, int64_t n) {
  for (int64_t r = 0; r < s.rows; ++r) {
    const T *gh = data<T>(f.g.gh) + r * f.p + j, *gy = data<T>(f.g.y) + (s.at + r) * f.p + j;
    T* to = data<T>(f.g.inner) + (s.at + r) * f.p + j;
    const bool used = f.g.y.present();
    each_vector<T>(n, [&](auto get, auto put) { put(to, used ? get(gh) + get(gy) : get(gh)); });
  }
}

// After the output's gradient: that of the units before the second product, and of their gates.
template <class T>
void take_second(const Backward<T>& f, const Step& s) {
  const bool projects = f.x.proj.present();
  const Left<T> joined{data<T>(f.g.inner) + s.at * f.p, f.p, nullptr};
  const Target<T> to{f.hidden, f.h, nullptr, false};
  multiply_each(f.second, s.rows, projects ? joined : f.scaled.left(), &to,
                [&](int64_t j, int64_t n) { projects ? gates_grad(f, s, j, n) : resets_grad(f, s, j, n); });
}

// What follows once units j .. j + n of the output's gradient are known.
template <class T>
void follow(const Backward<T>& f, const Step& s, int64_t j, int64_t n) {
  if (f.spec.cell == Cell::gru_before) return renew_grad(f, s, j, n);
  f.x.proj.present() ? join(f, s, j, n) : gates_grad(f, s, j, n);
}

// From the gradients of the gates of step `s`, in `now`, to those of the state before it, and on to the step before.
template <class T>
void take(const Backward<T>& f, const Step& s) {
  const Target<T> to{data<T>(f.g.gh), f.p, nullptr, f.spec.cell >= Cell::gru};
  const Step earlier = f.steps.back(s);
  multiply_each(f.weight, s.rows, f.stage.left(), &to, [&](int64_t j, int64_t n) {
    if (s.i > 0) follow(f, earlier, j, n);
  });
}

// All steps of some rows of the batch.
template <class T>
void walk(Backward<T> f, int64_t from, int64_t until) {
  const bool twice = f.second.units > 0;
  f.steps.from = from;
  f.steps.until = until;
  for (View* x : {&f.x.h0, &f.x.c0, &f.g.gh, &f.g.gc}) skip_rows<T>(*x, from);
  f.stage.skip(from);
  f.scaled.skip(from);
  if (twice) f.hidden += from * f.h;
  Step s = f.steps.last();
  follow(f, s, 0, f.p);
  if (twice) take_second(f, s);
  f.stage.swap();
  for (; s.i > 0; s = f.steps.back(s)) {
    take(f, s);
    if (twice) take_second(f, f.steps.back(s));
    f.stage.swap();
  }
  if (f.g.first) take(f, s);
}

template <class T>
void run_backward(RecurrentSpec spec, const RecurrentState& x, const RecurrentGrads& g) {
  const Backward<T> f = prepare<T>(spec, x, g);
  each_part(f.steps, f.weight, f.second, [&](int64_t from, int64_t until) { walk(f, from, until); });
}

}  // namespace

void recurrent_grad(RecurrentSpec spec, RecurrentState state, RecurrentGrads grads) {
  if (state.y.numel() == 0) return;
  state.y.dtype == Dtype::f64 ? run_backward<double>(spec, state, grads) : run_backward<float>(spec, state, grads);
}

}  // namespace pydl::PYDL_ISA
