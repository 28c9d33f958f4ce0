// Attention backward: the weights are computed again, tile by tile, from the scores and each row's log-sum-exp, twice:
// once by blocks of keys, which sum the gradients of keys and values over all queries, once by blocks of queries, which
// sum theirs over all keys. So each number is summed by one warp, in one order. With p the weights, D the sums over g
// y:
//   dv = p^T g      dp = g v^T      ds = p (dp - D)      dq = scale ds k      dk = scale ds^T q
// Source: Dao 2023 (arXiv:2307.08691), algorithm 2.
#include "attention.cuh"

namespace pydl::cuda {
namespace {

constexpr int kTile = 32, kBlocks = kTile / 8;  // columns of a tile of scores
constexpr int kDeltaThreads = 128;

template <class S>
struct Backward : Call {
  Heads<const S> g, q, k, v, y;
  Heads<S> gq, gk, gv;
  const Wide<S>* lse;
  Wide<S>* delta;            // D of each row
  int warps, chunks, chunk;  // columns of the gradients that a block sums, and how many blocks that makes
  int64_t blocks;            // of rows
};

// Shared memory: two kinds of rows, two tiles of two kinds of columns, the warps' own.
template <class S>
struct Room {
  int columns, value_columns, rows, tile, second;  // elements; second: from keys to values, or queries to gradients
  size_t bytes;

