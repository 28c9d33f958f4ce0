// What many sources give to one destination, in the order of the sources: each destination has a list of them, linked
// by atomic exchanges in any order and then sorted by its own thread. Sums over a list are the same on every run.
#pragma once

#include "device.cuh"

namespace pydl::cuda {

constexpr int kListThreads = 256;

// Source e of group g goes to destination place[g, e] in [0, n), or nowhere if that is negative.
struct Lists {
  int64_t groups, sources, n;
  const int32_t* place;  // (groups, sources)
  int32_t* first;        // (groups, n): the first of each list; -1: none
  int32_t* next;         // (groups, sources)

  static size_t bytes(int64_t groups, int64_t sources, int64_t n) {
    return static_cast<size_t>(groups * (sources + n)) * sizeof(int32_t);
  }
  // memory: of `bytes`
  Lists(int64_t g, int64_t s, int64_t count, const int32_t* places, int32_t* memory)
      : groups(g), sources(s), n(count), place(places), first(memory), next(memory + g * count) {}
};

// The list from `head` on in ascending order, by merging runs of 1, 2, 4 ... links.
// Source: Knuth, The Art of Computer Programming 3, 5.2.4 L, bottom up.
__device__ __forceinline__ int32_t sorted_list(int32_t head, int32_t* next) {
  if (head < 0 || next[head] < 0) return head;
  for (int64_t run = 1;; run *= 2) {
    int32_t rest = head, last = -1;
    int64_t merges = 0;
    for (head = -1; rest >= 0; ++merges) {
      int32_t a = rest, b = rest;
      int64_t a_left = 0, b_left = run;
      for (; a_left < run && b >= 0; ++a_left) b = next[b];
      while (a_left > 0 || (b_left > 0 && b >= 0)) {
        const bool left = a_left > 0 && (b_left == 0 || b < 0 || a < b);
        const int32_t least = left ? a : b;
        if (left) {
          a = next[a];
          --a_left;
        } else {
          b = next[b];
          --b_left;
        }
        if (last < 0)
          head = least;
        else
          next[last] = least;
        last = least;
      }
      rest = b;
    }
    next[last] = -1;
    if (merges <= 1) return head;
  }
}

namespace {

__global__ void __launch_bounds__(kListThreads) clear_lists(Lists l) {
  const int64_t count = l.groups * l.n, step = int64_t{gridDim.x} * kListThreads;
  for (int64_t i = int64_t{blockIdx.x} * kListThreads + threadIdx.x; i < count; i += step) l.first[i] = -1;
}

__global__ void __launch_bounds__(kListThreads) link_lists(Lists l) {
  const int64_t count = l.groups * l.sources, step = int64_t{gridDim.x} * kListThreads;
  for (int64_t i = int64_t{blockIdx.x} * kListThreads + threadIdx.x; i < count; i += step) {
    const int32_t at = l.place[i];
    const int64_t group = i / l.sources;
    if (at >= 0) l.next[i] = atomicExch(l.first + group * l.n + at, static_cast<int32_t>(i - group * l.sources));
  }
}

// The lists of all destinations; each is still to be sorted.
inline void make_lists(const Lists& l) {
  start(clear_lists, {blocks_for(l.groups * l.n, kListThreads), kListThreads}, l);
  start(link_lists, {blocks_for(l.groups * l.sources, kListThreads), kListThreads}, l);
}

}  // namespace
}  // namespace pydl::cuda
