// CTC by its forward and backward variables, in logarithms: a sequence is one item of work, a step one pass over the
// states, whose neighbours below are the two states that it can come from.
// Source: Graves et al. 2006, equations 6 to 11. Here the backward variables leave out their own step's emission.
#include "runtime/table/ctc.h"

#include "runtime/parallel.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kRowSlot = 3;

template <class T>
constexpr T kNever = -std::numeric_limits<T>::infinity();

template <class T>
inline T* data(const View& x) {
  return x.as<T>();
}

// log(e^a + e^b + e^c); -inf where all are.
template <class T>
inline Vec<T> log_sum(Vec<T> a, Vec<T> b, Vec<T> c) {
  const Vec<T> top = max(a, max(b, c));
  const Vec<T> pivot = select(top == Vec<T>(kNever<T>), Vec<T>(), top);
  return pivot + log(exp(a - pivot) + exp(b - pivot) + exp(c - pivot));
}

// One sequence. Rows of states have room for two on either side, which are never reached.
template <class T>
struct Sequence {
  const T* log_probs;  // of its first step
  const int64_t* labels;
  int64_t steps, count, states, blank, row;  // row: from step to step of log_probs
  T *alpha, *skip, *emitted, *a, *b;
  int64_t alpha_row;

  int64_t label(int64_t s) const { return s % 2 ? labels[s / 2] : blank; }
};

constexpr int64_t kSide = 2;

template <class T>
Sequence<T> open(const View& log_probs, const View& targets, const View& steps, const View& counts, int64_t blank,
                 const View& alpha, int64_t n) {
  Sequence<T> x{};
  const int64_t c = log_probs.shape[2], longest = targets.shape[1];
  x.row = log_probs.shape[1] * c;
  x.log_probs = data<T>(log_probs) + n * c;
  x.labels = data<int64_t>(targets) + n * longest;
  x.steps = data<int64_t>(steps)[n];
  x.count = data<int64_t>(counts)[n];
  x.states = 2 * x.count + 1;
  x.blank = blank;
  x.alpha_row = 2 * longest + 1;
  x.alpha = data<T>(alpha) + n * log_probs.shape[0] * x.alpha_row;
  const int64_t room = x.states + 2 * kSide;
  T* own = static_cast<T*>(scratch(kRowSlot, sizeof(T) * static_cast<size_t>(4 * room)));
  for (int64_t i = 0; i < 4 * room; ++i) own[i] = kNever<T>;
  x.skip = own + kSide;
  x.emitted = x.skip + room;
  x.a = x.emitted + room;
  x.b = x.a + room;
  // From the label before, past the blank between, unless they are the same: then the blank must be spelt.
  for (int64_t s = 3; s < x.states; s += 2)
    if (x.label(s) != x.label(s - 2) && x.label(s) != blank) x.skip[s] = 0;
  return x;
}

template <class T>
void emit(const Sequence<T>& x, int64_t t) {
  const T* from = x.log_probs + t * x.row;
  for (int64_t s = 0; s < x.states; ++s) x.emitted[s] = from[x.label(s)];
}

