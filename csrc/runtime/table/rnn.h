// Recurrent layers: one direction of one layer, over all steps.
//
// Rows are packed: step t holds sizes[t] rows, which never grow with t, one step after the other. n is their sum, b the
// first of them, h the number of units, p the size of what is fed back: h, or that of the projection of the lstm.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// y = f(pre) for the first four; lstm and gru in PyTorch's form, with gates in the order i f g o and r z n. gru_before:
// r scales the state before its product.
enum class Cell : uint8_t { identity, relu, tanh, sigmoid, lstm, gru, gru_before };

inline int64_t gates_of(Cell cell) { return cell == Cell::lstm ? 4 : cell >= Cell::gru ? 3 : 1; }

struct RecurrentSpec {
  Cell cell;
  bool reverse;  // from the last step to the first
};

// What the walk forward reads and leaves for the walk back. What is not there is absent; all is dense.
struct RecurrentState {
  View sizes;   // (steps,) of int64
  View weight;  // (g h, p): of what is fed back
  View proj;    // (p, h), lstm only
  View h0, c0;  // (b, p) and (b, h); absent: zeros
  View gates;   // (n, g h): products of the input, with their bias; then the gates. The first four cells: the output
  View cells;   // (n, h), lstm: its state
  // (n, h), lstm with a projection: what is projected; gru: the product that r scales; gru_before: the scaled state
  View inner;
  View y;  // (n, p)
};

// What walks back. gh and gc hold the gradients of the last states, then those of the first.
struct RecurrentGrads {
  View y;       // (n, p), absent: zeros
  View gates;   // (n, g h): of what the input's product was
  View scaled;  // (n, 3 h), gru: of what the state's product was
  View inner;   // (n, p), lstm with a projection: of y, all ways together
  View gh, gc;  // (b, p), (b, h)
  bool first;   // whether gh is wanted at the end
};

// clang-format off
#define PYDL_RNN_KERNELS(X) \
  X(recurrent,      (RecurrentSpec spec, RecurrentState state, View bias, View hn, View cn)) \
  X(recurrent_grad, (RecurrentSpec spec, RecurrentState state, RecurrentGrads grads))
// clang-format on
PYDL_FAMILY(RnnKernels, PYDL_RNN_KERNELS)

}  // namespace pydl
