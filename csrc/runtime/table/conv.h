// Convolutions.
#pragma once

#include "runtime/table/family.h"
#include "runtime/table/gemm.h"

namespace pydl {

// One entry per axis z, y, x; an axis that is not there has size 1 everywhere. padding is what lies before the first
// element: what lies behind the last follows from the sizes.
struct ConvSpec {
  int64_t stride[3], padding[3], dilation[3], groups;
};

enum class ConvProduct : uint8_t { forward, input_grad, weight_grad };

// How a product is computed: see kernels/conv/path.h, where it is chosen.
#define PYDL_CONV_PATHS(X) X(packed) X(direct) X(pointwise) X(planes) X(lanes) X(winograd) X(tiles)
#define PYDL_ENUM(name) name,
enum class ConvPath : uint8_t { PYDL_CONV_PATHS(PYDL_ENUM) };
#undef PYDL_ENUM

// x (b, c, z, y, x) and w (m, c / groups, kz, ky, kx) with any strides, y (b, m, oz, oy, ox); what is written is dense.
// bias has one element per channel of the output and may be absent.
// clang-format off
#define PYDL_CONV_KERNELS(X) \
  X(conv,             (View x, View w, View bias, ConvSpec spec, Activation activation, View y)) \
  X(conv_input_grad,  (View y, View w, View bias, ConvSpec spec, Activation activation, View x))  /* also transposed */ \
  X(conv_weight_grad, (View x, View y, ConvSpec spec, View w)) \
  X(conv_path,        (ConvProduct product, View x, View w, ConvSpec spec, View y, ConvPath* path))
// clang-format on
PYDL_FAMILY(ConvKernels, PYDL_CONV_KERNELS)

}  // namespace pydl
