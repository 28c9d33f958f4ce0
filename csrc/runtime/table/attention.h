// Attention: softmax(scale q k^T + mask) v, by tiles, without storing the weights.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// Query i sees the keys from i - below to i + above; both lie within +-2^40.
struct AttentionSpec {
  double scale;
  int64_t below, above;
  double dropout;  // the probability that a weight becomes 0; the others are divided by 1 - dropout
};

// q (b, h, t, d), k (b, h / group, s, d), v (b, h / group, s, e): a unit stride within each row, any others.
// mask (b, h, t, s), strides of 0 where it is broadcast: bool (true: seen), or numbers that are added; absent: none.
// lengths (b) int64: keys from there on are not there; absent: all are. rng (2) int64: seed and offset of the dropout.
// y (b, h, t, e) and the gradients are laid out like the inputs; lse (b, h, t), dense, holds the logarithm of each
// row's sum of exponentials, +inf where a query sees nothing; float64 for float64, else float32.
// clang-format off
#define PYDL_ATTENTION_KERNELS(X) \
  X(attention, (AttentionSpec spec, View q, View k, View v, View mask, View lengths, View rng, View y, View lse)) \
  /* part (parts, b, h, t, d), dense like lse: sums of gq in so many parts; absent: straight into gq, one part */ \
  X(attention_grad, (AttentionSpec spec, View g, View q, View k, View v, View mask, View lengths, View rng, View y, \
                     View lse, View part, View gq, View gk, View gv)) \
  /* kept (b, h, t, s), dense bool: what dropout leaves */ \
  X(attention_kept, (double p, View rng, View kept)) \
  /* ticket (2): the seed of a generator's state and the offset of so many counters that are now taken */ \
  X(attention_ticket, (View state, int64_t counters, View ticket))
// clang-format on
PYDL_FAMILY(AttentionKernels, PYDL_ATTENTION_KERNELS)

}  // namespace pydl
