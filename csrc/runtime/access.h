// Which memory a recorded launch reads and writes: what the passes over a plan (passes.h) go by. Arrays of a plan whose
// lives do not overlap share memory, so it is addresses that count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/plan.h"

namespace pydl {

enum class Mode : uint8_t {
  read,
  write,   // all elements, whatever they were
  change,  // some elements, or what they become depends on what they were
};

struct Range {
  const char *begin, *end;
};

// One array that a launch reads or writes.
struct Access {
  View* view;  // the argument, in the plan's arena; null where a list or a struct names the array
  const char* begin;
  const char* end;
  Mode mode;
  bool dense;  // its elements follow one another in the order in which the launch walks

  bool writes() const { return mode != Mode::read; }
  bool same(const Access& o) const { return begin == o.begin && end == o.end; }
};

// A launch of a plan with what it reads and writes, argument by argument.
struct Traced {
  Launch launch;
  size_t bytes = 0;    // of the call
  bool check = false;  // code on the host, which may end the replay
  std::vector<Access> accesses;
  std::vector<void**> places;  // where its arguments hold addresses
  std::vector<Range> touched;  // blocks of plans that a check may read and write, besides all other memory
};

std::vector<Traced> traced(Plan& plan);

// Finds what the checks among the launches touch.
void find_touched(const Arena& arena, std::vector<Traced>& launches);

}  // namespace pydl
