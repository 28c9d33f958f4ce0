// A family of kernels: from its list of X(name, (arguments)) lines come the slots of the table and the declarations in
// the namespace of each instruction set. A kernel file includes the header of its own family alone.
//
// Shapes, dtypes and the absence of overlap are checked before a kernel is reached; a kernel never allocates, checks or
// throws. "dense" means contiguous, last axis fastest.
#pragma once

#include "array/view.h"

#define PYDL_SLOT(name, args) void(*name) args;
#define PYDL_DECLARE(name, args) void name args;
#define PYDL_FAMILY(Family, LIST) \
  struct Family {                 \
    LIST(PYDL_SLOT)               \
  };                              \
  namespace base {                \
  LIST(PYDL_DECLARE)              \
  }                               \
  namespace avx2 {                \
  LIST(PYDL_DECLARE)              \
  }                               \
  namespace avx512 {              \
  LIST(PYDL_DECLARE)              \
  }
