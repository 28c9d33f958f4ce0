// Reuse: where the arrays lie that only the plan itself reads. While a function is recorded, an array gets a block
// before those that its launch reads are gone. Here all lives are known: an elementwise launch writes over what it
// reads last, and arrays whose lives do not meet share memory, in one block that is as small as they allow.
#include <algorithm>
#include <climits>
#include <cstdint>
#include <string_view>
#include <utility>

#include "memory/pool.h"
#include "runtime/fused.h"
#include "runtime/passes.h"
#include "runtime/stages.h"

namespace pydl {
namespace {

using Block = PlanMemory::Block;

// What lies in a block from the launch that writes it first to the one that reads it last: an array, or several that
// are there at one time.
struct Tenant {
  size_t block;
  const char *begin, *end;
  int first, last;
  bool stays;
  size_t group;  // of tenants that follow one another in one place

  size_t bytes() const { return static_cast<size_t>(end - begin); }
};

// Tenants of one size of which each is written over the one before.
struct Group {
  size_t bytes, at;  // where it lies in its room
  int first, last;
  size_t room;

  bool meets(const Group& g) const { return first <= g.last && g.first <= last; }
};

// Memory to give out: a block in which something stays, or the new one.
struct Room {
  const char* begin;
  size_t bytes;
  std::vector<const Group*> groups;  // by address

  // The lowest place for a group.
  size_t place_for(const Group& g) const {
    size_t at = 0;
    for (const Group* p : groups) {
      if (!p->meets(g)) continue;
      if (at + g.bytes <= p->at) break;
      at = std::max(at, p->at + p->bytes);
    }
    return at;
  }
  void take(const Group& g) {
    groups.insert(std::upper_bound(groups.begin(), groups.end(), &g, [](auto* a, auto* b) { return a->at < b->at; }),
                  &g);
  }
};

const char* aligned_down(const char* p) { return p - reinterpret_cast<uintptr_t>(p) % kAlignment; }
const char* aligned_up(const char* p) { return aligned_down(p + kAlignment - 1); }

// Whether a chain has read the last of x when it begins to write y, tile by tile.
bool reads_before(const Fused& chain, const Access& x, const Access& y) {
  bool written = false;
  for (const Fused::Stage* s = chain.stages; s < chain.stages + chain.count; ++s) {
    bool reads = false, writes = false;
    for (int k = 0; k < s->count; ++k) {
      const auto* data = static_cast<const char*>(s->operand[k].data);
      if (s->operand[k].slot >= 0) continue;
      reads |= data >= x.begin && data < x.end;
      writes |= data == y.begin && k == s->count - 1;
    }
    if (reads && written) return false;
    written |= writes;
  }
  return true;
}

class Layout {
 public:
  Layout(std::vector<Traced>* launches, const Flow& flow, std::vector<Block> blocks)
      : launches_(*launches), flow_(flow), blocks_(std::move(blocks)) {}

  // fixed: blocks that something else than the argument of a launch names
  void find_tenants(std::vector<char> fixed);
  int64_t share();  // lets launches write over what they read; how many do
  size_t place();   // gives the bytes of the new block
  const std::vector<const void*>& left() const { return left_; }  // blocks that nothing lies in any more
  void move_to(char* fresh);

 private:
  size_t block_at(const void* p) const;
  Tenant* tenant_at(const void* p, int launch);
  bool writes_over(int launch, const Access& x, const Access& y) const;
  bool shares(int launch);
  void find_rooms();

