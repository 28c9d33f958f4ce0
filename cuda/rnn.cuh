// What the walks of recurrent layers forward (rnn.cu) and back (rnn_grad.cu) share.
//
// One kernel walks over all steps. Its blocks run at the same time, each with a slice of the weight in shared memory:
// some units with all their gates. The rows of the batch are dealt to teams of blocks; a team has the whole weight, and
// its blocks wait for each other, and for no others, until what one step wrote is there for the next. More teams have
// larger slices and fewer rows to read at each step. Weights that are too large for that, and batches that need no
// such care, take a product and a launch for the gates at each step.
#pragma once

#include "device.cuh"
#include "kernels/rnn/cells.h"
#include "kernels/rnn/walk.h"
#include "mma.cuh"
#include "runtime/table/gemm.h"
#include "runtime/table/rnn.h"

namespace pydl::cuda {

void gemm(View a, View b, View add, View bias, double alpha, double beta, Activation activation, View c);

constexpr int kStepThreads = 256;  // of what is launched at each step
constexpr int kTeamThreads = 256;
constexpr int kOwn = 4;             // a thread sums kOwn x kOwn products
constexpr int kMostChunk = 32;      // rows that are multiplied at a time
constexpr int kMostParts = 32;      // of the depth of a product
constexpr int64_t kMostRows = 128;  // of a team: from there on the products of whole steps are as good
constexpr int kSizesAtOnce = 448;
constexpr int kApart = 32;  // between the counters of two teams: they lie in different lines of the cache

__host__ __device__ constexpr int padded(int64_t n) { return static_cast<int>((n + kOwn - 1) / kOwn * kOwn); }

// A weight (groups units, depth) that rows are multiplied by: where its elements lie.
template <class T>
struct Factor {
  const T* from;
  int groups;
  int64_t units, depth, unit_step, group_step, depth_step;
};

// How the blocks share the work. Index 0: of the weight; 1: of the second, if there is one.
struct Plan {
  int teams, blocks, rows, chunk;               // blocks and rows of a team
  int units[2];                                 // of a block
  int columns[2], depth[2];                     // of a block's slice, padded
  int slices[2], row_step, chunk_at, parts_at;  // where they begin in shared memory, in elements
  size_t shared;
};

// What every walk knows.
template <class T>
struct Walk {
  Cell cell;
  Steps steps;
  int64_t h, p, wide;
  const T *h0, *c0;
  T *gates, *cells, *inner, *y;
  // As they are multiplied. second: of the lstm's projection, or of the state that r has scaled (gru_before: its weight
  // is that of r and z alone); others: of nothing.
  Factor<T> weight, second;
  bool vector;  // rows can be copied 16 bytes at a time
  Plan plan;
  unsigned* arrived;  // for each team, how often its blocks have met

  __host__ __device__ __forceinline__ bool resets() const { return cell == Cell::gru_before; }
  __host__ __device__ __forceinline__ bool twice() const { return second.from != nullptr; }
  __host__ __device__ __forceinline__ bool projects() const { return twice() && !resets(); }
  // Of a state with `width` units, the one before a step: its rows that have one were there in the step `earlier`.
  __device__ __forceinline__ T before(const T* states, const T* initial, int64_t width, const Step& earlier, int64_t r,
                                      int64_t u) const {
    if (r < earlier.rows) return states[(earlier.at + r) * width + u];
    return initial ? initial[r * width + u] : T(0);
  }
};

// ---- in a block

// Row k of a slice is stored here, so that threads which are a few rows apart read other banks.
__device__ __forceinline__ int slice_row(int k) { return (k & ~3) | ((k ^ (k >> 2)) & 3); }

// Units [first, first + units) of all groups, as [depth][group * units + unit], zeros where it is padded.
template <class T>
__device__ __forceinline__ void load_slice(const Factor<T>& f, int64_t first, int units, int depth, int columns,
                                           T* to) {
  constexpr int kRun = 8;  // neighbours along the depth that neighbouring threads read, where they lie side by side
  const int run = f.depth_step == 1 ? kRun : 1;
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < (depth + run - 1) / run * run * columns; at += kTeamThreads) {
    const int c = at / run % columns, k = at / (run * columns) * run + at % run, g = c / units;
    const int64_t u = first + c % units;
    if (k >= depth) continue;
    const bool there = k < f.depth && g < f.groups && u < f.units;
    to[slice_row(k) * columns + c] = there ? f.from[u * f.unit_step + g * f.group_step + k * f.depth_step] : T(0);
  }
}

