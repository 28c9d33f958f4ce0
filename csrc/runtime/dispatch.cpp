#include "runtime/dispatch.h"

#include <cstdlib>
#include <cstring>

#include "runtime/cuda_table.h"
#include "runtime/table.h"

namespace pydl {

#define PYDL_ENTRY(name, args) &name,
#define PYDL_ENTRIES(Family, LIST) {LIST(PYDL_ENTRY)},
#define PYDL_TABLE(isa)                                \
  namespace isa {                                      \
  const Kernels table = {PYDL_FAMILIES(PYDL_ENTRIES)}; \
  }
PYDL_TABLE(base)
#ifdef PYDL_X86
PYDL_TABLE(avx2)
PYDL_TABLE(avx512)
#endif
#undef PYDL_TABLE
#undef PYDL_ENTRIES
#undef PYDL_ENTRY

namespace {

struct Choice {
  const char* isa;
  const Kernels* table;
};

#ifdef PYDL_X86
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
}
#endif

Choice choose() {
#ifdef PYDL_X86
  const char* cap = std::getenv("PYDL_ISA");
  const bool base_only = cap && !std::strcmp(cap, "base");
  const bool no_512 = base_only || (cap && !std::strcmp(cap, "avx2"));
  if (!no_512 && has_avx512()) return {"avx512", &avx512::table};
  if (!base_only && has_avx2()) return {"avx2", &avx2::table};
#endif
  return {"base", &base::table};
}

const Choice& choice() {
  static const Choice c = choose();
  return c;
}

const Kernels& table_of(Device device) {
  if (device.kind == DeviceKind::cuda) return cuda_table(device);
  return __builtin_expect(cuda_in_use(), 0) ? guarded_table(*choice().table) : *choice().table;
}

}  // namespace

const char* cpu_isa() { return choice().isa; }

#define PYDL_GIVE(Family, LIST)                  \
  template <>                                    \
  const Family& kernels<Family>(Device device) { \
    return table_of(device).of_##Family;         \
  }
PYDL_FAMILIES(PYDL_GIVE)
#undef PYDL_GIVE

#define PYDL_NAME(name, args) #name,
#define PYDL_NAMES(Family, LIST)                          \
  template <>                                             \
  const char* const* kernel_names<Family>() {             \
    static const char* const names[] = {LIST(PYDL_NAME)}; \
    return names;                                         \
  }
PYDL_FAMILIES(PYDL_NAMES)
#undef PYDL_NAMES
#undef PYDL_NAME

}  // namespace pydl