  std::vector<Traced>& launches_;
  const Flow& flow_;
  std::vector<Block> blocks_;    // by address
  std::vector<Tenant> tenants_;  // by block, then by time
  std::vector<size_t> begins_;   // of each block, where its tenants begin; and their count
  std::vector<Group> groups_;
  std::vector<char> fixed_;
  std::vector<Room> rooms_;
  std::vector<const void*> left_;
};

// The block that an address is in; their count if it is in none.
size_t Layout::block_at(const void* p) const {
  const char* at = static_cast<const char*>(p);
  const auto after =
      std::upper_bound(blocks_.begin(), blocks_.end(), at, [](const char* x, const Block& b) { return x < b.begin; });
  return after != blocks_.begin() && at < std::prev(after)->end ? static_cast<size_t>(after - blocks_.begin()) - 1
                                                                : blocks_.size();
}

void Layout::find_tenants(std::vector<char> fixed) {
  for (const Range& r : flow_.older)
    if (const size_t b = block_at(r.begin); b < blocks_.size()) fixed[b] = 1;
  fixed_ = std::move(fixed);
  std::vector<Tenant> values;
  for (const Value& v : flow_.values) {
    const Access& a = launches_[v.launch].accesses[v.access];
    const size_t b = block_at(a.begin);
    if (b == blocks_.size()) continue;
    int last = v.lives ? INT_MAX : v.launch;
    for (const Use& u : v.uses) last = std::max(last, u.launch);
    values.push_back({b, aligned_down(a.begin), aligned_up(a.end), v.launch, last, v.lives || fixed_[b], 0});
  }
  std::sort(values.begin(), values.end(),
            [](const Tenant& a, const Tenant& b) { return std::pair(a.block, a.first) < std::pair(b.block, b.first); });
  for (const Tenant& v : values) {
    if (tenants_.empty() || tenants_.back().block != v.block || tenants_.back().last < v.first) {
      tenants_.push_back(v);
      continue;
    }
    Tenant& t = tenants_.back();
    t.begin = std::min(t.begin, v.begin), t.end = std::max(t.end, v.end);
    t.last = std::max(t.last, v.last);
    t.stays |= v.stays;
  }
  begins_.assign(blocks_.size() + 1, 0);
  for (const Tenant& t : tenants_) ++begins_[t.block + 1];
  for (size_t b = 0; b < blocks_.size(); ++b) begins_[b + 1] += begins_[b];
  for (Tenant& t : tenants_) {
    t.group = groups_.size();
    groups_.push_back({t.bytes(), static_cast<size_t>(t.begin - blocks_[t.block].begin), t.first, t.last, 0});
  }
}

Tenant* Layout::tenant_at(const void* p, int launch) {
  const size_t b = block_at(p);
  if (b == blocks_.size()) return nullptr;
  const auto at = [this](size_t i) { return tenants_.begin() + static_cast<std::ptrdiff_t>(i); };
  const auto after =
      std::upper_bound(at(begins_[b]), at(begins_[b + 1]), launch, [](int i, const Tenant& t) { return i < t.first; });
  return after != at(begins_[b]) && launch <= std::prev(after)->last ? &*std::prev(after) : nullptr;
}

// Whether a launch may write y in the place of x: element by element, each after it has read it.
bool Layout::writes_over(int launch, const Access& x, const Access& y) const {
  const Traced& t = launches_[launch];
  if (x.writes() || !x.view || !x.dense || x.end - x.begin != y.end - y.begin) return false;
  if (x.view->dtype != y.view->dtype || x.view->numel() != y.view->numel()) return false;
  return std::string_view(t.launch.name) != "fused" || reads_before(*static_cast<const Fused*>(t.launch.call), x, y);
}

// Puts what a launch writes in the place of what it reads for the last time, if it can.
bool Layout::shares(int launch) {
  const std::vector<Access>& accesses = launches_[launch].accesses;
  for (const Access& y : accesses) {
    Tenant* to = y.mode == Mode::write && y.view && y.dense ? tenant_at(y.begin, launch) : nullptr;
    if (!to || to->stays || to->first != launch || y.begin != to->begin) continue;
    for (const Access& x : accesses) {
      const Tenant* from = writes_over(launch, x, y) ? tenant_at(x.begin, launch) : nullptr;
      if (!from || from->stays || from->last != launch || x.begin != from->begin || from == to) continue;
      if (from->bytes() != to->bytes()) continue;
      const bool alone = std::all_of(accesses.begin(), accesses.end(), [&](const Access& a) {
        return tenant_at(a.begin, launch) != from || (a.same(x) && a.dense && a.view && !a.writes());
      });
      if (!alone) continue;
      Group& kept = groups_[from->group];
      Group& gone = groups_[to->group];
      kept.last = gone.last;
      gone.bytes = 0;
      to->group = from->group;
      return true;
    }
  }
  return false;
}

int64_t Layout::share() {
  int64_t count = 0;
  for (int i = 0; i < static_cast<int>(launches_.size()); ++i) count += writes_by_element(launches_[i]) && shares(i);
  return count;
}

// What stays where it is, and the rooms, the smallest first and the new one last.
void Layout::find_rooms() {
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const auto begin = tenants_.begin() + static_cast<std::ptrdiff_t>(begins_[b]);
    const auto end = tenants_.begin() + static_cast<std::ptrdiff_t>(begins_[b + 1]);
    const bool kept = std::any_of(begin, end, [](const Tenant& t) { return t.stays; });
    if (!kept && !fixed_[b] && !blocks_[b].live) left_.push_back(blocks_[b].begin);
    if (!kept || fixed_[b]) continue;
    rooms_.push_back({blocks_[b].begin, static_cast<size_t>(blocks_[b].end - blocks_[b].begin), {}});
    for (auto t = begin; t != end; ++t)
      if (t->stays) rooms_.back().take(groups_[t->group]);
  }
  std::stable_sort(rooms_.begin(), rooms_.end(), [](const Room& a, const Room& b) { return a.bytes < b.bytes; });
  rooms_.push_back({nullptr, SIZE_MAX, {}});
}

// The largest groups first, each into the first room that is large enough, as low as those that it meets in time let
// it.
size_t Layout::place() {
  find_rooms();
  std::vector<char> stays(groups_.size(), 0);
  for (const Tenant& t : tenants_) stays[t.group] |= t.stays;
  std::vector<Group*> order;
  for (size_t g = 0; g < groups_.size(); ++g)
    if (!stays[g] && groups_[g].bytes) order.push_back(&groups_[g]);
  std::stable_sort(order.begin(), order.end(), [](const Group* a, const Group* b) { return a->bytes > b->bytes; });
  size_t bytes = 0;
  for (Group* g : order)
    for (size_t r = 0; r < rooms_.size(); ++r) {
      if (rooms_[r].bytes < g->bytes) continue;
      g->at = rooms_[r].place_for(*g), g->room = r;
      if (g->at > rooms_[r].bytes - g->bytes) continue;
      rooms_[r].take(*g);
      if (!rooms_[r].begin) bytes = std::max(bytes, g->at + g->bytes);
      break;
    }
  return bytes;
}

void Layout::move_to(char* fresh) {
  const auto moved = [&](const char* p, int launch) -> char* {
    const Tenant* t = tenant_at(p, launch);
    if (!t || t->stays) return nullptr;
    const Group& g = groups_[t->group];
    char* begin = rooms_[g.room].begin ? const_cast<char*>(rooms_[g.room].begin) : fresh;
    return begin + g.at + (p - t->begin);
  };
  std::vector<std::pair<void**, char*>> places;
  for (int i = 0; i < static_cast<int>(launches_.size()); ++i) {
    for (void** place : launches_[i].places)
      if (char* to = moved(static_cast<const char*>(*place), i)) places.emplace_back(place, to);
    for (Access& a : launches_[i].accesses)
      if (const char* to = moved(a.begin, i)) a.end = to + (a.end - a.begin), a.begin = to;
  }
  for (const auto& [place, to] : places) *place = to;
}

}  // namespace

int64_t reuse(Plan& plan, const std::vector<Traced>& before, std::vector<Traced>& launches, const Flow& flow) {
  const std::vector<Block> blocks = plan.memory()->blocks();
  std::vector<Range> ranges;
  for (const Block& b : blocks) ranges.push_back({b.begin, b.end});
  Layout layout(&launches, flow, blocks);
  layout.find_tenants(named_elsewhere(plan.arena(), before, launches, ranges));
  const int64_t shared = layout.share();
  const size_t bytes = layout.place();
  const std::vector<const void*>& left = layout.left();
  size_t gained = 0;
  for (const Block& b : blocks)
    if (std::binary_search(left.begin(), left.end(), b.begin)) gained += static_cast<size_t>(b.end - b.begin);
  if (gained <= bytes) return 0;
  layout.move_to(static_cast<char*>(plan.memory()->exchange(left, bytes)));
  return shared;
}

}  // namespace pydl
