// Flow: which launch of a plan reads what which other one wrote.
#pragma once

#include <vector>

#include "runtime/access.h"

namespace pydl {

// Where a value is read.
struct Use {
  int launch;
  bool whole;  // all of it and nothing else, in the order in which it was written
};

// What one launch writes to one array.
struct Value {
  int launch, access;
  bool lives;  // somebody may read it after the plan
  std::vector<Use> uses;
};

struct Flow {
  // kept: memory of the plan's own that is read after it.
  Flow(const std::vector<Traced>& launches, const PlanMemory* memory, const std::vector<Range>& kept);

  std::vector<Value> values;
  std::vector<Range> older;  // read before a launch writes it
  // Of each access of each launch: the value that it writes, or reads whole; -1 for others.
  std::vector<std::vector<int>> value_of;
};

// Whether two accesses, or any of two launches', meet in memory that one of them writes.
bool conflict(const Access& a, const Access& b);
bool conflict(const Traced& a, const Traced& b);

}  // namespace pydl
