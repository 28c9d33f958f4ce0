// The one door: every kernel is reached through launch, which picks the device's table and runs the slot. What is to
// be known or done about every launch (recording, timing, checks) belongs here and nowhere else.
#pragma once

#include "runtime/dispatch.h"

namespace pydl {

// The family that a slot such as &ReduceKernels::scan belongs to.
template <class Slot>
struct FamilyOf;
template <class Family, class Kernel>
struct FamilyOf<Kernel Family::*> {
  using type = Family;
};

template <auto slot, class... Args>
inline void launch(Device device, const Args&... args) {
  (kernels<typename FamilyOf<decltype(slot)>::type>(device).*slot)(args...);
}

}  // namespace pydl
