// Connectionist temporal classification: the likelihood of labels over all their alignments with the input.
//
// t steps, n sequences, c classes. A target of s labels has 2 s + 1 states: blanks before, between and behind them.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// log_probs (t, n, c) and gx like it, dense, float32 or float64; targets (n, longest) int64; steps and counts (n)
// int64: how much of each counts; loss (n); alpha (n, t, 2 longest + 1): logarithms of the forward variables.
// clang-format off
#define PYDL_CTC_KERNELS(X) \
  X(ctc,      (View log_probs, View targets, View steps, View counts, int64_t blank, View loss, View alpha)) \
  /* g (n), or one with a stride of 0 */ \
  X(ctc_grad, (View g, View log_probs, View targets, View steps, View counts, int64_t blank, View loss, View alpha, \
               View gx))
// clang-format on
PYDL_FAMILY(CtcKernels, PYDL_CTC_KERNELS)

}  // namespace pydl
