// Rebind: arrays of a plan that lie elsewhere in every replay. What a call is given and what it gives is large at
// times; then the launches are told where it lies, and nothing is copied.
#pragma once

#include <vector>

#include "runtime/flow.h"

namespace pydl {

// The places in a plan where its launches name one array's memory.
class Binding {
 public:
  Binding() = default;
  Binding(const char* begin, std::vector<void**> places);
  static Binding of_nothing() {
    Binding none;
    none.used_ = false;
    return none;
  }

  bool bound() const { return used_ && !places_.empty(); }
  bool unused() const { return !used_; }  // nothing names the array: it may be anything
  void to(void* data) const {
    for (const auto& [place, offset] : places_) *place = static_cast<char*>(data) + offset;
  }

 private:
  std::vector<std::pair<void**, std::ptrdiff_t>> places_;
  bool used_ = true;
};

enum class Side { in, out };
struct Movable {
  Range range;
  Side side;
};

// Of each range whether an address in it stands anywhere in the arena but in an argument of a launch. A number that
// looks like one costs a chance to do better, no more. The ranges do not meet.
std::vector<char> named_elsewhere(const Arena& arena, const std::vector<Traced>& before,
                                  const std::vector<Traced>& after, const std::vector<Range>& ranges);

// Bindings of ranges of a plan's own memory, empty for those that must stay where they are: ranges that something else
// than a launch's argument names (a check on the host, a launch that may be left out), and results that launches
// do not write as a whole, or in whose memory, when it was another array's, more was written. Arguments that nothing
// names need not even be copied.
// before, after: the launches as they were recorded, and as they run.
std::vector<Binding> bindings(Plan& plan, const std::vector<Traced>& before, const std::vector<Traced>& after,
                              const std::vector<Movable>& wanted);

}  // namespace pydl
