// The one door: every kernel is reached through launch, which picks the device's table and runs the slot. What is to
// be known or done about every launch (recording, timing, checks) belongs here and nowhere else.
#pragma once

#include "runtime/dispatch.h"

namespace pydl {

template <auto slot, class... Args>
inline void launch(Device device, const Args&... args) {
  (kernels(device).*slot)(args...);
}

}  // namespace pydl
