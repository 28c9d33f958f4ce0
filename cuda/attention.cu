// Attention forward, and what dropout leaves. A block holds up to 64 queries while tiles of keys and values pass
// through shared memory, one on its way while the other is used. Where queries are few, keys are cut into parts by the
// shapes alone, and the parts joined in order. Values wider than a warp's registers are taken by several blocks.
// Source: Dao 2023 (arXiv:2307.08691), algorithm 1; the parts: Dao et al. 2023, Flash-Decoding.
#include "attention.cuh"

namespace pydl::cuda {
namespace {

constexpr int kJoinThreads = 128;
constexpr int64_t kFewBlocks = 128, kLeastPart = 256;

template <class S>
constexpr int kColumns = kHalf<S> ? 64 : 32;  // keys of a tile

template <class S>
struct Forward : Call {
  Heads<const S> q, k, v;
  Heads<S> y;
  Wide<S>* lse;
  int warps, chunks, chunk;  // columns of values that a block takes, and how many blocks that makes
  int64_t blocks;            // of queries
  int64_t parts, part;       // of the keys, and the keys of each
  Wide<S>* own;              // (parts, rows, value_width + 2): of each part the sums, the maximum, the sum of weights
};

// Shared memory: queries; two tiles of keys and values; the warps' own.
template <class S>
struct Room {
  int columns, value_columns, queries, tile;  // the last two in elements
  size_t bytes;

