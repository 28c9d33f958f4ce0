#include "runtime/fused.h"

#include <algorithm>
#include <cstring>

#include "runtime/parallel.h"
#include "simd/past.h"

namespace pydl {
namespace {

constexpr int kSlot = 7;                    // of the thread's scratch memory; no elementwise kernel takes any
constexpr int64_t kBlockWork = 1 << 17;     // of one thread at a time
constexpr int64_t kParallelWork = 1 << 18;  // as in parallel_for

// Sets the views of a call to `steps` indices of an axis, from `index` on, with all of the axes inside it.
void set_views(const Fused::Stage& s, char* buffers, char* call, int axis, int64_t index, int64_t steps, int64_t done) {
  for (int k = 0; k < s.count; ++k) {
    const Fused::Operand& o = s.operand[k];
    int64_t offset = 0, rest = index;
    for (int a = axis; a >= 0; --a) {
      offset += (a ? rest % s.shape[a] : rest) * o.strides[a];
      rest /= s.shape[a];
    }
    View& v = *reinterpret_cast<View*>(call + o.place);
    v.data = o.slot < 0 ? static_cast<char*>(o.data) + offset * o.size : buffers + o.slot + done * o.size;
    v.ndim = s.ndim - axis;
    for (int a = axis; a < s.ndim; ++a) {
      v.shape[a - axis] = s.shape[a];
      v.strides[a - axis] = o.strides[a];
    }
    v.shape[0] = steps;
    if (s.reduces && k == s.count - 1) v.shape[v.ndim - 1] = 1;
  }
}

// The elements from first to last, as blocks that a view can show.
void run_stage(const Fused::Stage& s, char* buffers, char* call, int64_t first, int64_t last) {
  for (int64_t at = first; at < last;) {
    int axis = 0;
    while (axis + 1 < s.ndim && (at % s.inner[axis] != 0 || last - at < s.inner[axis])) ++axis;
    const int64_t index = at / s.inner[axis], n = s.shape[axis];
    const int64_t steps = std::min((last - at) / s.inner[axis], n - index % n);
    set_views(s, buffers, call, axis, index, steps, at - first);
    s.run(call);
    at += steps * s.inner[axis];
  }
}

// The partial results as a tree, in the order of the reduction's kernel.
template <class T>
void add_up(const Fused::Total& total) {
  T* parts = static_cast<T*>(total.parts);
  for (int64_t step = 1; step < total.count; step *= 2)
    for (int64_t i = 0; i + step < total.count; i += 2 * step) parts[i] += parts[i + step];
  *static_cast<T*>(total.sum) = parts[0];
}

void run_all(const Fused& chain) {
  const int64_t tiles = (chain.n + chain.tile - 1) / chain.tile;
  if (chain.n * chain.work < kParallelWork) return chain.run_tiles(0, tiles);
  const int64_t grain = std::max<int64_t>(1, kBlockWork / (chain.tile * chain.work));
  parallel_run(
      tiles, grain,
      [](const void* self, int64_t begin, int64_t end) { static_cast<const Fused*>(self)->run_tiles(begin, end); },
      &chain);
}

}  // namespace

void Fused::run() const {
  run_all(*this);
  for (const Total* t = totals; t < totals + total_count; ++t)
    t->dtype == Dtype::f32 ? add_up<float>(*t) : add_up<double>(*t);
}

void Fused::run_tiles(int64_t begin, int64_t end) const {
  char* memory = static_cast<char*>(scratch(kSlot, buffers + calls));
  char* copies = memory + buffers;
  for (int s = 0; s < count; ++s) std::memcpy(copies + stages[s].at, stages[s].call, stages[s].bytes);
  for (int64_t t = begin; t < end; ++t) {
    const int64_t first = t * tile, last = std::min(n, first + tile);
    for (int s = 0; s < count; ++s) run_stage(stages[s], memory, copies + stages[s].at, first, last);
    for (const Result* r = results; r < results + result_count; ++r)
      copy_past(static_cast<char*>(r->data) + first * r->size, memory + r->slot,
                static_cast<size_t>((last - first) * r->size));
  }
  if (result_count) past_fence();
}

}  // namespace pydl
