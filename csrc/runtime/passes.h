// Passes over the launches of a plan, each of which leaves every bit of what the plan computes as it was.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/rebind.h"

namespace pydl {

// Removes launches whose results nobody reads. Gives how many.
int64_t remove_dead(std::vector<Traced>& launches, const Flow& flow);

// Lets products apply the activation that follows them. Gives how many launches they took over.
int64_t join_epilogues(std::vector<Traced>& launches, const Flow& flow);

struct FuseOptions {
  int64_t least;  // elements from which on launches are fused
  int64_t tile;   // elements that a fused chain works on at a time
};

// Joins elementwise launches over one index space to chains that run tile by tile; what only they read does not leave
// the cache. Gives how many launches were joined.
int64_t fuse(std::vector<Traced>& launches, const Flow& flow, FuseOptions options, Arena& arena);

struct MergeOptions {
  int64_t least,
      most;  // nanoseconds of a launch that is merged: that it took, and that a core needs for it at its best
};

// Lets launches run beside one another, on several threads, that have nothing to do with each other. Gives how many do.
int64_t merge(std::vector<Traced>& launches, MergeOptions options, Arena& arena);

// Gives the arrays that only launches read places of their own, so that they take as little memory as their lives
// allow; elementwise launches write over what they read last. Gives how many do.
// before: the launches as they were recorded.
int64_t reuse(Plan& plan, const std::vector<Traced>& before, std::vector<Traced>& launches, const Flow& flow);

struct PassOptions {
  bool dead, epilogue, fuse, merge, reuse;
  FuseOptions chains;
  MergeOptions beside;
};
struct Passed {
  int64_t dead = 0, epilogues = 0, fused = 0, merged = 0, reused = 0;  // launches
  std::vector<Binding> bindings;                                       // of what was wanted
};

// Runs passes over a plan that was recorded. kept: the memory of its own that is read after a replay; wanted: what of
// it should lie elsewhere in every replay.
Passed optimise(Plan& plan, const std::vector<Range>& kept, PassOptions options, const std::vector<Movable>& wanted);

}  // namespace pydl
