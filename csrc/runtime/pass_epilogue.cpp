// Epilogues: an activation of what a product has just written is applied by the product itself, while its results are
// in registers or in the first-level cache. Kernels apply it with the function that its own launch would have used.
// Likewise the gradient of a relu behind that of a max-pooling: nothing is placed where the maximum is 0.
#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "array/dtype.h"
#include "memory/plan_blocks.h"
#include "runtime/passes.h"
#include "runtime/stages.h"
#include "runtime/table.h"

namespace pydl {
namespace {

template <class... P>
Activation& activation_in(void (*)(P...), const void* call) {
  using Call = std::tuple<void (*)(P...), P...>;
  return std::get<Activation>(*const_cast<Call*>(static_cast<const Call*>(call)));
}

// Where a product names its activation; null for other launches.
Activation* activation_of(const Traced& t) {
  const std::string_view name = t.launch.name;
  if (name == "gemm") return &activation_in(&base::gemm, t.launch.call);
  return name == "conv" ? &activation_in(&base::conv, t.launch.call) : nullptr;
}

// The activation that a launch is; none for others. Products of 16 bits have wider sums, whose tanh is another number.
Activation epilogue_of(const Traced& t) {
  const std::string_view label = t.launch.label;
  if (std::string_view(t.launch.name) != "unary" || t.accesses.size() != 2) return Activation::none;
  const Dtype dtype = t.accesses[0].view->dtype;
  const bool wide = dtype == Dtype::f32 || dtype == Dtype::f64;
  if (label == "relu" && (wide || dtype == Dtype::f16 || dtype == Dtype::bf16)) return Activation::relu;
  if (!wide) return Activation::none;
  return label == "tanh" ? Activation::tanh : label == "sigmoid" ? Activation::sigmoid : Activation::none;
}

// Whether a launch places gradients of pooling.
bool places(const Traced& t) {
  return std::string_view(t.launch.name) == "pool_place" && t.accesses.size() == 3 && t.accesses[2].dense;
}

// Whether a launch is the gradient of a relu of what `placing` gives.
bool masks(const Traced& placing, const Traced& t) {
  if (std::string_view(t.launch.name) != "binary" || std::string_view(t.launch.label) != "relu_grad") return false;
  const Dtype dtype = placing.accesses.back().view->dtype;
  if (t.accesses.size() != 3 || !t.accesses[0].same(placing.accesses.back())) return false;
  return t.accesses[1].dense && t.accesses[1].view->dtype == dtype;
}

template <size_t at, class... P>
auto& argument(void (*)(P...), const void* call) {
  using Call = std::tuple<void (*)(P...), P...>;
  return std::get<at>(*const_cast<Call*>(static_cast<const Call*>(call)));
}

// Whether every window has a place: its maximum is then what lies there.
bool all_have_places(const PoolWindow& w) {
  return std::all_of(w.axis, w.axis + 3, [](const PoolAxis& a) { return a.adaptive || a.pad == 0; });
}

// Lets a launch that places gradients read the maxima.
void add_mask(Traced& t, const Access& maxima) {
  View& y = argument<4>(&base::pool_place, t.launch.call);
  y = *maxima.view;
  t.accesses.insert(t.accesses.end() - 1, {&y, maxima.begin, maxima.end, Mode::read, true});
  t.places.push_back(&y.data);
  t.launch.bytes += traffic(y);
}

class Joiner {
 public:
  Joiner(std::vector<Traced>* launches, const Flow& flow)
      : launches_(*launches), flow_(flow), gone_(launches->size(), 0) {}

  int64_t run() {
    for (int i = 0; i < static_cast<int>(launches_.size()); ++i)
      if (const int next = follower(i); next >= 0) join(i, next);
    size_t n = 0;
    for (size_t i = 0; i < launches_.size(); ++i)
      if (!gone_[i] && n++ != i) launches_[n - 1] = std::move(launches_[i]);
    const auto joined = static_cast<int64_t>(launches_.size() - n);
    launches_.resize(n);
    return joined;
  }

