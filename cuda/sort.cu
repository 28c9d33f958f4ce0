// Sorted rows, the best k of them, and the order of whole slices. Tiles of a row are sorted in shared memory by a
// bitonic network (Batcher 1968); runs of tiles are merged by rank: an element's place is its own plus how many of the
// other run come before it. The best few of many are selected first (of few rows by several
// blocks each), then sorted.
#include "sort.cuh"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256, kTile = 1024;
constexpr int64_t kAtOnce = int64_t{1} << 26;  // entries that are sorted together: a gigabyte, twice

// Rows of n entries to sort: those of `from`, or where that is null all elements of rows of x. The first k of each go
// to y and at.
template <class K>
struct Job {
  Keys<K> x;
  int64_t rows, n, length, k;  // length: of a row of x
  K flip;                      // 0, or all ones to descend
  const Entry<K>* from;
  void* y;
  int64_t* at;
  int size;  // bytes of an element

  __device__ __forceinline__ void emit(int64_t row, int64_t i, const Entry<K>& e) const {
    if (i >= k) return;
    at[row * k + i] = e.place;
    copy_element(y, row * k + i, x.data, row * length + e.place, size);
  }
};

// Sorts segments of `length` (a power of two) of the tile.
template <class K>
__device__ __forceinline__ void sort_tile(Entry<K>* tile, int length) {
  for (int run = 2; run <= length; run *= 2)
    for (int gap = run / 2; gap > 0; gap /= 2) {
      for (int pair = static_cast<int>(threadIdx.x); pair < kTile / 2; pair += kThreads) {
        const int low = pair / gap * 2 * gap + pair % gap, high = low + gap;
        const bool up = (low & (length - 1) & run) == 0;
        const Entry<K> a = tile[low], b = tile[high];
        if ((b < a) == up) {
          tile[low] = b;
          tile[high] = a;
        }
      }
      __syncthreads();
    }
}

// length < kTile: whole rows of up to that length, several to a tile; else tiles of long rows, written to `sorted`.
template <class K>
__global__ void __launch_bounds__(kThreads) tile_kernel(Job<K> job, int length, int64_t per_row, Entry<K>* sorted) {
  __shared__ Entry<K> tile[kTile];
  const int64_t segments = job.rows * per_row, in_tile = kTile / length;
  for (int64_t first = blockIdx.x * in_tile; first < segments; first += gridDim.x * in_tile) {
    __syncthreads();  // the last tile may still be read
    for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kThreads) {
      const int64_t segment = first + i / length, row = segment / per_row;
      const int64_t at = (segment - row * per_row) * length + i % length;
      Entry<K> e{kNanKey<K>, ~0u};
      if (segment < segments && at < job.n)
        e = job.from ? job.from[row * job.n + at]
                     : Entry<K>{static_cast<K>(job.x[row * job.length + at] ^ job.flip), static_cast<uint32_t>(at)};
      tile[i] = e;
    }
    __syncthreads();
    sort_tile(tile, length);
    for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kThreads) {
      const int64_t segment = first + i / length, row = segment / per_row;
      const int64_t at = (segment - row * per_row) * length + i % length;
      if (segment >= segments || at >= job.n) continue;
      if (sorted)
        sorted[row * job.n + at] = tile[i];
      else
        job.emit(row, at, tile[i]);
    }
  }
}

// Where element i of a row of n goes when the runs of `run` elements are merged in pairs. before(j): whether element j
// of the other run comes before it.
template <class F>
__device__ __forceinline__ int64_t merged_place(int64_t i, int64_t n, int64_t run, const F& before) {
  const int64_t own = i / run * run, other = own / run % 2 ? own - run : own + run;
  const int64_t begin = other < n ? other : n, end = other + run < n ? other + run : n;
  int64_t low = begin, high = end;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (before(middle))
      low = middle + 1;
    else
      high = middle;
  }
  return (own < other ? own : other) + (i - own) + (low - begin);
}

template <class K>
__global__ void __launch_bounds__(kThreads)
    merge_kernel(int64_t rows, int64_t n, int64_t run, const Entry<K>* from, Entry<K>* to) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < rows * n; e += step) {
    const int64_t base = e / n * n;
    const Entry<K> mine = from[e];
    to[base + merged_place(e - base, n, run, [&](int64_t j) { return from[base + j] < mine; })] = mine;
  }
}

template <class K>
__global__ void __launch_bounds__(kThreads) emit_kernel(Job<K> job, const Entry<K>* sorted) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < job.rows * job.k; e += step) {
    const int64_t row = e / job.k, i = e - row * job.k;
    job.emit(row, i, sorted[row * job.n + i]);
  }
}

template <class K>
void sort_job(const Job<K>& job) {
  int length = 1;
  while (length < job.n && length < kTile) length *= 2;
  const int64_t per_row = ceil_div(job.n, length);
  const unsigned blocks = blocks_for(job.rows * per_row, kTile / length);
  if (per_row == 1) return start(tile_kernel<K>, {blocks, kThreads}, job, length, per_row, nullptr);
  const int64_t all = job.rows * job.n;
  const Scratch memory(2 * static_cast<size_t>(all) * sizeof(Entry<K>));
  Entry<K>*from = memory.as<Entry<K>>(), *to = from + all;
  start(tile_kernel<K>, {blocks, kThreads}, job, length, per_row, from);
  for (int64_t run = length; run < job.n; run *= 2) {
    start(merge_kernel<K>, {blocks_for(all, kThreads), kThreads}, job.rows, job.n, run, from, to);
    Entry<K>* const last = from;
    from = to;
    to = last;
  }
  start(emit_kernel<K>, {blocks_for(job.rows * job.k, kThreads), kThreads}, job, from);
}

// The best k of each part of a row: what is below the k-th, then those equal to it, each in the order of their places.
// A block for each part; a last part of fewer than k elements is filled up with what comes after all elements.
template <class K>
__global__ void __launch_bounds__(kSelectThreads)
    best_kernel(Job<K> job, int64_t parts, int64_t length, Entry<K>* best) {
  __shared__ SelectRoom room;
  const int64_t k = job.k;
  for (int64_t item = blockIdx.x; item < job.rows * parts; item += gridDim.x) {
    const int64_t first = item % parts * length, base = item / parts * job.length + first;
    const int64_t n = length < job.length - first ? length : job.length - first, kept = k < n ? k : n;
    Entry<K>* const to = best + item * k;
    int64_t smaller;
    const K bar = select_key(job.x, base, n, kept - 1, job.flip, room, &smaller);
    int64_t less = 0, equal = 0;
    for (int64_t begin = 0; begin < n; begin += kSelectThreads) {
      const int64_t i = begin + threadIdx.x;
      const K key = i < n ? static_cast<K>(job.x[base + i] ^ job.flip) : kNanKey<K>;
      const bool is_less = i < n && key < bar, is_equal = i < n && key == bar;
      int some, others;
      const int64_t at = less + votes_before<kSelectThreads>(is_less, room.warps, &some);
      const int64_t among = smaller + equal + votes_before<kSelectThreads>(is_equal, room.warps, &others);
      const Entry<K> own{key, static_cast<uint32_t>(first + i)};
      if (is_less) to[at] = own;
      if (is_equal && among < kept) to[among] = own;
      less += some;
      equal += others;
    }
    for (int64_t i = kept + threadIdx.x; i < k; i += kSelectThreads) to[i] = {kNanKey<K>, ~0u};
  }
}

template <class K>
void sort_best(Job<K> job) {
  const int64_t length = ceil_div(job.length, select_parts(job.rows, job.length, job.k));
  const int64_t parts = ceil_div(job.length, length);
  const Scratch memory(static_cast<size_t>(job.rows * parts * job.k) * sizeof(Entry<K>));
  start(best_kernel<K>, {blocks_for(job.rows * parts, 1), kSelectThreads}, job, parts, length, memory.as<Entry<K>>());
  job.n = parts * job.k;
  job.from = memory.as<const Entry<K>>();
  sort_job(job);
}

// Calls f for groups of rows whose entries are not too many at once.
template <class K, class F>
void each_group(Job<K> job, int64_t entries, const F& f) {
  const int64_t share = entries < kAtOnce ? kAtOnce / entries : 1, all = job.rows;
  auto* x = static_cast<const char*>(job.x.data);
  auto* y = static_cast<char*>(job.y);
  for (int64_t row = 0; row < all; row += share) {
    Job<K> group = job;
    group.rows = share < all - row ? share : all - row;
    group.x.data = x + row * job.length * job.size;
    group.y = y + row * job.k * job.size;
    group.at = job.at + row * job.k;
    f(group);
  }
}

template <class K>
Job<K> job_of(const View& x, const View& y, const View& at, bool descending) {
  const int64_t n = x.shape[1];
  return {Keys<K>(x),       x.shape[0],       n, n, y.shape[1], descending ? kNanKey<K> : K(0), nullptr, y.data,
          at.as<int64_t>(), bytes_of(x.dtype)};
}

// ---- slices

__global__ void __launch_bounds__(kThreads) count_up(int64_t n, int64_t* order) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += int64_t{gridDim.x} * kThreads)
    order[i] = i;
}

// Below 0, 0 or above: how slice a of m elements stands to slice b.
template <class K>
__device__ __forceinline__ int compared(const Keys<K>& x, int64_t a, int64_t b, int64_t m) {
  for (int64_t j = 0; j < m; ++j) {
    const K p = x[a * m + j], q = x[b * m + j];
    if (p != q) return p < q ? -1 : 1;
  }
  return 0;
}

template <class K>
__global__ void __launch_bounds__(kThreads)
    merge_slices(int64_t n, int64_t m, int64_t run, Keys<K> x, const int64_t* from, int64_t* to) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += int64_t{gridDim.x} * kThreads) {
    const int64_t mine = from[i];
    const bool right = i / run % 2 == 1;  // of equal ones, those on the left come first
    to[merged_place(i, n, run, [&](int64_t j) { return compared(x, from[j], mine, m) < (right ? 1 : 0); })] = mine;
  }
}

}  // namespace

void sort(View x, View y, View at, View, bool descending) {
  if (x.numel() == 0) return;
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    each_group(job_of<K>(x, y, at, descending), x.shape[1], [](const Job<K>& job) { sort_job(job); });
  });
}

void topk(View x, View y, View at, View, bool largest) {
  if (y.numel() == 0) return;
  const int64_t n = x.shape[1], k = y.shape[1];
  const bool sorts = 4 * k > n || n <= kTile;
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    each_group(job_of<K>(x, y, at, largest), sorts ? n : k * select_parts(x.shape[0], n, k),
               [&](const Job<K>& job) { sorts ? sort_job(job) : sort_best(job); });
  });
}

void sort_slices(View x, View at, View work) {
  const int64_t n = x.shape[0];
  if (n == 0) return;
  int64_t *from = at.as<int64_t>(), *to = work.as<int64_t>();
  const auto turn = [&] {
    int64_t* const last = from;
    from = to;
    to = last;
  };
  for (int64_t run = 1; run < n; run *= 2) turn();  // so that the last merge ends in `at`
  const Grid grid{blocks_for(n, kThreads), kThreads};
  start(count_up, grid, n, from);
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    for (int64_t run = 1; run < n; run *= 2) {
      start(merge_slices<K>, grid, n, x.shape[1], run, Keys<K>(x), from, to);
      turn();
    }
  });
}

}  // namespace pydl::cuda
