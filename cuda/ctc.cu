// CTC by its forward and backward variables, in logarithms: a block is a sequence, its threads are states, and the
// variables of one step pass through shared memory to the next. Gradients are gathered class by class, in the order of
// the states. A target of s labels has 2 s + 1 states: blanks before, between and behind them.
// Source: Graves et al. 2006, equations 6 to 11. Here the backward variables leave out their own step's emission.
#include "device.cuh"
#include "runtime/table/ctc.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
struct Sequences {
  int64_t t, n, classes, longest, blank;
  const T* log_probs;
  const int64_t *targets, *steps, *counts;
  T *loss, *alpha;
};

// One sequence, as its block sees it.
template <class T>
struct Sequence {
  const T* log_probs;  // of its first step
  const int64_t* labels;
  int64_t row, alpha_row, steps, states, blank;
  T* alpha;

  __device__ __forceinline__ int64_t label(int64_t s) const { return s % 2 ? labels[s / 2] : blank; }
  // From the label before, past the blank between, unless they are the same: then the blank must be spelt.
  __device__ __forceinline__ bool skips(int64_t s) const {
    return s >= 3 && s < states && s % 2 && label(s) != label(s - 2) && label(s) != blank;
  }
  __device__ __forceinline__ T emitted(int64_t t, int64_t s) const { return log_probs[t * row + label(s)]; }
};

template <class T>
__device__ __forceinline__ Sequence<T> sequence_of(const Sequences<T>& x, int64_t n) {
  const int64_t alpha_row = 2 * x.longest + 1;
  return {x.log_probs + n * x.classes,
          x.targets + n * x.longest,
          x.n * x.classes,
          alpha_row,
          x.steps[n],
          2 * x.counts[n] + 1,
          x.blank,
          x.alpha + n * x.t * alpha_row};
}

// log(e^a + e^b + e^c); -inf where all are.
template <class T>
__device__ __forceinline__ T log_sum(T a, T b, T c) {
  const T top = std::fmax(a, std::fmax(b, c)), pivot = top == -infinity<T>() ? T(0) : top;
  return pivot + std::log(std::exp(a - pivot) + std::exp(b - pivot) + std::exp(c - pivot));
}

template <class T>
__global__ void __launch_bounds__(kThreads) ctc_kernel(Sequences<T> all) {
  const Sequence<T> x = sequence_of(all, blockIdx.x);
  T* now = shared_memory<T>();
  T* next = now + x.alpha_row;
  for (int64_t t = 0; t < x.steps; ++t) {
    for (int64_t s = threadIdx.x; s < x.states; s += kThreads) {
      const T stay = t == 0 ? (s < 2 ? T(0) : -infinity<T>()) : now[s];
      const T step = t > 0 && s > 0 ? now[s - 1] : -infinity<T>(),
              skip = t > 0 && x.skips(s) ? now[s - 2] : -infinity<T>();
      x.alpha[t * x.alpha_row + s] = next[s] = log_sum(stay, step, skip) + x.emitted(t, s);
    }
    __syncthreads();
    T* was = now;
    now = next;
    next = was;
  }
  if (threadIdx.x > 0) return;
  const T nothing = -infinity<T>();
  T likelihood = x.states == 1 ? T(0) : nothing;  // of no steps
  if (x.steps > 0) likelihood = log_sum(now[x.states - 1], x.states > 1 ? now[x.states - 2] : nothing, nothing);
  all.loss[blockIdx.x] = -likelihood;
}

// gx = -g p(state | input, target), summed over the states of each class.
template <class T>
__global__ void __launch_bounds__(kThreads, 4) ctc_grad_kernel(Sequences<T> all, const T* g, int64_t g_step, T* gx) {
  const Sequence<T> x = sequence_of(all, blockIdx.x);
  T* later = shared_memory<T>();  // backward variables with the emission, of the step after
  T* share = later + x.alpha_row;
  const T lost = all.loss[blockIdx.x], slope = g[blockIdx.x * g_step];
  T* to = gx + blockIdx.x * all.classes;
  const bool reachable = lost != infinity<T>();  // else there is no alignment
  for (int64_t t = reachable ? x.steps : 0; t < all.t; ++t)
    for (int64_t c = threadIdx.x; c < all.classes; c += kThreads) to[t * x.row + c] = 0;
  if (!reachable) return;
  for (int64_t t = x.steps - 1; t >= 0; --t) {
    const bool last = t == x.steps - 1;
    for (int64_t s = threadIdx.x; s < x.states; s += kThreads) {
      const T step = !last && s + 1 < x.states ? later[s + 1] : -infinity<T>();
      const T skip = !last && x.skips(s + 2) ? later[s + 2] : -infinity<T>();
      const T stay = last ? (s + 2 >= x.states ? T(0) : -infinity<T>()) : later[s];
      const T beta = log_sum(stay, step, skip);
      share[x.alpha_row + s] = beta + x.emitted(t, s);
      share[s] = std::exp(x.alpha[t * x.alpha_row + s] + beta + lost) * slope;
    }
    __syncthreads();
    for (int64_t s = threadIdx.x; s < x.states; s += kThreads) later[s] = share[x.alpha_row + s];
    for (int64_t c = threadIdx.x; c < all.classes; c += kThreads) {
      T sum = 0;
      for (int64_t s = 0; s < x.states; ++s)
        if (x.label(s) == c) sum -= share[s];
      to[t * x.row + c] = sum;
    }
    __syncthreads();
  }
}

template <class T>
Sequences<T> sequences_of(const View& log_probs, const View& targets, const View& steps, const View& counts,
                          int64_t blank, const View& loss, const View& alpha) {
  return {log_probs.shape[0],
          log_probs.shape[1],
          log_probs.shape[2],
          targets.shape[1],
          blank,
          log_probs.as<const T>(),
          targets.as<const int64_t>(),
          steps.as<const int64_t>(),
          counts.as<const int64_t>(),
          loss.as<T>(),
          alpha.as<T>()};
}

// Shared memory for so many rows of states; 0 where there is not as much.
template <class T>
size_t room(const View& targets, int rows) {
  const size_t bytes = static_cast<size_t>(rows * (2 * targets.shape[1] + 1)) * sizeof(T);
  if (bytes <= size_t{160} << 10) return bytes;
  missing("targets this long have no CUDA kernel");
  return 0;
}

template <class F>
void with_real(const View& x, const F& f) {
  x.dtype == Dtype::f64 ? f(double{}) : f(float{});
}

}  // namespace

void ctc(View log_probs, View targets, View steps, View counts, int64_t blank, View loss, View alpha) {
  if (loss.numel() == 0) return;
  with_real(log_probs, [&](auto zero) {
    using T = decltype(zero);
    if (const size_t bytes = room<T>(targets, 2))
      start(ctc_kernel<T>, {static_cast<unsigned>(loss.shape[0]), kThreads, bytes},
            sequences_of<T>(log_probs, targets, steps, counts, blank, loss, alpha));
  });
}

void ctc_grad(View g, View log_probs, View targets, View steps, View counts, int64_t blank, View loss, View alpha,
              View gx) {
  if (gx.numel() == 0) return;
  with_real(log_probs, [&](auto zero) {
    using T = decltype(zero);
    if (const size_t bytes = room<T>(targets, 3))
      start(ctc_grad_kernel<T>, {static_cast<unsigned>(loss.shape[0]), kThreads, bytes},
            sequences_of<T>(log_probs, targets, steps, counts, blank, loss, alpha), g.as<const T>(), g.strides[0],
            gx.as<T>());
  });
}

}  // namespace pydl::cuda
