#include "runtime/dispatch.h"

#include <cstdlib>
#include <cstring>

#ifdef PYDL_AVX512_BF16
#include <cpuid.h>
#endif
#ifdef PYDL_AMX
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
#ifdef PYDL_AVX512_BF16
namespace avx512_bf16 {
PYDL_GEMM_KERNELS(PYDL_DECLARE)
}  // namespace avx512_bf16
#endif
#ifdef PYDL_AMX
namespace amx {
PYDL_CONV_KERNELS(PYDL_DECLARE)
PYDL_GEMM_KERNELS(PYDL_DECLARE)
PYDL_RNN_KERNELS(PYDL_DECLARE)
}  // namespace amx
#endif
#undef PYDL_TABLE
#undef PYDL_ENTRIES
#undef PYDL_ENTRY

namespace {

bool asked_for(const char* isa) {
  const char* asked = std::getenv("PYDL_ISA");
  return asked && !std::strcmp(asked, isa);
}

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

#ifdef PYDL_AVX512_BF16
// On Intel's CPUs it takes as long as four multiply-adds of floats and does the work of two: there, only if asked for.
bool has_avx512_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & 1u << 5)) return false;
  return has_avx512() && (__builtin_cpu_is("amd") || asked_for("avx512_bf16"));
}

// Those of avx512, but for its own products.
const Kernels* avx512_bf16_table() {
  static const Kernels table = [] {
    Kernels kernels = avx512::table;
    kernels.of_GemmKernels.gemm = &avx512_bf16::gemm;
    return kernels;
  }();
  return &table;
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
const Kernels* amx_table() {
  static const Kernels table = [] {
    Kernels kernels = avx512::table;
    kernels.of_ConvKernels.conv = &amx::conv;
    kernels.of_ConvKernels.conv_input_grad = &amx::conv_input_grad;
    kernels.of_ConvKernels.conv_path = &amx::conv_path;
    kernels.of_GemmKernels.gemm = &amx::gemm;
    kernels.of_RnnKernels.recurrent = &amx::recurrent;
    kernels.of_RnnKernels.recurrent_grad = &amx::recurrent_grad;
    return kernels;
  }();
  return &table;
}
#endif

// An instruction set: its name, whether the machine has it, and its kernels.
struct Choice {
  const char* isa;
  bool (*here)();
  const Kernels* (*table)();
};

// From the best downwards.
constexpr Choice kChoices[] = {
#ifdef PYDL_AMX
    {"amx", has_amx, amx_table},
#endif
#ifdef PYDL_AVX512_BF16
    {"avx512_bf16", has_avx512_bf16, avx512_bf16_table},
#endif
#ifdef PYDL_X86
    {"avx512", has_avx512, [] { return &avx512::table; }},
    {"avx2", has_avx2, [] { return &avx2::table; }},
#endif
    {"base", [] { return true; }, [] { return &base::table; }},
};

struct Chosen {
  const char* isa;
  const Kernels* table;
};

// The best that is here; PYDL_ISA names one to begin with.
Chosen choose() {
  const Choice* c = kChoices;
  for (const Choice& x : kChoices)
    if (asked_for(x.isa)) c = &x;
  while (!c->here()) ++c;
  return {c->isa, c->table()};
}

const Chosen& chosen() {
  static const Chosen c = choose();
  return c;
}

const Kernels& table_of(Device device) {
  if (device.kind == DeviceKind::cuda) return cuda_table(device);
  return __builtin_expect(cuda_in_use(), 0) ? guarded_table(*chosen().table) : *chosen().table;
}

}  // namespace

const char* cpu_isa() { return chosen().isa; }

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
