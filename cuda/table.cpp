// Every kernel that a file of this folder defines, at its place; the declarations are weak, so that the slots of those
// that none defines are null.
#include "table.h"

#include "runtime/table.h"

namespace pydl::cuda {

#define PYDL_WEAK(name, args) __attribute__((weak)) void name args;
#define PYDL_DECLARE_WEAK(Family, LIST) LIST(PYDL_WEAK)
PYDL_FAMILIES(PYDL_DECLARE_WEAK)

#define PYDL_ENTRY(name, args) &name,
#define PYDL_ENTRIES(Family, LIST) {LIST(PYDL_ENTRY)},

const Kernels& kernels() {
  static const Kernels table = {PYDL_FAMILIES(PYDL_ENTRIES)};
  return table;
}

size_t table_bytes() { return sizeof(Kernels); }

}  // namespace pydl::cuda
