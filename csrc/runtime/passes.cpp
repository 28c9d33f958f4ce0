#include "runtime/passes.h"

namespace pydl {

PassCounts optimise(Plan& plan, const std::vector<Range>& kept, PassOptions options) {
  std::vector<Traced> launches = traced(plan);
  PassCounts counts;
  if (options.dead) counts.dead = remove_dead(launches, Flow(launches, plan.memory(), kept));
  if (options.fuse) counts.fused = fuse(launches, Flow(launches, plan.memory(), kept), options.chains, plan.arena());
  auto& list = const_cast<std::vector<Launch>&>(plan.launches());  // a plan is never const where it is recorded
  list.clear();
  for (const Traced& t : launches) list.push_back(t.launch);
  return counts;
}

}  // namespace pydl
