// Arithmetic of a launch, from its arguments.
#include <algorithm>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "runtime/plan.h"
#include "runtime/table.h"

namespace pydl {
namespace {

int64_t elements(const View& x) { return x.present() ? x.numel() : 0; }
int64_t elements(const Spans& x) {
  int64_t n = 0;
  for (int64_t i = 0; i < x.count; ++i) n += x.items[i].n;
  return n;
}
template <class T>
int64_t elements(const T&) {
  return 0;
}

// c (..., m, n) = a (..., m, k) b
int64_t of_gemm(const View& a, const View&, const View&, const View&, double, double, Activation, const View& c) {
  return 2 * elements(c) * (a.ndim > 0 ? a.shape[a.ndim - 1] : 1);
}

// Each element of y is the product of a patch with one filter of w (filters, channels of a group, window).
int64_t of_windows(const View& w, const View& y) {
  return elements(w) ? 2 * elements(y) * (elements(w) / w.shape[0]) : 0;
}
int64_t of_conv(const View&, const View& w, const View&, const ConvSpec&, Activation, const View& y) {
  return of_windows(w, y);
}
int64_t of_conv_input(const View& y, const View& w, const View&, const ConvSpec&, Activation, const View&) {
  return of_windows(w, y);
}
int64_t of_conv_weight(const View&, const View& y, const ConvSpec&, const View& w) { return of_windows(w, y); }

// q (b, h, t, d), k (b, h, s, d), v (b, h, s, e): so many products (t, s) with d and with e.
int64_t of_scores(const View& q, const View& k, const View& v, int64_t with_d, int64_t with_e) {
  const int64_t s = k.shape[k.ndim - 2], d = q.shape[q.ndim - 1], e = v.shape[v.ndim - 1];
  return d ? 2 * (elements(q) / d) * s * (with_d * d + with_e * e) : 0;
}
int64_t of_attention(const AttentionSpec&, const View& q, const View& k, const View& v, const View&, const View&,
                     const View&, const View&, const View&) {
  return of_scores(q, k, v, 1, 1);
}
int64_t of_attention_grad(const AttentionSpec&, const View&, const View& q, const View& k, const View& v, const View&,
                          const View&, const View&, const View&, const View&, const View&, const View&, const View&,
                          const View&) {
  return of_scores(q, k, v, 3, 2);
}

// gates (n, g h) come of the state (n, p) times weight (g h, p); a projection (p, h) makes the state.
int64_t of_steps(const RecurrentState& x) {
  const int64_t rows = x.weight.shape[0] ? elements(x.gates) / x.weight.shape[0] : 0;
  return 2 * rows * (elements(x.weight) + elements(x.proj));
}
int64_t of_recurrent(const RecurrentSpec&, const RecurrentState& x, const View&, const View&, const View&) {
  return of_steps(x);
}
int64_t of_recurrent_grad(const RecurrentSpec&, const RecurrentState& x, const RecurrentGrads&) { return of_steps(x); }

// One for each element of the largest argument.
template <class... P>
int64_t of_elements(const P&... x) {
  return std::max({int64_t{0}, elements(x)...});
}

template <class Kernel>
struct Call;
template <class... P>
struct Call<void (*)(P...)> {
  template <auto count>
  static int64_t of(const void* call) {
    return std::apply([](auto, const P&... x) { return count(x...); },
                      *static_cast<const std::tuple<void (*)(P...), P...>*>(call));
  }
  static int64_t plain(const void* call) {
    return std::apply([](auto, const P&... x) { return of_elements(x...); },
                      *static_cast<const std::tuple<void (*)(P...), P...>*>(call));
  }
};

using Count = int64_t (*)(const void* call);

std::unordered_map<std::string_view, Count> counts() {
#define PYDL_COUNT(name, args) {#name, &Call<decltype(&base::name)>::plain},
#define PYDL_COUNTS(Family, LIST) LIST(PYDL_COUNT)
  std::unordered_map<std::string_view, Count> table = {PYDL_FAMILIES(PYDL_COUNTS)};
#undef PYDL_COUNTS
#undef PYDL_COUNT
#define PYDL_SPECIAL_COUNT(name, count) table[#name] = &Call<decltype(&base::name)>::of<&count>;
  PYDL_SPECIAL_COUNT(gemm, of_gemm)
  PYDL_SPECIAL_COUNT(conv, of_conv)
  PYDL_SPECIAL_COUNT(conv_input_grad, of_conv_input)
  PYDL_SPECIAL_COUNT(conv_weight_grad, of_conv_weight)
  PYDL_SPECIAL_COUNT(attention, of_attention)
  PYDL_SPECIAL_COUNT(attention_grad, of_attention_grad)
  PYDL_SPECIAL_COUNT(recurrent, of_recurrent)
  PYDL_SPECIAL_COUNT(recurrent_grad, of_recurrent_grad)
#undef PYDL_SPECIAL_COUNT
  return table;
}

}  // namespace

int64_t flops_of(const char* kernel, const void* call) {
  static const std::unordered_map<std::string_view, Count> table = counts();
  const auto found = table.find(kernel);
  return found == table.end() ? 0 : found->second(call);
}

}  // namespace pydl
