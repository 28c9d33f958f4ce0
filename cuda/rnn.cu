// Recurrent layers forward: at each step the state's product is added to the input's, which the caller has made for all
// steps at once, and the gates follow.
//   rnn.cuh  teams of blocks that keep the weight on chip, the walk over steps     rnn_grad.cu  the way back
#include "rnn.cuh"

namespace pydl::cuda {

__global__ void sizes_kernel(SomeSizes from, int64_t* to) {
  for (int i = static_cast<int>(threadIdx.x); i < from.count; i += kTeamThreads) to[from.first + i] = from.rows[i];
}

namespace {

constexpr int kGates = 4;  // at most

template <class T>
struct Forward : Walk<T> {
  const T* bias;
  T *hn, *cn;
};

// A step, the one before, and the first row whose last step it is.
struct Moment {
  Step now, earlier;
  int64_t kept;
};

__host__ __device__ inline Moment moment_of(const Steps& steps, const Step& s) {
  return {s, steps.back(s), steps.kept(s)};
}

// Unit u of row r after a step, where it belongs.
template <class T>
__device__ __forceinline__ void put_state(const Forward<T>& f, const Moment& m, int64_t r, int64_t u, T y) {
  const bool projects = f.projects();
  (projects ? f.inner : f.y)[(m.now.at + r) * f.h + u] = y;
  if (!projects && r >= m.kept) f.hn[r * f.h + u] = y;
}

// From the products of unit u of row r with the state before, `sums`, to its gates and its state.
template <class T>
__device__ __forceinline__ void take_unit(const Forward<T>& f, const Moment& m, int64_t r, int64_t u,
                                          const T (&sums)[kGates]) {
  const int64_t at = (m.now.at + r) * f.h + u;
  T* gates = f.gates + (m.now.at + r) * f.wide + u;
  T state[kGates], pre[kGates];
#pragma unroll
  for (int g = 0; g < kGates; ++g) {
    if (g * f.h >= f.wide) break;
    state[g] = f.bias ? sums[g] + f.bias[g * f.h + u] : sums[g];
    pre[g] = gates[g * f.h];
  }
  if (f.cell == Cell::lstm) {
    const auto y = lstm_cell(pre[0] + state[0], pre[1] + state[1], pre[2] + state[2], pre[3] + state[3],
                             f.before(f.cells, f.c0, f.h, m.earlier, r, u));
    gates[0] = y.i, gates[f.h] = y.f, gates[2 * f.h] = y.g, gates[3 * f.h] = y.o;
    f.cells[at] = y.c;
    if (r >= m.kept) f.cn[r * f.h + u] = y.c;
    put_state(f, m, r, u, y.h);
  } else if (f.cell == Cell::gru) {
    const auto y =
        gru_cell(pre[0] + state[0], pre[1] + state[1], pre[2], state[2], f.before(f.y, f.h0, f.h, m.earlier, r, u));
    gates[0] = y.r, gates[f.h] = y.z, gates[2 * f.h] = y.n;
    f.inner[at] = state[2];
    put_state(f, m, r, u, y.h);
  } else if (f.resets()) {
    const T reset = sigmoid(pre[0] + state[0]);
    gates[0] = reset, gates[f.h] = pre[1] + state[1];
    f.inner[at] = reset * f.before(f.y, f.h0, f.h, m.earlier, r, u);
  } else {
    put_state(f, m, r, u, plain_cell(f.cell, pre[0] + state[0]));
  }
}

// Output u of row r, from the second product: of the projected units, or of the state that r has scaled.
template <class T>
__device__ __forceinline__ void take_second(const Forward<T>& f, const Moment& m, int64_t r, int64_t u, T y) {
  if (f.resets()) {
    T* gates = f.gates + (m.now.at + r) * f.wide + f.h + u;
    const T pre = gates[f.h] + (f.bias ? y + f.bias[2 * f.h + u] : y);
    const auto unit = gru_before_cell(gates[0], pre, f.before(f.y, f.h0, f.h, m.earlier, r, u));
    gates[0] = unit.z, gates[f.h] = unit.n;
    y = unit.h;
  }
  f.y[(m.now.at + r) * f.p + u] = y;
  if (r >= m.kept) f.hn[r * f.p + u] = y;
}

template <class T>
__global__ void __launch_bounds__(kTeamThreads, 1) walk_forward(Forward<T> f) {
  Member<T> own(f);
  for (Step s = f.steps.first(); s.i < f.steps.count; s = f.steps.next(s)) {
    const int rows = own.rows(s);
    if (rows == 0) continue;
    const Moment m = moment_of(f.steps, s);
    const auto state = [&](int64_t r) {
      return r < m.earlier.rows ? f.y + (m.earlier.at + r) * f.p : f.h0 ? f.h0 + r * f.p : nullptr;
    };
    own.template each<kGates>(0, rows, rows, state,
                              [&](int64_t r, int64_t u, const T(&sums)[kGates]) { take_unit(f, m, r, u, sums); });
    if (f.twice()) {
      own.wait();
      const auto inner = [&](int64_t r) { return f.inner + (s.at + r) * f.h; };
      own.template each<1>(1, rows, rows, inner,
                           [&](int64_t r, int64_t u, const T(&sums)[1]) { take_second(f, m, r, u, sums[0]); });
    }
    own.wait();
  }
}

// ---- step by step

// products: (rows, groups h), with the state before; state: (b, p), that of the last step of each row.
template <class T>
__global__ void __launch_bounds__(kStepThreads) gates_kernel(Forward<T> f, Moment m, const T* products, T* state) {
  const int64_t all = m.now.rows * f.h, step = int64_t{gridDim.x} * kStepThreads, wide = f.weight.groups * f.h;
  for (int64_t i = int64_t{blockIdx.x} * kStepThreads + threadIdx.x; i < all; i += step) {
    const int64_t r = i / f.h, u = i % f.h;
    T sums[kGates];
#pragma unroll
    for (int g = 0; g < kGates; ++g) sums[g] = g * f.h < wide ? products[r * wide + g * f.h + u] : T(0);
    take_unit(f, m, r, u, sums);
    if (!f.twice()) state[i] = f.y[(m.now.at + r) * f.h + u];
  }
}

template <class T>
__global__ void __launch_bounds__(kStepThreads) outputs_kernel(Forward<T> f, Moment m, const T* products, T* state) {
  const int64_t all = m.now.rows * f.p, step = int64_t{gridDim.x} * kStepThreads;
  for (int64_t i = int64_t{blockIdx.x} * kStepThreads + threadIdx.x; i < all; i += step) {
    take_second(f, m, i / f.p, i % f.p, products[i]);
    state[i] = f.y[m.now.at * f.p + i];
  }
}

template <class T>
void step_by_step(const Forward<T>& f) {
  const int64_t b = f.steps.most;
  const Scratch room(static_cast<size_t>(b * (f.p + f.wide)) * sizeof(T));
  T *state = room.template as<T>(), *products = state + b * f.p;
  const size_t bytes = static_cast<size_t>(b * f.p) * sizeof(T);
  note(f.h0 ? cudaMemcpyAsync(state, f.h0, bytes, cudaMemcpyDefault, stream())
            : cudaMemsetAsync(state, 0, bytes, stream()));
  for (Step s = f.steps.first(); s.i < f.steps.count; s = f.steps.next(s)) {
    const Moment m = moment_of(f.steps, s);
    product(state, f.p, s.rows, f.weight, products);
    start(gates_kernel<T>, {blocks_for(s.rows * f.h, kStepThreads), kStepThreads}, f, m, products, state);
    if (!f.twice()) continue;
    product(f.inner + s.at * f.h, f.h, s.rows, f.second, products);
    start(outputs_kernel<T>, {blocks_for(s.rows * f.p, kStepThreads), kStepThreads}, f, m, products, state);
  }
}

template <class T>
void run_forward(const RecurrentSpec& spec, const RecurrentState& x, const View& bias, const View& hn, const View& cn) {
  Forward<T> f{walk_of<T>(spec, x), bias.as<const T>(), hn.as<T>(), cn.as<T>()};
  const int groups = f.resets() ? 2 : static_cast<int>(gates_of(spec.cell));
  f.weight = {x.weight.as<const T>(), groups, f.h, f.p, f.p, f.h * f.p, 1};
  if (f.resets()) f.second = {f.weight.from + 2 * f.h * f.p, 1, f.h, f.p, f.p, 0, 1};
  if (x.proj.present()) f.second = {x.proj.as<const T>(), 1, f.p, f.h, f.h, 0, 1};
  f.vector = in_sixteens(f.y, f.p) && in_sixteens(f.h0, f.p) && in_sixteens(f.inner, f.h);
  f.plan = plan_of(f.weight, f.second, f.steps.most);
  if (f.plan.teams == 0) return step_by_step(f);
  const Room room(f.steps, f.plan);
  f.steps.sizes = room.sizes();
  f.arrived = room.counters();
  start_together(walk_forward<T>, grid_of(f.plan), f);
}

}  // namespace

void recurrent(RecurrentSpec spec, RecurrentState state, View bias, View hn, View cn) {
  if (state.y.numel() == 0) return;
  state.y.dtype == Dtype::f64 ? run_forward<double>(spec, state, bias, hn, cn)
                              : run_forward<float>(spec, state, bias, hn, cn);
}

}  // namespace pydl::cuda