// Rows of what earlier steps wrote, to shared memory; row_at(r): where row r begins, or null for zeros. What is behind
// `depth` up to a multiple of kOwn becomes zero.
template <class T, class RowAt>
__device__ __forceinline__ void bring_rows(T* to, int step, int rows, int64_t depth, bool vector, const RowAt& row_at) {
  constexpr int kRun = 16 / sizeof(T);
  if (vector) {
    const int across = static_cast<int>(depth) / kRun;
#pragma unroll 4
    for (int at = static_cast<int>(threadIdx.x); at < rows * across; at += kTeamThreads) {
      const int r = at / across, k = at % across * kRun;
      const T* row = row_at(r);
      if (row) {
        copy_async(to + r * step + k, row + k, 16);
      } else {
#pragma unroll
        for (int i = 0; i < kRun; ++i) to[r * step + k + i] = T(0);
      }
    }
    close_copies();
    wait_copies<0>();
  } else {
    const int across = padded(depth);
#pragma unroll 1
    for (int at = static_cast<int>(threadIdx.x); at < rows * across; at += kTeamThreads) {
      const int r = at / across, k = at % across;
      const T* row = row_at(r);
      to[r * step + k] = row && k < depth ? __ldcg(row + k) : T(0);
    }
  }
  __syncthreads();
}

template <class T>
__device__ __forceinline__ void load_four(const T* from, T (&to)[kOwn]) {
  constexpr int kRun = 16 / sizeof(T);
  struct alignas(16) Run {
    T x[kRun];
  };
#pragma unroll
  for (int c = 0; c < kOwn / kRun; ++c) {
    const Run all = reinterpret_cast<const Run*>(from)[c];
#pragma unroll
    for (int i = 0; i < kRun; ++i) to[c * kRun + i] = all.x[i];
  }
}

// How the sums of a chunk are shared among the threads of a block: each has a tile, over a part of the depth.
struct Tiles {
  int across, tiles, parts, columns, padded_rows;

  __host__ __device__ Tiles(int rows, int columns)
      : across(columns / kOwn),
        tiles(padded(rows) / kOwn * (columns / kOwn)),
        parts(kTeamThreads / tiles < 1            ? 1
              : kTeamThreads / tiles < kMostParts ? kTeamThreads / tiles
                                                  : kMostParts),
        columns(columns),
        padded_rows(padded(rows)) {}
  __host__ __device__ int room() const { return parts * padded_rows * columns; }

  // The parts of a sum, in order.
  template <class T>
  __device__ __forceinline__ T sum(const T* from, int r, int c) const {
    T all = 0;
    for (int part = 0; part < parts; ++part) all += from[(part * padded_rows + r) * columns + c];
    return all;
  }
};

// Parts of the products of rows with a slice. Parts of the depth are dealt in fours, in turns.
template <class T>
__device__ __forceinline__ void multiply_rows(const T* rows, int step, const T* slice, int depth, const Tiles& t,
                                              T* to) {
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < t.tiles * t.parts; at += kTeamThreads) {
    const int tile = at % t.tiles, part = at / t.tiles, r = tile / t.across * kOwn, c = tile % t.across * kOwn;
    T sums[kOwn][kOwn] = {};
#pragma unroll 2
    for (int k = part * kOwn; k < depth; k += t.parts * kOwn) {
      T left[kOwn][kOwn], right[kOwn][kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        load_four(rows + (r + i) * step + k, left[i]);
        load_four(slice + slice_row(k + i) * t.columns + c, right[i]);
      }
#pragma unroll
      for (int d = 0; d < kOwn; ++d)
#pragma unroll
        for (int i = 0; i < kOwn; ++i)
#pragma unroll
          for (int j = 0; j < kOwn; ++j) sums[i][j] += left[i][d] * right[d][j];
    }
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
#pragma unroll
      for (int j = 0; j < kOwn; ++j) to[(part * t.padded_rows + r + i) * t.columns + c + j] = sums[i][j];
  }
  __syncthreads();
}

// Until all blocks of a team have come here; then they see what the others wrote before.
__device__ __forceinline__ void meet(unsigned* arrived, unsigned all) {
  __syncthreads();
  if (threadIdx.x == 0) {
#ifdef __CUDACC__
    __threadfence();
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
    unsigned now;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(arrived) : "memory");
    } while (now < all);
    __threadfence();
#else
    atomicAdd(arrived, 1u);
    emulator::wait_for(arrived, all);
#endif
  }
  __syncthreads();
}

