#include "runtime/access.h"

#include <cstring>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>

#include "array/dtype.h"
#include "runtime/table.h"

namespace pydl {
namespace {

// How a kernel uses its arguments that hold memory, in their order: r reads, w writes, m changes. Kernels that are not
// here, or that have another number of them, change all they are given.
const std::unordered_map<std::string_view, const char*>& modes() {
  static const std::unordered_map<std::string_view, const char*> table = {
      // elementwise, shape, reduce
      {"unary", "rw"},
      {"special", "rw"},
      {"activation", "rw"},
      {"activation_grad", "rrw"},
      {"test", "rw"},
      {"binary", "rrw"},
      {"ternary", "rrrw"},
      {"compare", "rrw"},
      {"where", "rrrw"},
      {"copy", "rw"},
      {"arange", "w"},
      {"move", "rw"},
      {"reduce", "rw"},
      {"arg_reduce", "rw"},
      {"scan", "rw"},
      // index, place
      {"index_select", "rrw"},
      {"gather", "rrw"},
      {"index_place", "rrm"},
      {"scatter_place", "rrm"},
      {"fold_index", "rm"},
      // softmax, loss
      {"softmax", "rw"},
      {"log_softmax", "rw"},
      {"softmax_grad", "rrw"},
      {"log_softmax_grad", "rrw"},
      {"logsumexp", "rw"},
      {"cross_entropy", "rrrwww"},
      {"cross_entropy_grad", "rrrrrrw"},
      {"soft_entropy", "rrrwww"},
      {"soft_entropy_grad", "rrrrrrw"},
      {"pair_loss", "rrw"},
      {"pair_loss_sum", "rrw"},
      {"pair_loss_grad", "rrrw"},
      {"nll", "rrrww"},
      {"nll_grad", "rrrrm"},
      {"loss_total", "rrww"},
      // sort
      {"sort", "rwww"},
      {"topk", "rwww"},
      {"kth", "rwww"},
      {"search", "rrrw"},
      {"cumulative_extreme", "rww"},
      // gemm, conv, attention
      {"gemm", "rrrrw"},
      {"conv", "rrrw"},
      {"conv_input_grad", "rrrw"},
      {"conv_weight_grad", "rrw"},
      {"attention", "rrrrrmww"},
      {"attention_grad", "rrrrrrmrrmwww"},
      {"attention_ticket", "mw"},
      // random, pool, norm, resample
      {"random", "mw"},
      {"randperm", "mw"},
      {"dropout", "mrww"},
      {"max_pool", "rww"},
      {"avg_pool", "rw"},
      {"avg_pool_grad", "rw"},
      {"pool_pick", "rrw"},
      {"pool_place", "rrrw"},
      {"row_norm", "rrrwww"},
      {"row_norm_grad", "rrrrrwww"},
      {"batch_norm", "rrrmmwww"},
      {"batch_norm_grad", "rrrrrww"},
      {"channel_affine", "rrrw"},
      {"resample", "rrw"},
      {"unfold", "rw"},
      {"fold", "rm"},
      {"grid_sample", "rrw"},
      {"grid_sample_back", "rrm"},
      {"grid_sample_move", "rrrw"},
      // optim
      {"sgd", "mrmmmm"},
      {"asgd", "mrmmmm"},
      {"rprop", "mrmmmm"},
      {"lion", "mrmmmm"},
      {"adagrad", "mrmmmm"},
      {"adadelta", "mrmmmm"},
      {"rmsprop", "mrmmmm"},
      {"adam", "mrmmmm"},
      {"adamax", "mrmmmm"},
      {"nadam", "mrmmmm"},
      {"radam", "mrmmmm"},
      {"sum_squares", "rw"},
      {"scale", "mr"},
      {"unscale", "mrw"},
      {"add_scaled", "mrr"},
  };
  return table;
}

bool is_dense(const View& x) {
  int64_t step = 1;
  for (int i = x.ndim - 1; i >= 0; --i) {
    if (x.shape[i] != 1 && x.strides[i] != step) return false;
    step *= x.shape[i];
  }
  return true;
}

template <class T>
constexpr bool kHoldsMemory =
    std::is_same_v<T, View> || std::is_same_v<T, Spans> || std::is_same_v<T, RecurrentState> ||
    std::is_same_v<T, RecurrentGrads> || std::is_same_v<T, SparseRows> || std::is_same_v<T, ResampleMap>;

// Appends what the arguments of one launch name; `count` of them hold memory.
class Touch {
 public:
  Touch(Traced* launch, size_t count) : out_(launch->accesses), places_(launch->places) {
    const auto found = modes().find(launch->launch.name);
    modes_ = found == modes().end() || std::strlen(found->second) != count ? "" : found->second;
  }

