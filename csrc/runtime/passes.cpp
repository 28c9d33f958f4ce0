#include "runtime/passes.h"

#include <utility>

namespace pydl {

Passed optimise(Plan& plan, const std::vector<Range>& kept, PassOptions options, const std::vector<Movable>& wanted) {
  const std::vector<Traced> before = traced(plan);
  std::vector<Traced> launches = before;
  Passed made;
  if (options.dead) made.dead = remove_dead(launches, Flow(launches, plan.memory(), kept));
  if (options.epilogue) made.epilogues = join_epilogues(launches, Flow(launches, plan.memory(), kept));
  if (options.fuse) made.fused = fuse(launches, Flow(launches, plan.memory(), kept), options.chains, plan.arena());
  if (options.reuse) made.reused = reuse(plan, before, launches, Flow(launches, plan.memory(), kept));
  std::vector<Launch> list;
  for (const Traced& t : launches) list.push_back(t.launch);
  plan.rewrite(std::move(list));
  made.bindings = bindings(plan, before, launches, wanted);
  return made;
}

}  // namespace pydl
