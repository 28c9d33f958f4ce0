// The table of all kernels of a device: every family, in one struct of function pointers.
#pragma once

#include "runtime/table/attention.h"
#include "runtime/table/conv.h"
#include "runtime/table/ctc.h"
#include "runtime/table/elementwise.h"
#include "runtime/table/factor.h"
#include "runtime/table/gemm.h"
#include "runtime/table/index.h"
#include "runtime/table/loss.h"
#include "runtime/table/norm.h"
#include "runtime/table/optim.h"
#include "runtime/table/place.h"
#include "runtime/table/pool.h"
#include "runtime/table/random.h"
#include "runtime/table/reduce.h"
#include "runtime/table/resample.h"
#include "runtime/table/rnn.h"
#include "runtime/table/shape.h"
#include "runtime/table/softmax.h"
#include "runtime/table/sort.h"

namespace pydl {

// X(the family's struct, its list of kernels)
#define PYDL_FAMILIES(X)                          \
  X(ElementwiseKernels, PYDL_ELEMENTWISE_KERNELS) \
  X(ReduceKernels, PYDL_REDUCE_KERNELS)           \
  X(IndexKernels, PYDL_INDEX_KERNELS)             \
  X(PlaceKernels, PYDL_PLACE_KERNELS)             \
  X(ShapeKernels, PYDL_SHAPE_KERNELS)             \
  X(SoftmaxKernels, PYDL_SOFTMAX_KERNELS)         \
  X(LossKernels, PYDL_LOSS_KERNELS)               \
  X(SortKernels, PYDL_SORT_KERNELS)               \
  X(FactorKernels, PYDL_FACTOR_KERNELS)           \
  X(GemmKernels, PYDL_GEMM_KERNELS)               \
  X(ConvKernels, PYDL_CONV_KERNELS)               \
  X(RandomKernels, PYDL_RANDOM_KERNELS)           \
  X(OptimKernels, PYDL_OPTIM_KERNELS)             \
  X(PoolKernels, PYDL_POOL_KERNELS)               \
  X(NormKernels, PYDL_NORM_KERNELS)               \
  X(ResampleKernels, PYDL_RESAMPLE_KERNELS)       \
  X(AttentionKernels, PYDL_ATTENTION_KERNELS)     \
  X(RnnKernels, PYDL_RNN_KERNELS)                 \
  X(CtcKernels, PYDL_CTC_KERNELS)

struct Kernels {
#define PYDL_MEMBER(Family, list) Family of_##Family;
  PYDL_FAMILIES(PYDL_MEMBER)
#undef PYDL_MEMBER
};

}  // namespace pydl
