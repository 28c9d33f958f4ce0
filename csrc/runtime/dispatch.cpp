#include "runtime/dispatch.h"

#include <cstdlib>
#include <cstring>

#ifdef PYDL_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
#ifdef PYDL_AMX
namespace amx {
PYDL_GEMM_KERNELS(PYDL_DECLARE)
PYDL_RNN_KERNELS(PYDL_DECLARE)
}  // namespace amx
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

#ifdef PYDL_AMX
// Linux gives a process the tiles only if it asks for them, once; then all its threads have them.
bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (bf16 | tile)) != (bf16 | tile)) return false;
  constexpr long ask = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return has_avx512() && syscall(SYS_arch_prctl, ask, tile_data) == 0;
}

// Those of avx512, but for what uses the matrix unit.
const Kernels& amx_table() {
  static const Kernels table = [] {
    Kernels kernels = avx512::table;
    kernels.of_GemmKernels.gemm = &amx::gemm;
    kernels.of_RnnKernels.recurrent = &amx::recurrent;
    kernels.of_RnnKernels.recurrent_grad = &amx::recurrent_grad;
    return kernels;
  }();
  return table;
}
#endif

Choice choose() {
#ifdef PYDL_X86
  const char* cap = std::getenv("PYDL_ISA");
  const bool base_only = cap && !std::strcmp(cap, "base");
  const bool no_512 = base_only || (cap && !std::strcmp(cap, "avx2"));
#ifdef PYDL_AMX
  const bool no_amx = no_512 || (cap && !std::strcmp(cap, "avx512"));
  if (!no_amx && has_amx()) return {"amx", &amx_table()};
#endif
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
