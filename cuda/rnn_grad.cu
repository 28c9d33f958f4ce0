// Recurrent layers back through time: at each step the gradients of the gates, then their product with the weight,
// which is the gradient of the state before. What is summed over all steps is left to the caller.
#include "rnn.cuh"

namespace pydl::cuda {
namespace {

template <class T>
struct Backward : Walk<T> {
  const T* gy;                        // null: zeros
  T *to, *scaled, *joined, *gh, *gc;  // as in RecurrentGrads
  bool first;

  // What the weight is multiplied by: gradients of the state's products.
  __device__ __host__ T* products() const { return this->cell == Cell::gru ? scaled : to; }
  // What the second is multiplied by: of all outputs, or of n.
  __device__ __host__ T* second_rows() const { return this->resets() ? to + 2 * this->h : joined; }
  __device__ __host__ int64_t second_step() const { return this->resets() ? this->wide : this->p; }
};

// From gh, the gradient of unit u of row r by later steps, and the output's own use, to those of its gates. Of the
// gru, returns what of gh goes on to the step before without a product; of others, a product comes in its place.
template <class T>
__device__ __forceinline__ T gates_grad(const Backward<T>& f, const Step& s, const Step& earlier, int64_t r, int64_t u,
                                        T gh) {
  const int64_t at = (s.at + r) * f.h + u, wide = (s.at + r) * f.wide + u;
  const T* gates = f.gates + wide;
  T* to = f.to + wide;
  if (f.cell == Cell::lstm) {
    T* gc = f.gc + r * f.h + u;
    const auto y = lstm_cell_grad(gates[0], gates[f.h], gates[2 * f.h], gates[3 * f.h], f.cells[at],
                                  f.before(f.cells, f.c0, f.h, earlier, r, u), gh, *gc);
    *gc = y.gc;
#pragma unroll
    for (int g = 0; g < 4; ++g) to[g * f.h] = y.to[g];
  } else if (f.cell == Cell::gru) {
    const auto y =
        gru_cell_grad(gates[0], gates[f.h], gates[2 * f.h], f.inner[at], f.before(f.y, f.h0, f.h, earlier, r, u), gh);
    T* scaled = f.scaled + wide;
    to[0] = scaled[0] = y.r;
    to[f.h] = scaled[f.h] = y.z;
    to[2 * f.h] = y.n;
    scaled[2 * f.h] = y.inner;
    return y.gh;
  } else {
    *to = plain_cell_grad(f.cell, f.y[at], gh);
  }
  return gh;
}

// gru_before: from the gradient of unit u of row r to those of z and n; returns what goes on by way of z.
template <class T>
__device__ __forceinline__ T renew_grad(const Backward<T>& f, const Step& s, const Step& earlier, int64_t r, int64_t u,
                                        T gh) {
  const int64_t at = (s.at + r) * f.wide + f.h + u;
  const T* gates = f.gates + at;
  const auto y = gru_before_cell_grad(gates[0], gates[f.h], f.before(f.y, f.h0, f.h, earlier, r, u), gh);
  f.to[at] = y.z, f.to[at + f.h] = y.n;
  return y.gh;
}

// From the gradient of what r has scaled to that of r, and to what goes on without a product.
template <class T>
__device__ __forceinline__ void reset_grads(const Backward<T>& f, const Step& s, const Step& earlier, int64_t r,
                                            int64_t u, T scaled) {
  const int64_t at = (s.at + r) * f.wide + u;
  const T reset = f.gates[at];
  f.to[at] = reset_grad(reset, f.before(f.y, f.h0, f.h, earlier, r, u), scaled);
  f.gh[r * f.h + u] += scaled * reset;
}

// Unit u of row r after its second product.
template <class T>
__device__ __forceinline__ void take_second(const Backward<T>& f, const Step& s, const Step& earlier, int64_t r,
                                            int64_t u, T product) {
  if (f.resets())
    reset_grads(f, s, earlier, r, u, product);
  else
    gates_grad(f, s, earlier, r, u, product);
}

// The walk back stands between a step that is done (none: without rows) and the one before it.
struct Turn {
  Step done, now, earlier;
};

// Output u of row r, given its product with the gradients of the step that is done: its gradient in the step before,
// and, unless it is projected, those of the gates.
template <class T>
__device__ __forceinline__ void take_output(const Backward<T>& f, const Turn& t, int64_t r, int64_t u, T product) {
  T* at = f.gh + r * f.p + u;
  T gh = *at;
  if (r < t.done.rows) gh = f.cell >= Cell::gru ? gh + product : product;
  if (r < t.now.rows) {
    const int64_t row = t.now.at + r;
    const T sum = f.gy ? gh + f.gy[row * f.p + u] : gh;
    if (f.projects())
      f.joined[row * f.p + u] = sum;
    else
      gh = f.resets() ? renew_grad(f, t.now, t.earlier, r, u, sum) : gates_grad(f, t.now, t.earlier, r, u, sum);
  }
  *at = gh;
}

__host__ __device__ inline Turn turn_of(const Steps& steps, const Step& done) {
  const Step now = steps.back(done);
  return {done, now, steps.back(now)};
}

// To the last step, which nothing comes after.
__host__ __device__ inline Turn first_turn(const Steps& steps) {
  const Step now = steps.last();
  return {{now.i + 1, 0, 0}, now, steps.back(now)};
}

// The end: there is no step before the first, or nobody wants the gradient of its state.
template <class T>
__host__ __device__ inline bool over(const Backward<T>& f, const Turn& t) {
  return t.done.i < 0 || (t.done.i == 0 && !f.first);
}

template <class T>
__global__ void __launch_bounds__(kTeamThreads, 1) walk_back(Backward<T> f) {
  Member<T> own(f);
  for (Turn t = first_turn(f.steps); !over(f, t); t = turn_of(f.steps, t.now)) {
    const int done = own.rows(t.done), now = own.rows(t.now);
    if (done == 0 && now == 0) continue;
    const auto gates = [&](int64_t r) { return f.products() + (t.done.at + r) * f.wide; };
    own.template each<1>(0, done, done < now ? now : done, gates,
                         [&](int64_t r, int64_t u, const T(&sums)[1]) { take_output(f, t, r, u, sums[0]); });
    own.wait();
    if (!f.twice() || now == 0) continue;
    const auto second = [&](int64_t r) { return f.second_rows() + (t.now.at + r) * f.second_step(); };
    own.template each<1>(1, now, now, second, [&](int64_t r, int64_t u, const T(&sums)[1]) {
      take_second(f, t.now, t.earlier, r, u, sums[0]);
    });
    own.wait();
  }
}

// ---- step by step

template <class T>
__global__ void __launch_bounds__(kStepThreads) outputs_kernel(Backward<T> f, Turn t, const T* products) {
  const int64_t rows = t.done.rows < t.now.rows ? t.now.rows : t.done.rows, step = int64_t{gridDim.x} * kStepThreads;
  for (int64_t i = int64_t{blockIdx.x} * kStepThreads + threadIdx.x; i < rows * f.p; i += step) {
    const int64_t r = i / f.p;
    take_output(f, t, r, i % f.p, r < t.done.rows ? products[i] : T(0));
  }
}

template <class T>
__global__ void __launch_bounds__(kStepThreads) gates_kernel(Backward<T> f, Turn t, const T* products) {
  const int64_t all = t.now.rows * f.h, step = int64_t{gridDim.x} * kStepThreads;
  for (int64_t i = int64_t{blockIdx.x} * kStepThreads + threadIdx.x; i < all; i += step)
    take_second(f, t.now, t.earlier, i / f.h, i % f.h, products[i]);
}

template <class T>
void step_by_step(const Backward<T>& f) {
  const int64_t widest = f.twice() && f.h > f.p ? f.h : f.p;
  const Scratch room(static_cast<size_t>(f.steps.most * widest) * sizeof(T));
  T* products = room.template as<T>();
  for (Turn t = first_turn(f.steps); !over(f, t); t = turn_of(f.steps, t.now)) {
    if (t.done.rows) product(f.products() + t.done.at * f.wide, f.wide, t.done.rows, f.weight, products);
    const int64_t rows = t.done.rows < t.now.rows ? t.now.rows : t.done.rows;
    start(outputs_kernel<T>, {blocks_for(rows * f.p, kStepThreads), kStepThreads}, f, t, products);
    if (!f.twice() || t.now.rows == 0) continue;
    product(f.second_rows() + t.now.at * f.second_step(), f.second_step(), t.now.rows, f.second, products);
    start(gates_kernel<T>, {blocks_for(t.now.rows * f.h, kStepThreads), kStepThreads}, f, t, products);
  }
}

template <class T>
void run_backward(const RecurrentSpec& spec, const RecurrentState& x, const RecurrentGrads& g) {
  Backward<T> f{walk_of<T>(spec, x), g.y.as<const T>(), g.gates.as<T>(), g.scaled.as<T>(),
                g.inner.as<T>(),     g.gh.as<T>(),      g.gc.as<T>(),    g.first};
  const int64_t fed = f.resets() ? 2 * f.h : f.wide;  // gates whose products are of the state as it is
  f.weight = {x.weight.as<const T>(), 1, f.p, fed, 1, 0, f.p};
  if (f.resets()) f.second = {f.weight.from + fed * f.p, 1, f.p, f.h, 1, 0, f.p};
  if (x.proj.present()) f.second = {x.proj.as<const T>(), 1, f.h, f.p, 1, 0, f.h};
  f.vector = in_sixteens(f.products(), f.wide) && in_sixteens(f.joined, f.p);
  f.plan = plan_of(f.weight, f.second, f.steps.most);
  if (f.plan.teams == 0) return step_by_step(f);
  const Room room(f.steps, f.plan);
  f.steps.sizes = room.sizes();
  f.arrived = room.counters();
  start_together(walk_back<T>, grid_of(f.plan), f);
}

}  // namespace

void recurrent_grad(RecurrentSpec spec, RecurrentState state, RecurrentGrads grads) {
  if (state.y.numel() == 0) return;
  state.y.dtype == Dtype::f64 ? run_backward<double>(spec, state, grads) : run_backward<float>(spec, state, grads);
}

}  // namespace pydl::cuda
