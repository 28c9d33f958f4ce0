// Stages: which launches may be part of a fused chain, and how each walks over the chain's elements.
#pragma once

#include "runtime/access.h"
#include "runtime/fused.h"

namespace pydl {

// How a launch ends a chain, if it does.
struct Ending {
  enum Kind { none, rows, total } kind = none;  // rows: of each row one number; total: of all elements
  int64_t columns = 0;                          // of a row

  bool fits(const Ending& o) const {
    return kind == none || o.kind == none || (kind == o.kind && columns == o.columns);
  }
};
Ending ending_of(const Traced& t);

bool on_device(const Traced& t);

// How many elements a launch works on; 0 for a launch that cannot be fused, and for layouts that gain nothing.
int64_t size_of_space(const Traced& t);

// Whether a launch writes each element when it has read those of its place, and those alone.
bool writes_by_element(const Traced& t);

// Work of an element in the units of parallel_for, about.
int64_t work_of(const Launch& l);

// Whose vectors take another way where one of their elements is large: their first elements must stay where they are.
bool keeps_vectors(const Launch& l);

// The stage of a launch, all of its operands in memory.
Fused::Stage stage_of(const Traced& t);

}  // namespace pydl
