#include "runtime/labels.h"

#include "runtime/table.h"

namespace pydl {

#define PYDL_NAME(name) #name,
#define PYDL_LABEL(Enum, LIST)                            \
  const char* label(Enum op) {                            \
    static const char* const names[] = {LIST(PYDL_NAME)}; \
    return names[static_cast<int>(op)];                   \
  }
PYDL_LABEL(Unary, PYDL_UNARY)
PYDL_LABEL(Special, PYDL_SPECIAL)
PYDL_LABEL(Curve, PYDL_ACTIVATION)
PYDL_LABEL(Test, PYDL_TEST)
PYDL_LABEL(Binary, PYDL_BINARY)
PYDL_LABEL(Ternary, PYDL_TERNARY)
PYDL_LABEL(Compare, PYDL_COMPARE)
PYDL_LABEL(Reduce, PYDL_REDUCE)
#undef PYDL_LABEL
#undef PYDL_NAME

}  // namespace pydl
