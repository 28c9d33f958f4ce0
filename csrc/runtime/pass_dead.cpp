#include <algorithm>
#include <utility>

#include "runtime/passes.h"

namespace pydl {

int64_t remove_dead(std::vector<Traced>& launches, const Flow& flow) {
  std::vector<char> dead(launches.size(), 0);
  const auto read = [&](const Value& v) {
    return v.lives || std::any_of(v.uses.begin(), v.uses.end(), [&](const Use& u) { return !dead[u.launch]; });
  };
  for (size_t i = launches.size(); i-- > 0;) {
    const Traced& t = launches[i];
    dead[i] = !t.check && !t.accesses.empty();
    for (size_t k = 0; k < t.accesses.size() && dead[i]; ++k)
      if (t.accesses[k].writes()) dead[i] = !read(flow.values[flow.value_of[i][k]]);
  }
  size_t n = 0;
  for (size_t i = 0; i < launches.size(); ++i) {
    if (dead[i]) continue;
    if (n != i) launches[n] = std::move(launches[i]);
    ++n;
  }
  const auto removed = static_cast<int64_t>(launches.size() - n);
  launches.resize(n);
  return removed;
}

}  // namespace pydl