  void operator()(View& x) { add(x, next(), true); }
  void operator()(Spans& x);
  void operator()(RecurrentState& x);
  void operator()(RecurrentGrads& x);
  void operator()(SparseRows& x);
  void operator()(ResampleMap& x);
  template <class T>
  void operator()(const T&) {}

 private:
  Mode next();
  void add(View& x, Mode mode, bool argument);
  void add(const void* data, int64_t bytes, Mode mode);

  const char* modes_;
  std::vector<Access>& out_;
  std::vector<void**>& places_;
};

Mode Touch::next() {
  if (!*modes_) return Mode::change;
  const char mode = *modes_++;
  return mode == 'r' ? Mode::read : mode == 'w' ? Mode::write : Mode::change;
}

void Touch::add(View& x, Mode mode, bool argument) {
  if (!x.present() || x.numel() == 0) return;
  const auto size = static_cast<int64_t>(size_of(x.dtype));
  int64_t low = 0, high = size;
  for (int i = 0; i < x.ndim; ++i) {
    const int64_t reach = (x.shape[i] - 1) * x.strides[i] * size;
    (reach < 0 ? low : high) += reach;
  }
  const char* data = x.as<const char>();
  out_.push_back({argument ? &x : nullptr, data + low, data + high, mode, is_dense(x)});
  places_.push_back(&x.data);
}

void Touch::add(const void* data, int64_t bytes, Mode mode) {
  const char* begin = static_cast<const char*>(data);
  if (begin && bytes) out_.push_back({nullptr, begin, begin + bytes, mode, true});
}

void Touch::operator()(Spans& x) {
  const Mode mode = next();
  for (int64_t i = 0; i < x.count; ++i) {
    auto& item = const_cast<Span&>(x.items[i]);  // the plan's own copy
    add(item.data, item.n * static_cast<int64_t>(size_of(item.dtype)), mode);
    places_.push_back(&item.data);
  }
}

void Touch::operator()(RecurrentState& x) {
  const Mode mode = next();
  for (View* v : {&x.sizes, &x.weight, &x.proj, &x.h0, &x.c0, &x.gates, &x.cells, &x.inner, &x.y}) add(*v, mode, false);
}

void Touch::operator()(RecurrentGrads& x) {
  const Mode mode = next();
  for (View* v : {&x.y, &x.gates, &x.scaled, &x.inner, &x.gh, &x.gc}) add(*v, mode, false);
}

void Touch::operator()(SparseRows& x) {
  const Mode mode = next();
  for (View* v : {&x.starts, &x.columns, &x.values}) add(*v, mode, false);
}

void Touch::operator()(ResampleMap& x) {
  const Mode mode = next();
  for (const ResampleAxis& a : x.axis) {
    add(a.place, a.taps * a.out * static_cast<int64_t>(sizeof(int32_t)), mode);
    add(a.weight, a.taps * a.out * static_cast<int64_t>(sizeof(double)), mode);  // float32 takes half of it
  }
}

// The call of a launch, as Plan::append leaves it, by the kernel's type.
template <class Kernel>
struct Call;
template <class... P>
struct Call<void (*)(P...)> {
  using Tuple = std::tuple<void (*)(P...), P...>;
  static void trace(Traced& t) {
    Touch touch(&t, (size_t{0} + ... + size_t{kHoldsMemory<P>}));
    auto& call = *const_cast<Tuple*>(static_cast<const Tuple*>(t.launch.call));
    std::apply([&](auto, P&... args) { (touch(args), ...); }, call);
    t.bytes = sizeof(Tuple);
  }
};

using Trace = void (*)(Traced& t);
const std::unordered_map<std::string_view, Trace>& traces() {
#define PYDL_TRACE(name, args) {#name, &Call<decltype(&base::name)>::trace},
#define PYDL_TRACES(Family, LIST) LIST(PYDL_TRACE)
  static const std::unordered_map<std::string_view, Trace> table = {PYDL_FAMILIES(PYDL_TRACES)};
#undef PYDL_TRACES
#undef PYDL_TRACE
  return table;
}

}  // namespace

std::vector<Traced> traced(Plan& plan) {
  std::vector<Traced> all;
  for (const Launch& l : plan.launches()) {
    Traced t{l, 0, false, {}, {}, {}};
    const auto found = traces().find(l.name);
    t.check = found == traces().end() || std::string_view(l.name) == "check_index";  // that kernel is never recorded
    if (!t.check) found->second(t);
    all.push_back(std::move(t));
  }
  find_touched(plan.arena(), all);
  return all;
}

}  // namespace pydl
