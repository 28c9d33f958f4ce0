// Stochastic gradient descent on weights that other threads change meanwhile, without locks: sound where rows are
// sparse, because then two threads seldom meet. Each call runs on the thread that makes it. Weights are read and
// written whole (relaxed atomics, plain moves on x86), but a read and the write that follows from it may have another's
// write between.
//
// The only kernel whose result depends on the timing of threads: that is the method.
// Source: Niu, Recht, Re & Wright 2011 (arXiv:1106.5730), algorithm 1.
#include <cmath>

#include "runtime/parallel.h"
#include "runtime/table/optim.h"

namespace pydl::PYDL_ISA {
namespace {

inline double read(const double* p) {
  double v;
  __atomic_load(p, &v, __ATOMIC_RELAXED);
  return v;
}
inline void write(double* p, double v) { __atomic_store(p, &v, __ATOMIC_RELAXED); }

constexpr int kReadSlot = 0;

}  // namespace

void hogwild(SparseRows x, View y, View order, View w, View hyper, View seen) {
  const int64_t* starts = x.starts.as<int64_t>();
  const int64_t* columns = x.columns.as<int64_t>();
  const double* values = x.values.as<double>();
  const double lr = hyper.as<double>()[hogwild_hyper::lr], decay = hyper.as<double>()[hogwild_hyper::decay];
  double* weights = w.as<double>();
  int64_t written = 0, changed = 0;
  for (int64_t k = 0; k < order.shape[0]; ++k) {
    const int64_t row = order.as<int64_t>()[k], begin = starts[row], n = starts[row + 1] - begin;
    double* before = static_cast<double*>(scratch(kReadSlot, static_cast<size_t>(n + 1) * sizeof(double)));
    double margin = 0;
    for (int64_t i = 0; i < n; ++i) {
      before[i] = read(weights + columns[begin + i]);
      margin += before[i] * values[begin + i];
    }
    const double slope = 1.0 / (1.0 + std::exp(-margin)) - y.as<double>()[row];
    for (int64_t i = 0; i < n; ++i) {
      double* place = weights + columns[begin + i];
      const double now = read(place);
      changed += now != before[i];
      write(place, now - lr * (slope * values[begin + i] + decay * now));
    }
    written += n;
  }
  seen.as<int64_t>()[0] = written;
  seen.as<int64_t>()[1] = changed;
}

}  // namespace pydl::PYDL_ISA
