// Which launches are fused, and what becomes of their arrays.
//
// A launch joins a group where it works on as many elements, reads what the group writes or reads too, and can be moved
// to the group's place (or the group to its own) past launches that it has nothing to do with. Arrays that two launches
// of a group share must be walked through alike, element by element, so that a tile needs nothing of other tiles.
#include <algorithm>
#include <climits>
#include <string>
#include <tuple>
#include <utility>

#include "array/dtype.h"
#include "runtime/passes.h"
#include "runtime/stages.h"

namespace pydl {
namespace {

constexpr size_t kMostStages = 24, kOpenGroups = 4;

// From so many bytes on a result goes past the caches, as kernels let it.
constexpr int64_t kPastCaches = int64_t{24} << 20;

// Whether the second reads what the first writes, or both read one array of all elements.
bool related(const Traced& a, const Traced& b) {
  for (const Access& x : a.accesses)
    for (const Access& y : b.accesses)
      if (x.same(y) && x.dense && !y.writes()) return true;
  return false;
}

// Whether what they share, if one writes it, is walked through alike.
bool together(const Traced& a, const Traced& b) {
  for (const Access& x : a.accesses)
    for (const Access& y : b.accesses)
      if (conflict(x, y) && !(x.same(y) && x.dense && y.dense)) return false;
  return true;
}

// Where a chain keeps addresses, all of it in the arena.
void add_places(const Fused& chain, std::vector<void**>* places) {
  for (auto* s = const_cast<Fused::Stage*>(chain.stages); s < chain.stages + chain.count; ++s)
    for (int k = 0; k < s->count; ++k)
      if (s->operand[k].slot < 0) places->push_back(&s->operand[k].data);
  for (auto* r = const_cast<Fused::Result*>(chain.results); r < chain.results + chain.result_count; ++r)
    places->push_back(&r->data);
  for (auto* t = const_cast<Fused::Total*>(chain.totals); t < chain.totals + chain.total_count; ++t)
    places->push_back(&t->sum);
}

struct Group {
  int64_t n;
  int at;  // the place of the launch in whose stead it runs
  std::vector<int> members;
  Ending ending;

  bool owns(int launch) const { return std::find(members.begin(), members.end(), launch) != members.end(); }
};

class Fuser {
 public:
  Fuser(const std::vector<Traced>& launches, const Flow& flow, FuseOptions options, Arena& arena)
      : launches_(launches), flow_(flow), options_(options), arena_(arena) {}

  // The launches with the chains among them; how many were joined.
  std::pair<std::vector<Traced>, int64_t> run();

 private:
  bool joins(const Group& g, int m) const;
  bool ends_alike(const Group& g, int m) const;
  bool can_move(int i, int from, int to, const Group& g) const;
  bool enters(Group& g, int m);
  void place(int m);
  int value_inside(const Group& g, int launch, size_t access) const;
  int64_t tile_of(const Group& g) const;
  int64_t room_of(const Group& g, int64_t tile) const;
  bool is_large_result(const Group& g, int launch, size_t access) const;
  struct Buffers {
    int64_t bytes = 0;
    std::vector<Fused::Result> results;
  };
  Buffers give_buffers(const Group& g, int64_t room, Fused::Stage* stages) const;
  std::vector<Fused::Total> totals_of(const Group& g, Fused::Stage* stages) const;
  void add_accesses(const Group& g, const std::vector<Fused::Stage>& stages, Traced* all) const;
  template <class T>
  std::pair<const T*, int> kept_all(const std::vector<T>& items) const {
    return {static_cast<const T*>(arena_.copy(items.data(), items.size() * sizeof(T))), static_cast<int>(items.size())};
  }
  Traced built(const Group& g) const;

