// Scaled dot-product attention by tiles: memory grows with the sequences, not with their product.
//   attention/operands.h  where things lie, masks, dropout     attention/exp_row.h   the running softmax of a row
//   attention/forward.h   blocks of queries                     attention/backward.h  the gradients
//   attention/decode.h    few queries against many keys
// Which path is taken, and how work is cut, follows from the shapes alone.
#include "runtime/table/attention.h"

#include "kernels/attention/backward.h"
#include "kernels/attention/decode.h"
#include "kernels/attention/forward.h"

namespace pydl::PYDL_ISA {
namespace {

template <class S, class T>
void run_forward(const AttentionSpec& spec, const View& q, const View& k, const View& v, const View& mask,
                 const View& lengths, const View& rng, const View& y, const View& lse) {
  const Forward<S, T> call(spec, q, k, v, mask, lengths, rng, y, lse);
  call.queries <= kFewQueries ? attend_few(call) : attend(call);
}

template <class S, class T>
void run_backward(const AttentionSpec& spec, const View& g, const View& q, const View& k, const View& v,
                  const View& mask, const View& lengths, const View& rng, const View& y, const View& lse,
                  const View& part, const View& gq, const View& gk, const View& gv) {
  const Backward<S, T> call(spec, g, q, k, v, mask, lengths, rng, y, lse, part, gq, gk, gv);
  attend_grad(call);
}

}  // namespace

void attention(AttentionSpec spec, View q, View k, View v, View mask, View lengths, View rng, View y, View lse) {
  switch (q.dtype) {
    case Dtype::f64:
      return run_forward<double, double>(spec, q, k, v, mask, lengths, rng, y, lse);
    case Dtype::f16:
      return run_forward<f16, float>(spec, q, k, v, mask, lengths, rng, y, lse);
    case Dtype::bf16:
      return run_forward<bf16, float>(spec, q, k, v, mask, lengths, rng, y, lse);
    default:
      return run_forward<float, float>(spec, q, k, v, mask, lengths, rng, y, lse);
  }
}

void attention_grad(AttentionSpec spec, View g, View q, View k, View v, View mask, View lengths, View rng, View y,
                    View lse, View part, View gq, View gk, View gv) {
  switch (q.dtype) {
    case Dtype::f64:
      return run_backward<double, double>(spec, g, q, k, v, mask, lengths, rng, y, lse, part, gq, gk, gv);
    case Dtype::f16:
      return run_backward<f16, float>(spec, g, q, k, v, mask, lengths, rng, y, lse, part, gq, gk, gv);
    case Dtype::bf16:
      return run_backward<bf16, float>(spec, g, q, k, v, mask, lengths, rng, y, lse, part, gq, gk, gv);
    default:
      return run_backward<float, float>(spec, g, q, k, v, mask, lengths, rng, y, lse, part, gq, gk, gv);
  }
}

void attention_kept(double p, View rng, View kept) {
  const int64_t keys = kept.shape[3];
  if (keys == 0) return;
  const Drops drops(p, rng, keys);
  bool* to = kept.as<bool>();
  parallel_for(kept.numel() / keys, 2 * keys, [&](int64_t row, int64_t end) {
    uint32_t* words = static_cast<uint32_t*>(scratch(kLineSlot, sizeof(uint32_t) * (Drops::room(keys) + 64)));
    for (; row < end; ++row) {
      drops.words(row, 0, keys, words);
      for (int64_t j = 0; j < keys; ++j) to[row * keys + j] = !drops.drop(words[j]);
    }
  });
}

void attention_ticket(View state, int64_t counters, View ticket) {
  int64_t* s = state.as<int64_t>();
  ticket.as<int64_t>()[0] = s[0];
  ticket.as<int64_t>()[1] = __atomic_fetch_add(s + 1, counters, __ATOMIC_RELAXED);
}

}  // namespace pydl::PYDL_ISA
