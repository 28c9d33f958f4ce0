#include "runtime/cuda_table.h"

#include <type_traits>

#include "array/errors.h"
#include "runtime/launch.h"

namespace pydl {
namespace {

const Kernels* cpu_kernels = nullptr;
thread_local const Kernels* cuda_kernels = nullptr;
thread_local Device cuda_target;

// Kernels that read numbers of the host besides: hyperparameters, a generator's state. They do so before they return.
template <class Family>
constexpr bool kReadsHost = std::is_same_v<Family, OptimKernels> || std::is_same_v<Family, RandomKernels>;

// Whether a kernel of the device may be given the argument; memory of other libraries need not be known here, then the
// driver is asked.
template <class Family>
bool lies_on(Device device, const void* address) {
  if (!address) return true;
  const Device found = device_at(address);
  if (found == device) return true;
  if (device.kind == DeviceKind::cpu) return false;
  if (found.kind == DeviceKind::cpu && kReadsHost<Family>) return true;
  return cuda_on(device).device_of(address) == device.index;
}

template <class Family, class T>
bool fits(Device device, const T& argument) {
  if constexpr (std::is_same_v<T, View>) {
    return lies_on<Family>(device, argument.data);
  } else if constexpr (std::is_same_v<T, Spans>) {
    for (int64_t i = 0; i < argument.count; ++i)
      if (!lies_on<Family>(device, argument.items[i].data)) return false;
    return true;
  } else {
    return true;
  }
}

template <class Family, class... Args>
void look_at(const char* name, Device device, const Args&... args) {
  if ((fits<Family>(device, args) && ...)) return;
  fail<DeviceError>(name, ": expected all tensors on one device, got one elsewhere than on ", device_name(device));
}

// One kernel of a family: its place in the table of all, and in that of its family.
template <auto family, auto slot>
struct Guard;
template <class Family, class... Args, Family Kernels::*family, void (*Family::*slot)(Args...)>
struct Guard<family, slot> {
  static void on_cpu(Args... args) {
    look_at<Family>(kernel_name<slot>(Device{}), Device{}, args...);
    (cpu_kernels->*family.*slot)(args...);
  }
  static void on_cuda(Args... args) {
    const Device device = cuda_target;
    const auto kernel = cuda_kernels->*family.*slot;
    if (!kernel)
      fail<DeviceError>(kernel_name<slot>(device), ": there is no kernel for ", device_name(device),
                        ": move the tensors with .cpu() first");
    look_at<Family>(kernel_name<slot>(device), device, args...);
    kernel(args...);
    check_cuda(kernel_name<slot>(device));
  }
};

#define PYDL_ON_CPU(name, args) &Guard<member, &Own::name>::on_cpu,
#define PYDL_ON_CUDA(name, args) &Guard<member, &Own::name>::on_cuda,
#define PYDL_GUARDED(Family, LIST)                           \
  struct Guarded##Family {                                   \
    using Own = Family;                                      \
    static constexpr auto member = &Kernels::of_##Family;    \
    static Family on_cpu() { return {LIST(PYDL_ON_CPU)}; }   \
    static Family on_cuda() { return {LIST(PYDL_ON_CUDA)}; } \
  };
PYDL_FAMILIES(PYDL_GUARDED)
#undef PYDL_GUARDED
#undef PYDL_ON_CUDA
#undef PYDL_ON_CPU

}  // namespace

#define PYDL_FAMILY_ON_CPU(Family, LIST) Guarded##Family::on_cpu(),
#define PYDL_FAMILY_ON_CUDA(Family, LIST) Guarded##Family::on_cuda(),

const Kernels& cuda_table(Device device) {
  static const Kernels guarded = {PYDL_FAMILIES(PYDL_FAMILY_ON_CUDA)};
  cuda_kernels = cuda_on(device).kernels;
  cuda_target = device;
  return guarded;
}

const Kernels& guarded_table(const Kernels& cpu) {
  static const Kernels guarded = [&cpu] {
    cpu_kernels = &cpu;
    return Kernels{PYDL_FAMILIES(PYDL_FAMILY_ON_CPU)};
  }();
  return guarded;
}

}  // namespace pydl
