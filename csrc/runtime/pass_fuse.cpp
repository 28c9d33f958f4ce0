// Which launches are fused, and what becomes of their arrays.
//
// A launch joins a group where it works on as many elements, reads what the group writes or reads too, and can be moved
// to the group's place (or the group to its own) past launches that it has nothing to do with. Arrays that two launches
// of a group share must be walked through alike, element by element, so that a tile needs nothing of other tiles.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "array/dtype.h"
#include "runtime/fused.h"
#include "runtime/passes.h"

namespace pydl {
namespace {

constexpr size_t kMostStages = 24, kOpenGroups = 4;

bool is(const char* name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [name](const char* n) { return !std::strcmp(name, n); });
}

// Work of an element in the units of parallel_for, about.
int64_t work_of(const Launch& l) {
  if (is(l.name, {"special"}) || is(l.label, {"pow", "zeta", "gammainc", "gammaincc"})) return 12;
  return is(l.name, {"unary", "activation", "activation_grad"}) ? 4 : 1;
}

// Whose vectors take another way where one of their elements is large: their first elements must stay where they are.
bool keeps_vectors(const Launch& l) { return is(l.label, {"sin", "cos", "tan", "sinc", "lgamma", "digamma"}); }

// How many elements an elementwise launch works on; 0 for any other launch, and for layouts that gain nothing.
int64_t size_of_space(const Traced& t) {
  const Launch& l = t.launch;
  if (t.accesses.empty() || !is(l.name, {"unary", "special", "activation", "activation_grad", "test", "binary",
                                         "ternary", "compare", "where", "copy", "move"}))
    return 0;
  const Access& y = t.accesses.back();
  if (!y.dense) return 0;
  bool one_axis = true;
  for (const Access& a : t.accesses) {
    const View& v = *a.view;
    const int64_t step = v.strides[v.ndim - 1];
    if (step != 1 && step != 0 && v.shape[v.ndim - 1] != 1) return 0;
    one_axis &= v.ndim == 1;
  }
  // An exponent that all elements have is a case of its own, which a tile must not fall into by chance.
  if (!std::strcmp(l.label, "pow")) {
    const View& b = *t.accesses[1].view;
    for (int i = 0; i < b.ndim; ++i)
      if (b.strides[i] != 0) return 0;
  }
  if (keeps_vectors(l) && (!one_axis || reinterpret_cast<uintptr_t>(y.begin) % 64 != 0)) return 0;
  return y.view->numel();
}

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

struct Group {
  int64_t n;
  int at;  // the place of the launch in whose stead it runs
  std::vector<int> members;

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
  bool can_move(int i, int from, int to, const Group& g) const;
  bool enters(Group& g, int m);
  void place(int m);
  int value_inside(const Group& g, int launch, size_t access) const;
  int64_t tile_of(const Group& g) const;
  int64_t room_of(const Group& g, int64_t tile) const;
  Fused::Stage stage_of(const Traced& t) const;
  int64_t give_buffers(const Group& g, int64_t room, Fused::Stage* stages) const;
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
  if (g.members.size() >= kMostStages) return false;
  bool any = false;
  for (int i : g.members) any |= related(launches_[i], launches_[m]);
  for (int i : g.members) any = any && together(launches_[i], launches_[m]);
  return any;
}

// Takes launch m into a group, which moves to it if it cannot move to the group.
bool Fuser::enters(Group& g, int m) {
  const bool up = can_move(m, m, g.at, g);
  for (size_t i = 0; i < g.members.size() && !up; ++i)
    if (!can_move(g.members[i], g.at, m - 1, g)) return false;
  g.members.push_back(m);
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
  if (n == 0 || n < options_.least) return;
  for (size_t o = open_.size(); o-- > 0;) {
    Group& g = groups_[open_[o]];
    if (g.n != n || !joins(g, m) || !enters(g, m)) continue;
    group_of_[m] = open_[o];
    return;
  }
  group_of_[m] = static_cast<int>(groups_.size());
  open_.push_back(group_of_[m]);
  if (open_.size() > kOpenGroups) open_.erase(open_.begin());
  groups_.push_back({n, m, {m}});
}

// The value that an access is to if that does not leave the group; else -1.
int Fuser::value_inside(const Group& g, int launch, size_t access) const {
  const int value = flow_.value_of[launch][access];
  if (value < 0) return -1;
  const Value& v = flow_.values[value];
  const bool inside =
      !v.lives && g.owns(v.launch) && launches_[v.launch].accesses[v.access].mode == Mode::write &&
      std::all_of(v.uses.begin(), v.uses.end(), [&](const Use& u) { return u.whole && g.owns(u.launch); });
  return inside ? value : -1;
}

// Whole rows of the stages that have rows, if they fit; else any number of vectors.
int64_t Fuser::tile_of(const Group& g) const {
  int64_t row = 1;
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

Fused::Stage Fuser::stage_of(const Traced& t) const {
  Fused::Stage s{};
  s.run = t.launch.run;
  s.call = t.launch.call;
  s.bytes = t.bytes;
  for (const Access& a : t.accesses) {
    const View& v = *a.view;
    Fused::Operand& o = s.operand[s.count++];
    o = {reinterpret_cast<const char*>(&v) - static_cast<const char*>(s.call),
         v.as<char>(),
         -1,
         static_cast<int64_t>(size_of(v.dtype)),
         {}};
    std::copy(v.strides, v.strides + v.ndim, o.strides);
    std::copy(v.shape, v.shape + v.ndim, s.shape);
    s.ndim = v.ndim;
  }
  int64_t inner = 1;
  for (int i = s.ndim - 1; i >= 0; --i) s.inner[i] = inner, inner *= s.shape[i];
  return s;
}

// Gives each value inside the group a buffer until its last use; the bytes of all buffers.
int64_t Fuser::give_buffers(const Group& g, int64_t room, Fused::Stage* stages) const {
  std::vector<int> last;                      // the launch that reads each buffer last
  std::vector<std::pair<int, int64_t>> held;  // values and where they are
  for (size_t m = 0; m < g.members.size(); ++m) {
    const int i = g.members[m];
    for (size_t k = 0; k < launches_[i].accesses.size(); ++k) {
      const int value = value_inside(g, i, k);
      if (value < 0) continue;
      if (launches_[i].accesses[k].writes()) {
        int end = i;
        for (const Use& u : flow_.values[value].uses) end = std::max(end, u.launch);
        const auto free = std::find_if(last.begin(), last.end(), [i](int until) { return until < i; });
        held.emplace_back(value, (free - last.begin()) * room);
        if (free == last.end())
          last.push_back(end);
        else
          *free = end;
      }
      for (const auto& [v, at] : held)
        if (v == value) stages[m].operand[k].slot = at;
    }
  }
  return static_cast<int64_t>(last.size()) * room;
}

Traced Fuser::built(const Group& g) const {
  constexpr size_t kLine = 64;
  std::vector<Fused::Stage> stages;
  for (int i : g.members) stages.push_back(stage_of(launches_[i]));
  Fused chain{};
  chain.n = g.n;
  chain.tile = tile_of(g);
  chain.buffers = static_cast<size_t>(give_buffers(g, room_of(g, chain.tile), stages.data()));
  chain.count = static_cast<int>(stages.size());
  Traced all{};
  std::string label;
  for (int m = 0; m < chain.count; ++m) {
    const Traced& t = launches_[g.members[m]];
    stages[m].at = chain.calls;
    chain.calls += (t.bytes + kLine - 1) / kLine * kLine;
    chain.work += work_of(t.launch);
    label += (m ? " " : "") + std::string(*t.launch.label ? t.launch.label : t.launch.name);
    all.launch.nanoseconds += t.launch.nanoseconds;
    for (int k = 0; k < stages[m].count; ++k) {
      const Access& a = t.accesses[k];
      if (stages[m].operand[k].slot >= 0) continue;
      const bool again = std::any_of(all.accesses.begin(), all.accesses.end(),
                                     [&](const Access& b) { return a.same(b) && a.mode == b.mode; });
      if (!again) all.launch.bytes += traffic(*a.view);
      if (!again) all.accesses.push_back(a);
    }
  }
  chain.stages = static_cast<const Fused::Stage*>(arena_.copy(stages.data(), stages.size() * sizeof(Fused::Stage)));
  all.launch.run = [](const void* fused) { static_cast<const Fused*>(fused)->run(); };
  all.launch.call = arena_.copy(&chain, sizeof chain);
  all.launch.name = "fused";
  all.launch.label = static_cast<const char*>(arena_.copy(label.c_str(), label.size() + 1));
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
