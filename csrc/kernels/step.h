// The walk of optimizer kernels over lists of arrays: cut into chunks by their sizes alone, dispatched on the dtype of
// each array, loaded and stored by vectors. `step` runs an update rule over everything.
//
// float32 and float64 are computed in their own precision; float16 and bfloat16 parameters in float32, with state of
// their own dtype or of float32.
#pragma once

#include "kernels/optim/rule.h"
#include "runtime/parallel.h"
#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kChunk = 16384;  // elements: several to each thread from some 100 000 parameters on
enum ScratchSlot { kChunkSlot, kPartialSlot };

struct Chunk {
  int64_t span, begin, n;
};

struct Chunks {
  const Chunk* items;
  int64_t count;
  int64_t mean;  // elements per chunk
};

inline Chunks cut(Spans spans) {
  int64_t count = 0, elements = 0;
  for (int64_t s = 0; s < spans.count; ++s) {
    count += (spans.items[s].n + kChunk - 1) / kChunk;
    elements += spans.items[s].n;
  }
  Chunk* chunk = static_cast<Chunk*>(scratch(kChunkSlot, static_cast<size_t>(count + 1) * sizeof(Chunk)));
  const Chunk* items = chunk;
  for (int64_t s = 0; s < spans.count; ++s)
    for (int64_t begin = 0, n = spans.items[s].n; begin < n; begin += kChunk)
      *chunk++ = {s, begin, n - begin < kChunk ? n - begin : kChunk};
  return {items, count, count > 0 ? (elements + count - 1) / count : 0};
}

// Calls f(chunk, its number); `cost` is that of one element.
template <class F>
void for_chunks(Chunks chunks, int64_t cost, const F& f) {
  parallel_for(chunks.count, cost * chunks.mean, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) f(chunks.items[i], i);
  });
}

template <class T>
T* at(Spans spans, const Chunk& chunk) {
  return spans.count > 0 ? static_cast<T*>(spans.items[chunk.span].data) + chunk.begin : nullptr;
}

// A whole vector, or the first n lanes of one.
struct Whole {};
template <class C, class S>
inline Vec<C> get(const S* p, Whole) {
  return load<C>(p);
}
template <class C, class S>
inline Vec<C> get(const S* p, int64_t n) {
  return load<C>(p, n);
}
template <class C, class S>
inline void put(S* p, Vec<C> v, Whole) {
  store(p, v);
}
template <class C, class S>
inline void put(S* p, Vec<C> v, int64_t n) {
  store(p, v, n);
}

template <class C, class F>
inline void for_vectors(int64_t n, const F& f) {
  constexpr int N = Vec<C>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) f(i, Whole{});
  if (i < n) f(i, n - i);
}

// The arrays of state: s[k] is null where the rule's options do not ask for the k-th.
template <class S>
struct Slots {
  S* s[3];
};

// Asks for memory before it is needed: four arrays at once are more than the machine foresees by itself.
constexpr int64_t kAhead = 2048;  // bytes
constexpr int64_t kLongRun =
    4096;  // elements from which on the lines behind the end are few among all that are fetched
template <class T>
inline void fetch_ahead(const T* p) {
  __builtin_prefetch(reinterpret_cast<const char*>(p) + kAhead);
}

// rule(p, d, s) returns the new p (a vector) and changes the vectors of state s in place.
template <class Rule, class P, class S>
void step_chunk(const Rule& rule, const Common& common, P* p, const P* g, Slots<S> slots, int64_t n) {
  using C = Wide<P>;
  using V = Vec<C>;
  const V sign(static_cast<C>(common.sign)), keep(static_cast<C>(common.keep));
  const V decay(static_cast<C>(common.coupled_decay));
  const bool decays = common.coupled_decay != 0, fetches = n >= kLongRun;
  for_vectors<C>(n, [=](int64_t i, auto lanes) {
    if (fetches) {
      fetch_ahead(p + i);
      fetch_ahead(g + i);
      for (int k = 0; k < Rule::kSlots; ++k)
        if (slots.s[k] != nullptr) fetch_ahead(slots.s[k] + i);
    }
    const V old = get<C>(p + i, lanes);
    V d = sign * get<C>(g + i, lanes);
    if (decays) d = fma(decay, old, d);
    V s[3];
    for (int k = 0; k < Rule::kSlots; ++k)
      if (slots.s[k] != nullptr) s[k] = get<C>(slots.s[k] + i, lanes);
    put(p + i, rule(keep * old, d, s), lanes);
    for (int k = 0; k < Rule::kSlots; ++k)
      if (slots.s[k] != nullptr) put(slots.s[k] + i, s[k], lanes);
  });
}

template <class Rule>
void step(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) {
  const Rule rule(hyper.as<double>());
  const Common common(hyper.as<double>());
  for_chunks(cut(p), 2 + Rule::kSlots, [&](const Chunk& c, int64_t) {
    const Spans& state = s0.count > 0 ? s0 : s1.count > 0 ? s1 : s2.count > 0 ? s2 : p;
    with_dtypes(p.items[c.span].dtype, state.items[c.span].dtype, [&](auto parameter, auto kept) {
      using P = decltype(parameter);
      using S = decltype(kept);
      step_chunk(rule, common, at<P>(p, c), at<P>(g, c), Slots<S>{{at<S>(s0, c), at<S>(s1, c), at<S>(s2, c)}}, c.n);
    });
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA
