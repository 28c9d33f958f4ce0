// Steps of optimizers over lists of parameters, and what clipping, loss scaling and averaging do to such lists: many
// arrays in one launch, 16 bytes of each at a time. 16-bit elements are computed in float32. Hyperparameters are read
// on the host, whenever a step is launched.
#include "device.cuh"
#include "kernels/optim/adam.h"
#include "kernels/optim/adaptive.h"
#include "kernels/optim/gradient.h"
#include "pack.cuh"
#include "rows.cuh"

namespace pydl::cuda {
namespace {

constexpr int kThreads = kRowThreads;
constexpr int kMost = 48;  // arrays in one launch: their addresses are arguments of the kernel, which take 4 KB at most
constexpr int kStates = 3;
constexpr int kEach = 4;                               // elements of each array that a thread holds
constexpr int64_t kPart = 16 * 1024, kMostParts = 64;  // elements of a partial sum, at least; parts of an array

struct Entry {
  void* p;
  const void* g;
  void* s[kStates];  // null where the rule's options do not ask for the state
  int64_t n;
  bool aligned;
};
struct Entries {
  Dtype p, g, s;  // of all arrays
  Entry entry[kMost];
};

// Calls f(begin, how many elements) for the runs of kEach elements that are the calling thread's.
template <class F>
__device__ __forceinline__ void for_runs(int64_t n, const F& f) {
  const int64_t stride = int64_t{gridDim.x} * kThreads * kEach;
  for (int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kEach; i < n; i += stride)
    f(i, static_cast<int>(n - i < kEach ? n - i : kEach));
}

// An array of an entry: read, given to f(values of an element), and written where there is a place.
struct Column {
  const void* from;  // null: zeros
  void* to;          // null: stays as it is
  Dtype dtype;
};

template <int kColumns, class C, class F>
__device__ __forceinline__ void for_elements(const Column (&columns)[kColumns], int64_t n, bool aligned, const F& f) {
  for_runs(n, [&](int64_t i, int count) {
    if (aligned && count == kEach) {
      C v[kColumns][kEach] = {};
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        if (columns[j].from) load_pack(columns[j].from, columns[j].dtype, i, v[j]);
#pragma unroll
      for (int k = 0; k < kEach; ++k) {
        C own[kColumns];
#pragma unroll
        for (int j = 0; j < kColumns; ++j) own[j] = v[j][k];
        f(own);
#pragma unroll
        for (int j = 0; j < kColumns; ++j) v[j][k] = own[j];
      }
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        if (columns[j].to) store_pack(columns[j].to, columns[j].dtype, i, v[j]);
      return;
    }
#pragma unroll 1
    for (int64_t e = i; e < i + count; ++e) {
      C own[kColumns];
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        own[j] = columns[j].from ? load_element<C>(columns[j].from, columns[j].dtype, e) : C(0);
      f(own);
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        if (columns[j].to) store_element(columns[j].to, columns[j].dtype, e, own[j]);
    }
  });
}

// ---- kernels. Grid: blocks along an array, by arrays

template <class Rule>
struct Step {
  explicit Step(const double* hyper) : rule(hyper), common(hyper) {}
  Rule rule;
  Common common;
};

// Blocks on a multiprocessor for which registers are shared out: left to itself, ptxas spills some to make room for
// more.
template <class C>
constexpr int kBlocks = sizeof(C) == 4 ? 4 : 2;

template <class Rule, class C>
__global__ void __launch_bounds__(kThreads, kBlocks<C>) step_kernel(Fresh<Step<Rule>> numbers, Entries entries) {
  const Step<Rule> step = numbers.get();
  const Rule& rule = step.rule;
  const Common& common = step.common;
  const Entry& e = entries.entry[blockIdx.y];
  Column columns[2 + Rule::kSlots] = {{e.p, e.p, entries.p}, {e.g, nullptr, entries.g}};
#pragma unroll
  for (int j = 0; j < Rule::kSlots; ++j) columns[2 + j] = {e.s[j], e.s[j], entries.s};
  for_elements<2 + Rule::kSlots, C>(columns, e.n, e.aligned, [&](C* v) {
    C d = number<C>(common.sign) * v[1];
    if (common.coupled_decay != 0) d = fma(number<C>(common.coupled_decay), v[0], d);
    v[0] = rule(number<C>(common.keep) * v[0], d, v + 2);
  });
}

// p *= factor, which is on the device, or else `own`. found: becomes 1 where an element is not finite.
template <class C>
__global__ void __launch_bounds__(kThreads)
    scale_kernel(Entries entries, const double* factor, double own, double* found) {
  const double exact = factor ? *factor : own;
  if (exact == 1 && !found) return;  // gradients below the clipping norm are not even read
  const Entry& e = entries.entry[blockIdx.y];
  bool wrong = false;
  for_elements<1, C>({{e.p, e.p, entries.p}}, e.n, e.aligned, [&](C* v) {
    wrong |= !(abs(v[0]) < infinity<C>());
    v[0] *= number<C>(exact);
  });
  if (found && wrong) *found = 1;  // whoever writes writes the same
}

// p += factors[array] g
template <class C>
__global__ void __launch_bounds__(kThreads) add_kernel(Entries entries, const double* factors) {
  const Entry& e = entries.entry[blockIdx.y];
  const C factor = number<C>(factors[blockIdx.y]);
  for_elements<2, C>({{e.p, e.p, entries.p}, {e.g, nullptr, entries.g}}, e.n, e.aligned,
                     [&](C* v) { v[0] = fma(factor, v[1], v[0]); });
}

// partial (arrays, blocks): sums of squares; an array's own blocks are those that its size asks for.
template <class C>
__global__ void __launch_bounds__(kThreads) squares_kernel(Entries entries, double* partial) {
  const Entry& e = entries.entry[blockIdx.y];
  const RowGroup<kThreads> group;
  double total = 0;
  for_elements<1, C>({{e.p, nullptr, entries.p}}, e.n, e.aligned,
                     [&](C* v) { total += static_cast<double>(v[0]) * static_cast<double>(v[0]); });
  total = group.sum(total);
  if (threadIdx.x == 0) partial[blockIdx.y * gridDim.x + blockIdx.x] = total;
}

__global__ void __launch_bounds__(kThreads) sum_parts(const double* partial, int parts, double* y) {
  const RowGroup<kThreads> group;
  const int i = static_cast<int>(threadIdx.x);
  const double total = group.sum(i < parts ? partial[blockIdx.x * parts + i] : 0.0);
  if (i == 0) y[blockIdx.x] = total;
}

// ---- lists

bool on_device(const void* p) {
  cudaPointerAttributes found{};
  note(cudaPointerGetAttributes(&found, p));
  return found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged;
}

bool on_boundary(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

struct Lists {
  Spans p, g, s[kStates];  // left out: count 0
};

Entry entry_of(const Lists& lists, int64_t i) {
  const auto data = [i](const Spans& spans) { return spans.count > 0 ? spans.items[i].data : nullptr; };
  Entry e{data(lists.p), data(lists.g), {}, lists.p.items[i].n, true};
  e.aligned = on_boundary(e.p) && on_boundary(e.g);
  for (int j = 0; j < kStates; ++j) {
    e.s[j] = data(lists.s[j]);
    e.aligned = e.aligned && on_boundary(e.s[j]);
  }
  return e;
}

// Calls f(entries, the first array, how many, the elements of the longest) for arrays of the same dtypes that lie next
// to each other in the lists.
template <class F>
void for_arrays(const Lists& lists, const F& f) {
  const Spans& p = lists.p;
  const Spans& g = lists.g.count > 0 ? lists.g : p;
  const Spans& s = lists.s[0].count > 0   ? lists.s[0]
                   : lists.s[1].count > 0 ? lists.s[1]
                   : lists.s[2].count > 0 ? lists.s[2]
                                          : p;
  const auto dtypes = [&](int64_t i, const Entries& e) {
    return p.items[i].dtype == e.p && g.items[i].dtype == e.g && s.items[i].dtype == e.s;
  };
  for (int64_t first = 0; first < p.count;) {
    Entries entries{p.items[first].dtype, g.items[first].dtype, s.items[first].dtype, {}};
    int count = 0;
    int64_t longest = 0;
    for (int64_t i = first; i < p.count && count < kMost && dtypes(i, entries); ++i) {
      entries.entry[count++] = entry_of(lists, i);
      longest = p.items[i].n > longest ? p.items[i].n : longest;
    }
    f(entries, first, static_cast<unsigned>(count), longest);
    first += count;
  }
}

Grid grid_of(int64_t longest, unsigned count) {
  return {dim3(blocks_for(longest, int64_t{kThreads} * kEach), count), kThreads};
}

template <class Rule>
void step(const Lists& lists, const View& hyper) {
  const double* h = hyper.as<const double>();
  const auto numbers = fresh([h] { return Step<Rule>(h); });
  for_arrays(lists, [&](const Entries& entries, int64_t, unsigned count, int64_t longest) {
    with_computed_float(entries.p, [&](auto zero) {
      start(step_kernel<Rule, decltype(zero)>, grid_of(longest, count), numbers, entries);
    });
  });
}

void scale_all(Spans x, const double* factor, double own, double* found) {
  for_arrays({x, {}, {}}, [&](const Entries& entries, int64_t, unsigned count, int64_t longest) {
    with_computed_float(entries.p, [&](auto zero) {
      start(scale_kernel<decltype(zero)>, grid_of(longest, count), entries, factor, own, found);
    });
  });
}

}  // namespace

#define PYDL_RULE(name, Rule) \
  void name(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Rule>({p, g, {s0, s1, s2}}, hyper); }
PYDL_RULE(sgd, Sgd)
PYDL_RULE(asgd, Asgd)
PYDL_RULE(rprop, Rprop)
PYDL_RULE(lion, Lion)
PYDL_RULE(adagrad, Adagrad)
PYDL_RULE(adadelta, Adadelta)
PYDL_RULE(rmsprop, Rmsprop)
PYDL_RULE(adam, Adam)
PYDL_RULE(adamax, Adamax)
PYDL_RULE(nadam, Nadam)
PYDL_RULE(radam, Radam)
PYDL_RULE(lamb_direction, LambDirection)
#undef PYDL_RULE

void sum_squares(Spans x, View y) {
  for_arrays({x, {}, {}}, [&](const Entries& entries, int64_t first, unsigned count, int64_t longest) {
    const int64_t wanted = ceil_div(longest, kPart), most = wanted < kMostParts ? wanted : kMostParts;
    const unsigned parts = static_cast<unsigned>(most < 1 ? 1 : most);
    const Scratch partial(size_t{count} * parts * sizeof(double));
    with_computed_float(entries.p, [&](auto zero) {
      start(squares_kernel<decltype(zero)>, {dim3(parts, count), kThreads}, entries, partial.as<double>());
    });
    start(sum_parts, {count, kThreads}, partial.as<const double>(), static_cast<int>(parts), y.as<double>() + first);
  });
}

void scale(Spans x, View factor) { scale_all(x, factor.as<const double>(), 1, nullptr); }

// Where the answer belongs to the host, which decides by it whether there is a step, it is waited for.
void unscale(Spans x, View factor, View found) {
  if (on_device(found.data)) {
    note(cudaMemsetAsync(found.data, 0, sizeof(double), stream()));
    return scale_all(x, nullptr, *factor.as<const double>(), found.as<double>());
  }
  const Scratch flag(sizeof(double));
  note(cudaMemsetAsync(flag.as<double>(), 0, sizeof(double), stream()));
  scale_all(x, nullptr, *factor.as<const double>(), flag.as<double>());
  note(cudaMemcpyAsync(found.data, flag.as<double>(), sizeof(double), cudaMemcpyDefault, stream()));
  note(cudaStreamSynchronize(stream()));
}

void add_scaled(Spans x, Spans y, View factors) {
  for_arrays({x, y, {}}, [&](const Entries& entries, int64_t first, unsigned count, int64_t longest) {
    with_computed_float(entries.p, [&](auto zero) {
      start(add_kernel<decltype(zero)>, grid_of(longest, count), entries, factors.as<const double>() + first);
    });
  });
}

}  // namespace pydl::cuda