  __host__ __device__ Room(const Call& c, int warps)
      : columns(round_up(c.width, 16)),
        value_columns(round_up(c.value_width, 16)),
        rows(warps * kWarpRows * (columns + value_columns + 2 * kRowPad<S>)),
        tile(kTile * (columns + value_columns + 2 * kRowPad<S>)),
        second(columns + kRowPad<S>),
        bytes(sizeof(S) * static_cast<size_t>(rows + 2 * tile) +
              (kHalf<S> ? 0 : sizeof(S) * static_cast<size_t>(warps * kWarpRows * (kTile + 1)))) {}
};

// Where a block works.
struct Item {
  int64_t b, h, row;
  int begin;  // first column of the gradients
};

template <class S>
__device__ __forceinline__ Item item_of(const Backward<S>& c, int64_t heads) {
  int64_t i = blockIdx.x;
  Item x{};
  x.begin = static_cast<int>(i % c.chunks) * c.chunk, i /= c.chunks;
  x.row = i % c.blocks * c.warps * kWarpRows, i /= c.blocks;
  x.h = i % heads, x.b = i / heads;
  return x;
}

__device__ __forceinline__ int within(int left, int most) { return left < 0 ? 0 : left < most ? left : most; }

// Products become weights p, and dp the gradients of the scores; then p is what dropout left of it.
template <bool kKeysDown, class S>
__device__ __forceinline__ void slopes(const Backward<S>& c, const Places<kKeysDown>& at, Wide<S> (&p)[kBlocks][4],
                                       Wide<S> (&dp)[kBlocks][4]) {
  using T = Wide<S>;
  const T by = static_cast<T>(c.kept_scale);
  finish_scores(c, at, p);
  drop(c, at, by, dp);
#pragma unroll
  for (int j = 0; j < kBlocks; ++j)
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int64_t t = at.query(j, r);
      const bool seen = p[j][r] != -infinity<T>();
      const int64_t row = c.row(at.b, at.h, t < c.queries ? t : 0);
      p[j][r] = seen ? weight<S>(p[j][r] - c.lse[row]) : T(0);
      dp[j][r] = seen ? p[j][r] * (dp[j][r] - c.delta[row]) : T(0);
    }
  drop(c, at, by, p);
}

// Calls f(tile, its first row) for tiles of rows begin .. end of two kinds, one on its way while the other is used.
template <class S, class F>
__device__ __forceinline__ void each_tile(const Room<S>& room, S* tiles, const Heads<const S>& a,
                                          const Heads<const S>& b, const Call& c, int64_t index, int64_t head,
                                          int64_t begin, int64_t end, int64_t count, const F& f) {
  const auto bring = [&](int64_t s, S* to) {
    if (s < end) {
      bring_rows(a, a.at(index, head, s), count - s, c.width, kTile, room.columns, to);
      bring_rows(b, b.at(index, head, s), count - s, c.value_width, kTile, room.value_columns,
                 to + kTile * room.second);
    }
    close_copies();
  };
  bring(begin, tiles);
  int now = 0;
  for (int64_t s = begin; s < end; s += kTile, now ^= 1) {
    bring(s + kTile, tiles + (now ^ 1) * room.tile);
    wait_copies<1>();
    __syncthreads();
    f(tiles + now * room.tile, s);
    __syncthreads();  // before the next but one is brought to this place
  }
  wait_copies<0>();
  __syncthreads();
}

template <class S, int kOut>
__global__ void __launch_bounds__(128) keys_kernel(Backward<S> c) {
  using T = Wide<S>;
  const Room<S> room(c, c.warps);
  const Item x = item_of(c, c.heads / c.group);
  const int warp = static_cast<int>(threadIdx.x) / 32, rows = c.warps * kWarpRows;
  S* k = shared_memory<S>();
  S *v = k + rows * room.second, *tiles = k + room.rows;
  T* own = reinterpret_cast<T*>(tiles + 2 * room.tile) + warp * kWarpRows * (kTile + 1);
  bring_rows(c.k, c.k.at(x.b, x.h, x.row), c.keys - x.row, c.width, rows, room.columns, k);
  bring_rows(c.v, c.v.at(x.b, x.h, x.row), c.keys - x.row, c.value_width, rows, room.value_columns, v);
  const S *own_k = k + warp * kWarpRows * room.second,
          *own_v = v + warp * kWarpRows * (room.value_columns + kRowPad<S>);
  const int64_t length = c.length(x.b), first = x.row - c.above, last = x.row + rows + c.below;
  const int64_t begin = first > 0 ? first / kTile * kTile : 0, end = last < c.queries ? last : c.queries;
  const int columns = within(room.columns - x.begin, kOut * 8), others = within(room.value_columns - x.begin, kOut * 8);
  T gk[kOut][4] = {}, gv[kOut][4] = {};
  for (int64_t h = x.h * c.group; x.row < length && h < (x.h + 1) * c.group; ++h)
    each_tile(room, tiles, c.q, c.g, c, x.b, h, begin, end, c.queries, [&](const S* q, int64_t t) {
      const S* g = q + kTile * room.second;
      T p[kBlocks][4] = {}, dp[kBlocks][4] = {};
      dots<S>(own_k, q, room.columns, p);
      dots<S>(own_v, g, room.value_columns, dp);
      slopes(c, Places<true>{x.b, h, x.row + warp * kWarpRows, t, length}, p, dp);
      combine<S>(p, g + x.begin, room.value_columns + kRowPad<S>, others, own, gv);
      combine<S>(dp, q + x.begin, room.second, columns, own, gk);
    });
  wait_copies<0>();
  const int64_t s = x.row + warp * kWarpRows, left = c.keys - s;
  const T scale = static_cast<T>(c.scale), by[2] = {scale, scale}, ones[2] = {1, 1};
  put_rows<S>(gk, by, c.gk.at(x.b, x.h, s) + x.begin, c.gk.row, left, within(c.width - x.begin, c.chunk));
  put_rows<S>(gv, ones, c.gv.at(x.b, x.h, s) + x.begin, c.gv.row, left, within(c.value_width - x.begin, c.chunk));
}

template <class S, int kOut>
__global__ void __launch_bounds__(128) queries_kernel(Backward<S> c) {
  using T = Wide<S>;
  const Room<S> room(c, c.warps);
  const Item x = item_of(c, c.heads);
  const int warp = static_cast<int>(threadIdx.x) / 32, rows = c.warps * kWarpRows;
  S* q = shared_memory<S>();
  S *g = q + rows * room.second, *tiles = q + room.rows;
  T* own = reinterpret_cast<T*>(tiles + 2 * room.tile) + warp * kWarpRows * (kTile + 1);
  bring_rows(c.q, c.q.at(x.b, x.h, x.row), c.queries - x.row, c.width, rows, room.columns, q);
  bring_rows(c.g, c.g.at(x.b, x.h, x.row), c.queries - x.row, c.value_width, rows, room.value_columns, g);
  const S *own_q = q + warp * kWarpRows * room.second,
          *own_g = g + warp * kWarpRows * (room.value_columns + kRowPad<S>);
  const int64_t length = c.length(x.b), first = x.row - c.below, last = x.row + rows + c.above;
  const int64_t begin = first > 0 ? first / kTile * kTile : 0, end = last < length ? last : length;
  T gq[kOut][4] = {};
  each_tile(room, tiles, c.k, c.v, c, x.b, x.h / c.group, begin, end, c.keys, [&](const S* k, int64_t s) {
    T p[kBlocks][4] = {}, dp[kBlocks][4] = {};
    dots<S>(own_q, k, room.columns, p);
    dots<S>(own_g, k + kTile * room.second, room.value_columns, dp);
    slopes(c, Places<false>{x.b, x.h, x.row + warp * kWarpRows, s, length}, p, dp);
    combine<S>(dp, k + x.begin, room.second, within(room.columns - x.begin, kOut * 8), own, gq);
  });
  const int64_t t = x.row + warp * kWarpRows;
  const T scale = static_cast<T>(c.scale), by[2] = {scale, scale};
  put_rows<S>(gq, by, c.gq.at(x.b, x.h, t) + x.begin, c.gq.row, c.queries - t, within(c.width - x.begin, c.chunk));
}

// D of each row, by a warp.
template <class S>
__global__ void __launch_bounds__(kDeltaThreads) delta_kernel(Backward<S> c) {
  using T = Wide<S>;
  const int64_t at = int64_t{blockIdx.x} * (kDeltaThreads / 32) + threadIdx.x / 32;
  if (at >= c.batch * c.heads * c.queries) return;
  const int64_t b = at / c.queries / c.heads, h = at / c.queries % c.heads, t = at % c.queries;
  const S *g = c.g.at(b, h, t), *y = c.y.at(b, h, t);
  T sum = 0;
  for (int e = static_cast<int>(threadIdx.x) % 32; e < c.value_width; e += 32) sum += widened(g[e]) * widened(y[e]);
#pragma unroll
  for (int reach = 16; reach > 0; reach /= 2) sum += __shfl_xor_sync(~0u, sum, reach);
  if (threadIdx.x % 32 == 0) c.delta[at] = sum;
}

// Blocks for so many rows of so many heads.
template <class S>
Grid cut_rows(Backward<S>& c, int64_t rows, int64_t heads, int columns) {
  c.chunk = chunk_of<S>(columns);
  c.chunks = columns > c.chunk ? static_cast<int>(ceil_div(columns, c.chunk)) : 1;
  c.blocks = ceil_div(rows, c.warps * kWarpRows);
  return {static_cast<unsigned>(c.blocks * c.batch * heads * c.chunks), static_cast<unsigned>(c.warps * 32),
          Room<S>(c, c.warps).bytes};
}

template <class S>
void run_backward(Backward<S> c) {
  const int64_t rows = c.batch * c.heads * c.queries, heads = c.heads / c.group;
  c.warps = warps_for(c.queries < c.keys ? c.keys : c.queries, [&](int warps) { return Room<S>(c, warps).bytes; });
  if (c.warps == 0) return missing("the gradient of heads this wide has no CUDA kernel");
  const Scratch room(static_cast<size_t>(rows) * sizeof(Wide<S>));
  c.delta = room.template as<Wide<S>>();
  const auto run = [&](const Grid& grid, auto few, auto many) {
    if (grid.blocks.x > 0) start(c.chunk > 64 ? many : few, grid, c);
  };
  constexpr int kMany = kHalf<S> ? 16 : 8;
  if (rows > 0) start(delta_kernel<S>, {static_cast<unsigned>(ceil_div(rows, kDeltaThreads / 32)), kDeltaThreads}, c);
  run(cut_rows(c, c.keys, heads, c.width < c.value_width ? c.value_width : c.width), keys_kernel<S, 8>,
      keys_kernel<S, kMany>);
  run(cut_rows(c, c.queries, c.heads, c.width), queries_kernel<S, 8>, queries_kernel<S, kMany>);
}

}  // namespace

void attention_grad(AttentionSpec spec, View g, View q, View k, View v, View mask, View lengths, View rng, View y,
                    View lse, View, View gq, View gk, View gv) {
  with_floating(q.dtype, [&](auto zero) {
    using S = decltype(zero);
    Backward<S> c{};
    static_cast<Call&>(c) = call_of(spec, q, k, v, mask, lengths, rng);
    c.g = heads_of<const S>(g), c.q = heads_of<const S>(q), c.k = heads_of<const S>(k), c.v = heads_of<const S>(v);
    c.y = heads_of<const S>(y);
    c.gq = heads_of<S>(gq), c.gk = heads_of<S>(gk), c.gv = heads_of<S>(gv);
    c.lse = lse.as<const Wide<S>>();
    run_backward(c);
  });
}

}  // namespace pydl::cuda