  const std::vector<Traced>& launches_;
  const Flow& flow_;
  FuseOptions options_;
  Arena& arena_;
  std::vector<Group> groups_;
  std::vector<int> open_;      // groups that launches may still join, those of the latest ones last
  std::vector<int> group_of_;  // of each launch, or -1
  std::vector<int> where_;     // the place at which each launch runs
};

// Whether launch i may run at another place: it meets none of those that it would change its order with.
bool Fuser::can_move(int i, int from, int to, const Group& g) const {
  const int low = std::min(from, to), high = std::max(from, to);
  for (int q = 0; q < static_cast<int>(where_.size()); ++q)
    if (where_[q] >= low && where_[q] <= high && q != i && !g.owns(q) && conflict(launches_[q], launches_[i]))
      return false;
  return true;
}

bool Fuser::joins(const Group& g, int m) const {
  if (g.members.size() >= kMostStages || !ends_alike(g, m)) return false;
  bool any = false;
  for (int i : g.members) any |= related(launches_[i], launches_[m]);
  for (int i : g.members) any = any && together(launches_[i], launches_[m]);
  return any;
}

// Whether tiles can be whole rows of all stages that need that.
bool Fuser::ends_alike(const Group& g, int m) const {
  const Ending ending = ending_of(launches_[m]);
  if (!g.ending.fits(ending)) return false;
  if (g.ending.kind != Ending::rows && ending.kind != Ending::rows) return true;
  return !keeps_vectors(launches_[m].launch) &&
         std::none_of(g.members.begin(), g.members.end(), [&](int i) { return keeps_vectors(launches_[i].launch); });
}

// Takes launch m into a group, which moves to it if it cannot move to the group.
bool Fuser::enters(Group& g, int m) {
  const bool up = can_move(m, m, g.at, g);
  for (size_t i = 0; i < g.members.size() && !up; ++i)
    if (!can_move(g.members[i], g.at, m - 1, g)) return false;
  g.members.push_back(m);
  if (g.ending.kind == Ending::none) g.ending = ending_of(launches_[m]);
  if (!up) g.at = m;
  for (int i : g.members) where_[i] = g.at;
  return true;
}

// Puts launch m into a group, or makes one of it.
void Fuser::place(int m) {
  where_.push_back(m);
  group_of_.push_back(-1);
  if (launches_[m].check) open_.clear();
  const int64_t n = size_of_space(launches_[m]);
  const Ending ending = ending_of(launches_[m]);
  if (n == 0 || n < options_.least || (ending.kind == Ending::rows && ending.columns > options_.tile)) return;
  for (size_t o = open_.size(); o-- > 0;) {
    Group& g = groups_[open_[o]];
    if (g.n != n || !joins(g, m) || !enters(g, m)) continue;
    group_of_[m] = open_[o];
    return;
  }
  group_of_[m] = static_cast<int>(groups_.size());
  open_.push_back(group_of_[m]);
  if (open_.size() > kOpenGroups) open_.erase(open_.begin());
  groups_.push_back({n, m, {m}, ending});
}

// The value that an access is to if that does not leave the group; else -1.
int Fuser::value_inside(const Group& g, int launch, size_t access) const {
  const int value = flow_.value_of[launch][access];
  if (value < 0) return -1;
  const Value& v = flow_.values[value];
  if (ending_of(launches_[v.launch]).kind != Ending::none) return -1;
  const bool inside =
      !v.lives && g.owns(v.launch) && launches_[v.launch].accesses[v.access].mode == Mode::write &&
      std::all_of(v.uses.begin(), v.uses.end(), [&](const Use& u) { return u.whole && g.owns(u.launch); });
  return inside ? value : -1;
}

// Whether a launch writes a large array that the group reads, if at all, as it writes it.
bool Fuser::is_large_result(const Group& g, int launch, size_t access) const {
  const Access& a = launches_[launch].accesses[access];
  if (a.mode != Mode::write || !a.dense || a.end - a.begin < kPastCaches) return false;
  if (ending_of(launches_[launch]).kind != Ending::none || value_inside(g, launch, access) >= 0) return false;
  for (int i : g.members)
    for (size_t k = 0; k < launches_[i].accesses.size(); ++k)
      if (conflict(launches_[i].accesses[k], a) && flow_.value_of[i][k] != flow_.value_of[launch][access]) return false;
  return true;
}

// Whole rows of the stages that have rows, if they fit; else any number of vectors.
int64_t Fuser::tile_of(const Group& g) const {
  if (g.ending.kind == Ending::total) return std::max<int64_t>(1, options_.tile / g.ending.columns) * g.ending.columns;
  int64_t row = g.ending.kind == Ending::rows ? g.ending.columns : 1;
  for (int i : g.members) {
    if (keeps_vectors(launches_[i].launch)) return options_.tile;
    const View& y = *launches_[i].accesses.back().view;
    if (y.ndim > 1 && row == 1 && y.shape[y.ndim - 1] <= options_.tile) row = y.shape[y.ndim - 1];
  }
  return options_.tile / row * row;
}

// Bytes of a buffer. Not a multiple of a page, so that buffers do not compete for the same lines of the cache.
int64_t Fuser::room_of(const Group& g, int64_t tile) const {
  size_t widest = 1;
  for (int i : g.members)
    for (const Access& a : launches_[i].accesses) widest = std::max(widest, size_of(a.view->dtype));
  return (tile * static_cast<int64_t>(widest) + 63) / 64 * 64 + 256;
}

// Gives each value inside the group a buffer until its last use, and large results one until their tile is complete.
Fuser::Buffers Fuser::give_buffers(const Group& g, int64_t room, Fused::Stage* stages) const {
  Buffers made;
  std::vector<int> last;                      // the launch that reads each buffer last
  std::vector<std::pair<int, int64_t>> held;  // values and where they are
  for (size_t m = 0; m < g.members.size(); ++m) {
    const int i = g.members[m];
    for (size_t k = 0; k < launches_[i].accesses.size(); ++k) {
      const int value = flow_.value_of[i][k];
      const bool result = is_large_result(g, i, k);
      Fused::Operand& operand = stages[m].operand[k];
      if (result || (launches_[i].accesses[k].writes() && value_inside(g, i, k) >= 0)) {
        int end = result ? INT_MAX : i;
        for (const Use& u : flow_.values[value].uses) end = std::max(end, u.launch);
        const auto free = std::find_if(last.begin(), last.end(), [i](int until) { return until < i; });
        held.emplace_back(value, (free - last.begin()) * room);
        if (result) made.results.push_back({operand.data, held.back().second, operand.size});
        if (free == last.end())
          last.push_back(end);
        else
          *free = end;
      }
      for (const auto& [v, at] : held)
        if (v == value) operand.slot = at, operand.data = nullptr;
    }
  }
  made.bytes = static_cast<int64_t>(last.size()) * room;
  return made;
}

// A stage that adds all elements writes partial results, which are added up when all tiles are through.
std::vector<Fused::Total> Fuser::totals_of(const Group& g, Fused::Stage* stages) const {
  std::vector<Fused::Total> totals;
  for (size_t m = 0; m < g.members.size(); ++m) {
    const Traced& t = launches_[g.members[m]];
    if (ending_of(t).kind != Ending::total) continue;
    Fused::Operand& sum = stages[m].operand[1];
    void* parts = arena_.take(static_cast<size_t>(stages[m].shape[0] * sum.size));
    totals.push_back({parts, sum.data, stages[m].shape[0], t.accesses[1].view->dtype});
    sum.data = parts;
  }
  return totals;
}

// What the chain as a whole reads and writes.
void Fuser::add_accesses(const Group& g, const std::vector<Fused::Stage>& stages, Traced* all) const {
  for (size_t m = 0; m < stages.size(); ++m)
    for (int k = 0; k < stages[m].count; ++k) {
      const Access& a = launches_[g.members[m]].accesses[k];
      if (value_inside(g, g.members[m], static_cast<size_t>(k)) >= 0) continue;
      const bool again = std::any_of(all->accesses.begin(), all->accesses.end(),
                                     [&](const Access& b) { return a.same(b) && a.mode == b.mode; });
      if (again) continue;
      all->launch.bytes += traffic(*a.view);
      all->accesses.push_back(a);
    }
}

Traced Fuser::built(const Group& g) const {
  constexpr size_t kLine = 64;
  std::vector<Fused::Stage> stages;
  for (int i : g.members) stages.push_back(stage_of(launches_[i]));
  Traced all{};
  add_accesses(g, stages, &all);
  Fused chain{};
  chain.n = g.n;
  chain.tile = tile_of(g);
  const std::vector<Fused::Total> totals = totals_of(g, stages.data());
  const Buffers buffers = give_buffers(g, room_of(g, chain.tile), stages.data());
  chain.buffers = static_cast<size_t>(buffers.bytes);
  std::string label;
  for (size_t m = 0; m < stages.size(); ++m) {
    const Launch& l = launches_[g.members[m]].launch;
    stages[m].at = chain.calls;
    chain.calls += (stages[m].bytes + kLine - 1) / kLine * kLine;
    chain.work += work_of(l);
    label += (m ? " " : "") + std::string(*l.label ? l.label : l.name);
    all.launch.nanoseconds += l.nanoseconds;
    all.launch.flops += l.flops;
  }
  std::tie(chain.stages, chain.count) = kept_all(stages);
  std::tie(chain.results, chain.result_count) = kept_all(buffers.results);
  std::tie(chain.totals, chain.total_count) = kept_all(totals);
  add_places(chain, &all.places);
  all.launch.run = [](const void* fused) { static_cast<const Fused*>(fused)->run(); };
  all.launch.call = arena_.copy(&chain, sizeof chain);
  all.launch.name = "fused";
  all.launch.label = static_cast<const char*>(arena_.copy(label.c_str(), label.size() + 1));
  all.launch.scope = launches_[g.members.back()].launch.scope;
  return all;
}

std::pair<std::vector<Traced>, int64_t> Fuser::run() {
  const int count = static_cast<int>(launches_.size());
  for (int i = 0; i < count; ++i) place(i);
  std::vector<Traced> order;
  int64_t joined = 0;
  for (int i = 0; i < count; ++i) {
    const Group* g = group_of_[i] < 0 ? nullptr : &groups_[group_of_[i]];
    if (!g || g->members.size() == 1) {
      order.push_back(launches_[i]);
    } else if (g->at == i) {
      joined += static_cast<int64_t>(g->members.size());
      order.push_back(built(*g));
    }
  }
  return {std::move(order), joined};
}

}  // namespace

int64_t fuse(std::vector<Traced>& launches, const Flow& flow, FuseOptions options, Arena& arena) {
  auto [order, joined] = Fuser(launches, flow, options, arena).run();
  launches = std::move(order);
  return joined;
}

}  // namespace pydl