  __host__ __device__ Room(int width, int chunk, int warps)
      : columns(round_up(width, 16)),
        value_columns(round_up(chunk, 16)),
        queries(warps * kWarpRows * (columns + kRowPad<S>)),
        tile(kColumns<S> * (columns + value_columns + 2 * kRowPad<S>)),
        bytes(sizeof(S) * static_cast<size_t>(queries + 2 * tile) +
              (kHalf<S> ? 0 : sizeof(S) * static_cast<size_t>(warps * kWarpRows * (kColumns<S> + 1)))) {}
};

// A row's running maximum and sum of weights; the sum is of the lane's own columns.
template <class T>
struct Running {
  T max[2] = {-infinity<T>(), -infinity<T>()}, sum[2] = {0, 0};
};

// Scores become weights; sums so far shrink with the maximum. Source: Milakov & Gimelshein 2018 (arXiv:1805.02867).
template <class S, int kBlocks, int kOut>
__device__ __forceinline__ void take(Running<Wide<S>>& row, Wide<S> (&s)[kBlocks][4], Wide<S> (&sums)[kOut][4]) {
  using T = Wide<S>;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    T top = row.max[i];
#pragma unroll
    for (int j = 0; j < kBlocks; ++j) top = std::fmax(top, std::fmax(s[j][2 * i], s[j][2 * i + 1]));
    top = of_row(top, [](T a, T b) { return std::fmax(a, b); });
    const T pivot = top == -infinity<T>() ? T(0) : top;
    const T shrink = row.max[i] == top ? T(1) : weight<S>(row.max[i] - pivot);
    row.max[i] = top;
    row.sum[i] *= shrink;
#pragma unroll
    for (int j = 0; j < kBlocks; ++j)
#pragma unroll
      for (int r = 2 * i; r < 2 * i + 2; ++r) row.sum[i] += s[j][r] = weight<S>(s[j][r] - pivot);
#pragma unroll
    for (int j = 0; j < kOut; ++j) sums[j][2 * i] *= shrink, sums[j][2 * i + 1] *= shrink;
  }
}

// What a block works on.
struct Item {
  int64_t b, h, t, part;
  int begin;  // first column of the values
};

template <class S>
__device__ __forceinline__ Item item_of(const Forward<S>& c) {
  int64_t i = blockIdx.x;
  Item x{};
  x.begin = static_cast<int>(i % c.chunks) * c.chunk, i /= c.chunks;
  x.part = i % c.parts, i /= c.parts;
  x.t = i % c.blocks * c.warps * kWarpRows, i /= c.blocks;
  x.h = i % c.heads, x.b = i / c.heads;
  return x;
}

// The sums of a warp's rows to y, or beside those of the other parts.
template <class S, int kOut>
__device__ __forceinline__ void close(const Forward<S>& c, const Item& x, int64_t t, Running<Wide<S>>& row,
                                      Wide<S> (&sums)[kOut][4]) {
  using T = Wide<S>;
  const int64_t left = c.queries - t, step = c.value_width + 2;
  const int64_t own_row = x.part * c.batch * c.heads * c.queries + c.row(x.b, x.h, t);
  const int columns = c.value_width - x.begin < c.chunk ? c.value_width - x.begin : c.chunk;
  const bool first = threadIdx.x % 4 == 0 && x.begin == 0;
  T by[2];
  for (int i = 0; i < 2; ++i) {
    const T total = of_row(row.sum[i], [](T a, T b) { return a + b; });
    const int64_t r = threadIdx.x % 32 / 4 + 8 * i;
    by[i] = c.own ? T(1) : total == T(0) ? T(0) : static_cast<T>(c.kept_scale) / total;
    if (!first || r >= left) continue;
    if (c.own) {
      T* to = c.own + (own_row + r) * step + c.value_width;
      to[0] = row.max[i], to[1] = total;
    } else {
      c.lse[c.row(x.b, x.h, t + r)] = total == T(0) ? infinity<T>() : row.max[i] + std::log(total);
    }
  }
  if (c.own)
    put_rows<T>(sums, by, c.own + own_row * step + x.begin, step, left, columns);
  else
    put_rows<S>(sums, by, c.y.at(x.b, x.h, t) + x.begin, c.y.row, left, columns);
}

template <class S, int kOut>
__global__ void __launch_bounds__(128) attention_kernel(Forward<S> c) {
  using T = Wide<S>;
  constexpr int kTile = kColumns<S>, kBlocks = kTile / 8;
  const Room<S> room(c.width, c.chunk, c.warps);
  const Item x = item_of(c);
  const int warp = static_cast<int>(threadIdx.x) / 32, rows = c.warps * kWarpRows;
  S* q = shared_memory<S>();
  S* tiles = q + room.queries;
  T* own = reinterpret_cast<T*>(tiles + 2 * room.tile) + warp * kWarpRows * (kTile + 1);
  const int values = kTile * (room.columns + kRowPad<S>);  // behind the keys of a tile
  const int64_t kv = x.h / c.group, length = c.length(x.b), first = x.t - c.below, last = x.t + rows + c.above;
  int64_t begin = x.part * c.part, end = begin + c.part;
  begin = first > begin ? first / kTile * kTile : begin;
  end = end < length ? end : length;
  end = last < end ? last : end;
  const auto bring = [&](int64_t s, S* to) {
    if (s < end) {
      bring_rows(c.k, c.k.at(x.b, kv, s), c.keys - s, c.width, kTile, room.columns, to);
      bring_rows(c.v, c.v.at(x.b, kv, s) + x.begin, c.keys - s, c.value_width - x.begin, kTile, room.value_columns,
                 to + values);
    }
    close_copies();
  };
  bring_rows(c.q, c.q.at(x.b, x.h, x.t), c.queries - x.t, c.width, rows, room.columns, q);
  bring(begin, tiles);
  Running<T> row;
  T sums[kOut][4] = {};
  int now = 0;
  for (int64_t s = begin; s < end; s += kTile, now ^= 1) {
    bring(s + kTile, tiles + (now ^ 1) * room.tile);
    wait_copies<1>();
    __syncthreads();
    const S* k = tiles + now * room.tile;
    T w[kBlocks][4] = {};
    const Places<false> at{x.b, x.h, x.t + warp * kWarpRows, s, length};
    dots<S>(q + warp * kWarpRows * (room.columns + kRowPad<S>), k, room.columns, w);
    finish_scores(c, at, w);
    take<S>(row, w, sums);
    drop(c, at, T(1), w);
    combine<S>(w, k + values, room.value_columns + kRowPad<S>, room.value_columns, own, sums);
    __syncthreads();  // before the next but one is brought to this place
  }
  wait_copies<0>();
  close(c, x, x.t + warp * kWarpRows, row, sums);
}

// y and lse of each row from its parts, in order. A warp takes a row.
template <class S>
__global__ void __launch_bounds__(kJoinThreads) join_kernel(Forward<S> c) {
  using T = Wide<S>;
  const int64_t rows = c.batch * c.heads * c.queries, step = c.value_width + 2;
  const int64_t at = int64_t{blockIdx.x} * (kJoinThreads / 32) + threadIdx.x / 32;
  if (at >= rows) return;
  const auto part = [&](int64_t i) { return c.own + (i * rows + at) * step; };
  T top = -infinity<T>(), total = 0;
  for (int64_t i = 0; i < c.parts; ++i) top = std::fmax(top, part(i)[c.value_width]);
  const T pivot = top == -infinity<T>() ? T(0) : top;
  for (int64_t i = 0; i < c.parts; ++i) total += part(i)[c.value_width + 1] * weight<S>(part(i)[c.value_width] - pivot);
  const T by = total == T(0) ? T(0) : static_cast<T>(c.kept_scale) / total;
  S* y = c.y.at(at / c.queries / c.heads, at / c.queries % c.heads, at % c.queries);
  for (int e = static_cast<int>(threadIdx.x) % 32; e < c.value_width; e += 32) {
    T sum = 0;
    for (int64_t i = 0; i < c.parts; ++i) sum += part(i)[e] * weight<S>(part(i)[c.value_width] - pivot);
    y[e] = narrowed<S>(sum * by);
  }
  if (threadIdx.x % 32 == 0) c.lse[at] = total == T(0) ? infinity<T>() : top + std::log(total);
}

// Few blocks and many keys: parts that are whole tiles.
template <class S>
void cut_keys(Forward<S>& c) {
  const int64_t blocks = c.blocks * c.batch * c.heads * c.chunks, most = c.keys / kLeastPart;
  const int64_t wanted = kFewBlocks / blocks, parts = wanted < most ? wanted : most;
  c.parts = 1, c.part = c.keys;
  if (parts < 2) return;
  c.part = ceil_div(ceil_div(c.keys, parts), kColumns<S>) * kColumns<S>;
  c.parts = ceil_div(c.keys, c.part);
}

template <class S>
void run_forward(Forward<S> c) {
  c.chunk = chunk_of<S>(c.value_width);
  c.chunks = c.value_width > c.chunk ? static_cast<int>(ceil_div(c.value_width, c.chunk)) : 1;
  c.warps = warps_for(c.queries, [&](int warps) { return Room<S>(c.width, c.chunk, warps).bytes; });
  if (c.warps == 0) return missing("heads this wide have no CUDA kernel");
  c.blocks = ceil_div(c.queries, c.warps * kWarpRows);
  cut_keys(c);
  const int64_t rows = c.batch * c.heads * c.queries;
  const Scratch room(c.parts > 1 ? static_cast<size_t>(c.parts * rows * (c.value_width + 2)) * sizeof(Wide<S>) : 0);
  c.own = room.template as<Wide<S>>();
  const Grid grid{static_cast<unsigned>(c.blocks * c.batch * c.heads * c.chunks * c.parts),
                  static_cast<unsigned>(c.warps * 32), Room<S>(c.width, c.chunk, c.warps).bytes};
  if constexpr (kHalf<S>) {
    c.chunk > 64 ? start(attention_kernel<S, 16>, grid, c) : start(attention_kernel<S, 8>, grid, c);
  } else {
    start(attention_kernel<S, 8>, grid, c);
  }
  if (c.parts > 1) start(join_kernel<S>, {static_cast<unsigned>(ceil_div(rows, kJoinThreads / 32)), kJoinThreads}, c);
}

__global__ void __launch_bounds__(256)
    kept_kernel(philox::Chance dropped, const uint64_t* rng, int64_t keys, int64_t n, bool* to) {
  for (int64_t i = int64_t{blockIdx.x} * 256 + threadIdx.x; i < n; i += int64_t{gridDim.x} * 256)
    to[i] = !dropped.some || kept(dropped, rng, i / keys, i % keys, keys);
}

}  // namespace

void attention(AttentionSpec spec, View q, View k, View v, View mask, View lengths, View rng, View y, View lse) {
  if (lse.numel() == 0) return;
  with_floating(q.dtype, [&](auto zero) {
    using S = decltype(zero);
    Forward<S> c{};
    static_cast<Call&>(c) = call_of(spec, q, k, v, mask, lengths, rng);
    c.q = heads_of<const S>(q), c.k = heads_of<const S>(k), c.v = heads_of<const S>(v), c.y = heads_of<S>(y);
    c.lse = lse.as<Wide<S>>();
    run_forward(c);
  });
}

void attention_kept(double p, View rng, View kept) {
  if (kept.numel() == 0) return;
  const Call c = call_of({1, 0, 0, p}, kept, kept, kept, View{}, View{}, rng);
  start(kept_kernel, {blocks_for(kept.numel(), 256), 256}, c.dropped, c.rng, kept.shape[3], kept.numel(),
        kept.as<bool>());
}

}  // namespace pydl::cuda
