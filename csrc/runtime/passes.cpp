#include "runtime/passes.h"

#include <utility>

namespace pydl {

PassCounts optimise(Plan& plan, const std::vector<Range>& kept, PassOptions options) {
  std::vector<Traced> launches = traced(plan);
  PassCounts counts;
  if (options.dead) counts.dead = remove_dead(launches, Flow(launches, plan.memory(), kept));
  if (options.fuse) counts.fused = fuse(launches, Flow(launches, plan.memory(), kept), options.chains, plan.arena());
  std::vector<Launch> list;
  for (const Traced& t : launches) list.push_back(t.launch);
  plan.rewrite(std::move(list));
  return counts;
}

}  // namespace pydl