// A block on its walk: which rows and units are its own, and its shared memory.
template <class T>
struct Member {
  const Walk<T>& w;
  T* const shared;
  const int64_t first_row;
  unsigned met = 0;

  __device__ __forceinline__ explicit Member(const Walk<T>& walk)
      : w(walk), shared(shared_memory<T>()), first_row(int64_t{blockIdx.y} * walk.plan.rows) {
    load(0, w.weight);
    if (w.twice()) load(1, w.second);
    __syncthreads();
  }
  __device__ __forceinline__ int64_t first_unit(int which) const { return int64_t{blockIdx.x} * w.plan.units[which]; }
  // Rows of a step that are the team's.
  __device__ __forceinline__ int rows(const Step& s) const {
    const int64_t n = s.rows - first_row;
    return static_cast<int>(n < 0 ? 0 : n < w.plan.rows ? n : w.plan.rows);
  }
  __device__ __forceinline__ void wait() {
    met += gridDim.x;
    meet(w.arrived + blockIdx.y * kApart, met);
  }

  // For each chunk of `all` rows: products of those below `rows` with a slice, then f(row, unit, sums of its groups;
  // zeros where there is no product) for each row and unit.
  template <int kGroups, class RowAt, class F>
  __device__ __forceinline__ void each(int which, int rows, int all, const RowAt& row_at, const F& f) const {
    const Plan& plan = w.plan;
    const Factor<T>& factor = which ? w.second : w.weight;
    const int units = plan.units[which];
    T *chunk = shared + plan.chunk_at, *parts = shared + plan.parts_at;
#pragma unroll 1
    for (int begin = 0; begin < all; begin += plan.chunk) {
      const int left = rows - begin, here = left < plan.chunk ? left : plan.chunk;
      const int those = all - begin < plan.chunk ? all - begin : plan.chunk;
      const Tiles tiles(here > 0 ? here : 1, plan.columns[which]);
      if (here > 0) {
        bring_rows(chunk, plan.row_step, here, factor.depth, w.vector,
                   [&](int r) { return row_at(first_row + begin + r); });
        multiply_rows(chunk, plan.row_step, shared + plan.slices[which], plan.depth[which], tiles, parts);
      }
#pragma unroll 1
      for (int at = static_cast<int>(threadIdx.x); at < those * units; at += kTeamThreads) {
        const int r = at / units, j = at % units;
        const int64_t u = first_unit(which) + j;
        if (u >= factor.units) continue;
        T sums[kGroups] = {};
        if (r < here) {
#pragma unroll
          for (int g = 0; g < kGroups; ++g)
            if (g < factor.groups) sums[g] = tiles.sum(parts, r, g * units + j);
        }
        f(first_row + begin + r, u, sums);
      }
      __syncthreads();
    }
  }

 private:
  __device__ __forceinline__ void load(int which, const Factor<T>& f) const {
    load_slice(f, first_unit(which), w.plan.units[which], w.plan.depth[which], w.plan.columns[which],
               shared + w.plan.slices[which]);
  }
};

// ---- on the host

// How `blocks` blocks share a factor; returns where the next slice begins in shared memory.
template <class T>
int64_t cut_slices(Plan& p, int which, const Factor<T>& f, int64_t blocks, int64_t at) {
  p.units[which] = static_cast<int>(ceil_div(f.units, blocks));
  p.columns[which] = padded(int64_t{f.groups} * p.units[which]);
  p.depth[which] = padded(f.depth);
  p.slices[which] = static_cast<int>(at);
  const int needed = static_cast<int>(ceil_div(f.units, p.units[which]));
  p.blocks = needed > p.blocks ? needed : p.blocks;
  p.row_step = p.depth[which] + kOwn > p.row_step ? p.depth[which] + kOwn : p.row_step;
  return at + int64_t{p.columns[which]} * p.depth[which];
}

// The largest chunk of rows that fits behind `at` elements of shared memory; whether there is one.
template <class T>
bool fit_chunk(Plan& p, int64_t at) {
  const int least = p.rows < 8 ? p.rows : 8;
  for (p.chunk = p.rows < kMostChunk ? p.rows : kMostChunk; p.chunk >= least; p.chunk -= kOwn) {
    const int64_t parts_at = at + int64_t{p.chunk} * p.row_step;
    int room = 0;
    for (const int columns : p.columns)
      for (int r = kOwn; columns && r <= p.chunk; r += kOwn) {
        const int needed = Tiles(r, columns).room();
        room = room < needed ? needed : room;
      }
    p.chunk_at = static_cast<int>(at), p.parts_at = static_cast<int>(parts_at);
    p.shared = static_cast<size_t>(parts_at + room) * sizeof(T);
    if (p.shared <= shared_limit()) return true;
  }
  return false;
}

