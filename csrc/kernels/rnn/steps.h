// The walk over packed steps: which rows each holds, and which state each row had before.
#pragma once

#include "kernels/rnn/gates.h"
#include "kernels/rnn/panels.h"
#include "kernels/rnn/walk.h"

namespace pydl::PYDL_ISA {
namespace {

// Slots of runtime/parallel.h: of the packed weights, and of what passes from step to step.
constexpr int kWeightSlot = 5, kProjSlot = 4, kStageSlot = 3;

template <class T>
inline T* data(const View& x) {
  return x.as<T>();
}

// The state before a step: rows that were there in the step before have its result, new ones their initial state.
template <class T>
struct Before {
  const T* states = nullptr;
  int64_t width = 0, rows = 0;
  const T* initial;
  int64_t initial_width;

  const T* row(int64_t r) const { return r < rows ? states + r * width : initial + r * initial_width; }
};

template <class T>
Before<T> before(const Steps& steps, const Step& s, const View& states, const View& initial, int64_t width,
                 const T* zeros) {
  Before<T> b;
  b.initial = initial.present() ? data<T>(initial) : zeros;
  b.initial_width = initial.present() ? width : 0;
  if (s.i == 0) return b;
  const Step earlier = steps.back(s);
  b.states = data<T>(states) + earlier.at * width;
  b.width = width;
  b.rows = earlier.rows;
  return b;
}

// Two buffers of rows for the left side of products: one is read while the other is written. Rows are not a multiple
// of 4 KiB apart, so that they fall on different lines of the first level cache.
template <class T>
struct Stage {
  T *now = nullptr, *next = nullptr;
  int64_t rs = 0;

  static int64_t stride(int64_t width) { return round_up(width, 64 / sizeof(T)) + 64 / sizeof(T); }
  void skip(int64_t rows) { now += rows * rs, next += rows * rs; }
  void swap() {
    T* was = now;
    now = next;
    next = was;
  }
};

template <class T>
inline Panels<T> panels(int64_t groups, int64_t units, int64_t k, int64_t rows, int slot) {
  Panels<T> w{groups, units, k, rows <= kFewRows, nullptr};
  w.p = static_cast<T*>(scratch(slot, sizeof(T) * static_cast<size_t>(w.room() + 1)));
  return w;
}

// Rows of a batch know nothing of each other. Where the packed weight stays in the cache of each core, a thread walks
// all steps with rows of its own and waits for no other; elsewhere threads share the units of a step.
constexpr int64_t kPartRows = 16;

template <class T>
inline int64_t part_rows(const Steps& steps, const Panels<T>& w) {
  const int64_t parts = steps.most / kPartRows, bytes = w.room() * static_cast<int64_t>(sizeof(T));
  return parts > 1 && 2 * bytes <= second_level_cache() ? ceil_div(steps.most, parts) : steps.most;
}

// f(from, until) for the parts of the batch.
template <class T, class F>
void each_part(const Steps& steps, const Panels<T>& w, const F& f) {
  const int64_t rows = part_rows(steps, w), parts = ceil_div(steps.most, rows);
  parallel_for(parts, steps.count * w.blocks() * w.cost(rows), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i * rows, least(steps.most, (i + 1) * rows));
  });
}

// An array with a row for each of the batch, from row `from` on.
template <class T>
inline void skip_rows(View& x, int64_t from) {
  if (x.present()) x.data = data<T>(x) + from * x.shape[x.ndim - 1];
}

template <class T>
inline T* zeroed(T* p, int64_t n) {
  std::memset(p, 0, sizeof(T) * static_cast<size_t>(n));
  return p + n;
}

template <class T>
inline void copy_row(const T* from, T* to, int64_t n) {
  std::memcpy(to, from, sizeof(T) * static_cast<size_t>(n));
}

}  // namespace
}  // namespace pydl::PYDL_ISA
