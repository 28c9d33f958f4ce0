#include "runtime/passes.h"

#include <optional>
#include <utility>

namespace pydl {

Passed optimise(Plan& plan, const std::vector<Range>& kept, PassOptions options, const std::vector<Movable>& wanted) {
  const std::vector<Traced> before = traced(plan);
  std::vector<Traced> launches = before;
  Passed made;
  std::optional<Flow> known;
  const auto flow = [&]() -> const Flow& { return known ? *known : known.emplace(launches, plan.memory(), kept); };
  const auto changed = [&](int64_t count) {
    if (count) known.reset();
    return count;
  };
  if (options.dead) made.dead = changed(remove_dead(launches, flow()));
  if (options.epilogue) made.epilogues = changed(join_epilogues(launches, flow()));
  if (options.fuse) made.fused = changed(fuse(launches, flow(), options.chains, plan.arena()));
  if (options.merge) made.merged = changed(merge(launches, options.beside, plan.arena()));
  if (options.reuse) made.reused = reuse(plan, before, launches, flow());
  std::vector<Launch> list;
  for (const Traced& t : launches) list.push_back(t.launch);
  plan.rewrite(std::move(list));
  made.bindings = bindings(plan, before, launches, wanted);
  return made;
}

}  // namespace pydl