 private:
  // The activation that a product can apply, of all that it writes and only that, or the mask of what is placed; -1 if
  // there is none.
  int follower(int product) const {
    const Traced& t = launches_[product];
    const Activation* f = activation_of(t);
    if (!(f ? *f == Activation::none && !t.accesses.empty() : places(t)) || on_device(t)) return -1;
    const Access& made = t.accesses.back();
    if (!made.view || made.mode != Mode::write || !made.dense) return -1;
    const Value& value = flow_.values[flow_.value_of[product][t.accesses.size() - 1]];
    if (value.lives || value.uses.size() != 1 || !value.uses[0].whole) return -1;
    const int next = value.uses[0].launch;
    if (f) return epilogue_of(launches_[next]) != Activation::none && may_write(product, next) ? next : -1;
    return masks(t, launches_[next]) && may_write(product, next) && pooling_of(product, next) >= 0 ? next : -1;
  }

  // Whether nothing up to launch `next` minds that its result is there when the product runs.
  bool may_write(int product, int next) const {
    const Access& y = launches_[next].accesses.back();
    if (!y.dense) return false;
    for (int q = product + 1; q < next; ++q) {
      if (gone_[q]) continue;
      if (launches_[q].check || meets(launches_[q].accesses, launches_[q].accesses.size(), y)) return false;
    }
    return !meets(launches_[product].accesses, launches_[product].accesses.size() - 1, y);
  }

  // The pooling of the very array that launch `next` takes for the relu's result, whose maxima are still there when
  // gradients are placed; -1 if there is none.
  int pooling_of(int placing, int next) const {
    const int index = flow_.value_of[placing][1], result = flow_.value_of[next][1];
    if (index < 0 || result < 0) return -1;
    const int pooling = flow_.values[index].launch;
    const Traced& t = launches_[pooling];
    if (std::string_view(t.launch.name) != "max_pool" || t.accesses.size() != 3) return -1;
    if (flow_.value_of[pooling][0] != result || flow_.value_of[pooling][2] != index) return -1;
    if (!all_have_places(argument<1>(&base::max_pool, t.launch.call)) || !t.accesses[1].dense) return -1;
    for (int q = pooling + 1; q <= placing; ++q)
      if (!gone_[q] && writes(launches_[q], t.accesses[1])) return -1;
    return pooling;
  }

  static bool writes(const Traced& t, const Access& a) {
    const auto inside = [&](const Range& r) { return r.begin < a.end && a.begin < r.end; };
    if (t.check && (!plan_memory_at(a.begin) || std::any_of(t.touched.begin(), t.touched.end(), inside))) return true;
    return std::any_of(t.accesses.begin(), t.accesses.end(), [&](const Access& w) {
      return w.writes() && inside({w.begin, w.end});
    });
  }

  static bool meets(const std::vector<Access>& accesses, size_t count, const Access& y) {
    return std::any_of(accesses.begin(), accesses.begin() + static_cast<std::ptrdiff_t>(count),
                       [&](const Access& a) { return conflict(a, y); });
  }

  void join(int product, int next) {
    Traced &t = launches_[product], &follower = launches_[next];
    if (Activation* f = activation_of(t))
      *f = epilogue_of(follower);
    else
      add_mask(t, launches_[pooling_of(product, next)].accesses[1]);
    Access &made = t.accesses.back(), &y = follower.accesses.back();
    made.view->data = y.view->data;
    made.begin = y.begin, made.end = y.end;
    t.launch.label = follower.launch.label;
    t.launch.flops += follower.launch.flops;
    t.launch.nanoseconds += follower.launch.nanoseconds;
    gone_[next] = 1;
  }

  std::vector<Traced>& launches_;
  const Flow& flow_;
  std::vector<char> gone_;
};

}  // namespace

int64_t join_epilogues(std::vector<Traced>& launches, const Flow& flow) { return Joiner(&launches, flow).run(); }

}  // namespace pydl
