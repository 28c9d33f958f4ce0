// The one door: every kernel is reached through launch, which picks the device's table and runs the slot. What is to
// be known or done about every launch (recording, timing, checks) belongs here and nowhere else.
#pragma once

#include "runtime/dispatch.h"
#include "runtime/plan.h"

namespace pydl {

// The family that a slot such as &ReduceKernels::scan belongs to.
template <class Slot>
struct FamilyOf;
template <class Family, class Kernel>
struct FamilyOf<Kernel Family::*> {
  using type = Family;
};

// Runs a kernel whose answer the host reads at once; it is never recorded.
template <auto slot, class... Args>
inline void peek(Device device, const Args&... args) {
  (kernels<typename FamilyOf<decltype(slot)>::type>(device).*slot)(args...);
}

template <auto slot>
const char* kernel_name(Device device) {
  using Family = typename FamilyOf<decltype(slot)>::type;
  const Family& family = kernels<Family>(device);
  const auto place = reinterpret_cast<const char*>(&(family.*slot)) - reinterpret_cast<const char*>(&family);
  return kernel_names<Family>()[static_cast<size_t>(place) / sizeof(void (*)())];
}

template <auto slot, class... Args>
inline void launch(Device device, const Args&... args) {
  if (watched())
    return launch_watched(device, kernels<typename FamilyOf<decltype(slot)>::type>(device).*slot,
                          kernel_name<slot>(device), args...);
  peek<slot>(device, args...);
}

}  // namespace pydl