// The plan with the most teams whose slices fit into shared memory. Without teams: there is none.
template <class T>
Plan plan_of(const Factor<T>& weight, const Factor<T>& second, int64_t rows) {
  const int64_t most = multiprocessors(), wanted = ceil_div(rows, kOwn);
  for (int64_t teams = wanted < most ? wanted : most; teams > 0; --teams) {
    Plan p{};
    p.rows = padded(ceil_div(rows, teams));
    if (p.rows > kMostRows) break;
    p.teams = static_cast<int>(ceil_div(rows, p.rows));
    int64_t at = cut_slices(p, 0, weight, most / p.teams, 0);
    if (second.from) at = cut_slices(p, 1, second, most / p.teams, at);
    if (fit_chunk<T>(p, at)) return p;
  }
  return {};
}

// Sizes of steps on the device, by arguments of kernels: what they point to on the host may be gone when they run.
struct SomeSizes {
  int64_t first;
  int count;
  int64_t rows[kSizesAtOnce];
};
__global__ void sizes_kernel(SomeSizes from, int64_t* to);

// Where a walk keeps what it needs besides its arrays.
class Room {
 public:
  Room(const Steps& steps, const Plan& plan)
      : room_(counters_bytes(plan) + (even(steps) ? 0 : static_cast<size_t>(steps.count) * sizeof(int64_t))) {
    note(cudaMemsetAsync(room_.as<char>(), 0, counters_bytes(plan), stream()));
    if (even(steps)) return;
    sizes_ = reinterpret_cast<int64_t*>(room_.as<char>() + counters_bytes(plan));
    for (int64_t t = 0; t < steps.count; t += kSizesAtOnce) {
      SomeSizes some{t, static_cast<int>(steps.count - t < kSizesAtOnce ? steps.count - t : kSizesAtOnce), {}};
      for (int i = 0; i < some.count; ++i) some.rows[i] = steps.sizes[t + i];
      start(sizes_kernel, {1, kTeamThreads}, some, sizes_);
    }
  }
  const int64_t* sizes() const { return sizes_; }
  unsigned* counters() const { return room_.as<unsigned>(); }

 private:
  static size_t counters_bytes(const Plan& plan) { return static_cast<size_t>(plan.teams) * kApart * sizeof(unsigned); }
  static bool even(const Steps& steps) { return steps.sizes[steps.count - 1] == steps.most; }

  Scratch room_;
  int64_t* sizes_ = nullptr;
};

inline Grid grid_of(const Plan& plan) {
  return {dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(plan.teams)), kTeamThreads, plan.shared};
}

template <class T>
Walk<T> walk_of(const RecurrentSpec& spec, const RecurrentState& x) {
  Walk<T> w{};
  w.cell = spec.cell;
  w.steps = steps_of(x.sizes, x.y, spec.reverse);
  w.wide = x.weight.shape[0], w.p = x.weight.shape[1], w.h = w.wide / gates_of(spec.cell);
  w.h0 = x.h0.as<const T>(), w.c0 = x.c0.as<const T>();
  w.gates = x.gates.as<T>(), w.cells = x.cells.as<T>(), w.inner = x.inner.as<T>(), w.y = x.y.as<T>();
  return w;
}

template <class T>
View matrix_of(const T* data, int64_t rows, int64_t columns, int64_t row_step, int64_t column_step) {
  View v;
  v.data = const_cast<T*>(data);
  v.ndim = 2, v.dtype = std::is_same_v<T, double> ? Dtype::f64 : Dtype::f32;
  v.shape[0] = rows, v.shape[1] = columns, v.strides[0] = row_step, v.strides[1] = column_step;
  return v;
}

// to (rows, groups units) = rows (rows, depth) by a factor, for walks without teams.
template <class T>
void product(const T* from, int64_t width, int64_t rows, const Factor<T>& f, T* to) {
  const int64_t all = f.groups * f.units;
  gemm(matrix_of(from, rows, f.depth, width, 1), matrix_of(f.from, f.depth, all, f.depth_step, f.unit_step), View{},
       View{}, 1.0, 0.0, Activation::none, matrix_of(to, rows, all, all, 1));
}

// Whether rows of an array can be copied 16 bytes at a time, padded rows too.
inline bool in_sixteens(const void* data, int64_t width) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && width % kOwn == 0;
}

}  // namespace pydl::cuda