template <class T>
void copy(const T* from, T* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

// The log likelihood; alpha of all steps on the way.
template <class T>
T forward(Sequence<T>& x) {
  constexpr int64_t N = Vec<T>::N;
  if (x.steps == 0) return x.count == 0 ? T(0) : kNever<T>;
  emit(x, 0);
  for (int64_t s = 0; s < x.states && s < 2; ++s) x.a[s] = x.emitted[s];
  copy(x.a, x.alpha, x.states);
  for (int64_t t = 1; t < x.steps; ++t) {
    emit(x, t);
    T* to = x.alpha + t * x.alpha_row;
    for (int64_t s = 0; s < x.states; s += N) {
      const int64_t n = x.states - s < N ? x.states - s : N;
      const T* at = x.a + s;
      const Vec<T> past = load<T>(at - 2, n) + load<T>(x.skip + s, n);
      store(to + s, log_sum(load<T>(at, n), load<T>(at - 1, n), past) + load<T>(x.emitted + s, n), n);
    }
    copy(to, x.a, x.states);
  }
  const T last = x.a[x.states - 1], before = x.count > 0 ? x.a[x.states - 2] : kNever<T>;
  alignas(64) T out[N];
  store(out, log_sum(Vec<T>(last), Vec<T>(before), Vec<T>(kNever<T>)));
  return out[0];
}

// gx -= g p(state | input, target) at each step, for the class of each state. b: the backward variables, which go on
// to the step before through a, those with the emission.
template <class T>
void backward(Sequence<T>& x, T g, T likelihood, T* gx) {
  constexpr int64_t N = Vec<T>::N;
  alignas(64) T share[N];
  for (int64_t s = x.states - 1; s >= 0 && s >= x.states - 2; --s) x.b[s] = 0;
  for (int64_t t = x.steps - 1; t >= 0; --t) {
    emit(x, t);
    const T* alpha = x.alpha + t * x.alpha_row;
    for (int64_t s = 0; s < x.states; s += N) {
      const int64_t n = x.states - s < N ? x.states - s : N;
      const Vec<T> b = load<T>(x.b + s, n);
      store(share, exp(load<T>(alpha + s, n) + b - Vec<T>(likelihood)) * Vec<T>(g));
      for (int64_t i = 0; i < n; ++i) gx[t * x.row + x.label(s + i)] -= share[i];
      store(x.a + s, b + load<T>(x.emitted + s, n), n);
    }
    for (int64_t s = 0; s < x.states; s += N) {
      const int64_t n = x.states - s < N ? x.states - s : N;
      const T* at = x.a + s;
      const Vec<T> past = load<T>(at + 2, n) + load<T>(x.skip + s + 2, n);
      store(x.b + s, log_sum(load<T>(at, n), load<T>(at + 1, n), past), n);
    }
  }
}

// In the units of parallel_for: a state of a step takes some ten vector operations more than a copy.
inline int64_t work(const View& log_probs, const View& targets) {
  return log_probs.shape[0] * (2 * targets.shape[1] + 1) * 8 + log_probs.shape[0] * log_probs.shape[2];
}

template <class T>
void run_forward(const View& log_probs, const View& targets, const View& steps, const View& counts, int64_t blank,
                 const View& loss, const View& alpha) {
  parallel_for(log_probs.shape[1], work(log_probs, targets), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      Sequence<T> x = open<T>(log_probs, targets, steps, counts, blank, alpha, n);
      data<T>(loss)[n] = -forward(x);
    }
  });
}

template <class T>
void run_backward(const View& g, const View& log_probs, const View& targets, const View& steps, const View& counts,
                  int64_t blank, const View& loss, const View& alpha, const View& gx) {
  const int64_t classes = log_probs.shape[2];
  parallel_for(log_probs.shape[1], work(log_probs, targets), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      Sequence<T> x = open<T>(log_probs, targets, steps, counts, blank, alpha, n);
      T* to = data<T>(gx) + n * classes;
      for (int64_t t = 0; t < log_probs.shape[0]; ++t)
        for (int64_t c = 0; c < classes; ++c) to[t * x.row + c] = 0;
      const T lost = data<T>(loss)[n];
      if (lost != -kNever<T>) backward(x, data<T>(g)[n * g.strides[0]], -lost, to);  // infinite: no alignment
    }
  });
}

}  // namespace

void ctc(View log_probs, View targets, View steps, View counts, int64_t blank, View loss, View alpha) {
  log_probs.dtype == Dtype::f64 ? run_forward<double>(log_probs, targets, steps, counts, blank, loss, alpha)
                                : run_forward<float>(log_probs, targets, steps, counts, blank, loss, alpha);
}

void ctc_grad(View g, View log_probs, View targets, View steps, View counts, int64_t blank, View loss, View alpha,
              View gx) {
  log_probs.dtype == Dtype::f64 ? run_backward<double>(g, log_probs, targets, steps, counts, blank, loss, alpha, gx)
                                : run_backward<float>(g, log_probs, targets, steps, counts, blank, loss, alpha, gx);
}

}  // namespace pydl::PYDL_ISA
