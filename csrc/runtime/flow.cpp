#include "runtime/flow.h"

#include <algorithm>
#include <map>

#include "memory/plan_blocks.h"

namespace pydl {
namespace {

// The memory that a plan has written so far, by pieces of what was written last.
class Written {
 public:
  explicit Written(Flow* flow) : flow_(*flow) {}

  void read(int launch, int id, const Access& a) {
    const char* reached = a.begin;
    bool older = false;
    for (auto p = first(a.begin); p != pieces_.end() && p->first < a.end; ++p) {
      const bool whole = p->first == a.begin && p->second.end == a.end && p->second.full && p->second.dense && a.dense;
      flow_.values[p->second.value].uses.push_back({launch, whole});
      if (whole) flow_.value_of[launch][id] = p->second.value;
      older |= p->first > reached;
      reached = p->second.end;
    }
    if (older || reached < a.end) flow_.older.push_back({a.begin, a.end});
  }

  void write(int launch, int id, const Access& a) {
    const bool covers = a.mode == Mode::write && a.dense;
    const int value = static_cast<int>(flow_.values.size());
    flow_.values.push_back({launch, id, false, {}});
    flow_.value_of[launch][id] = value;
    if (!covers)  // what was there shows through
      for (auto p = first(a.begin); p != pieces_.end() && p->first < a.end; ++p)
        flow_.values[p->second.value].uses.push_back({launch, false});
    cut(a.begin, a.end);
    pieces_[a.begin] = {a.end, value, covers, a.dense};
  }

  void read_checked(int launch, const PlanMemory* memory, const std::vector<Range>& touched) {
    for (const auto& [begin, p] : pieces_) {
      const char* end = p.end;
      const auto meets = [begin = begin, end](const Range& r) { return r.begin < end && begin < r.end; };
      if (plan_memory_at(begin) != memory || std::any_of(touched.begin(), touched.end(), meets))
        flow_.values[p.value].uses.push_back({launch, false});
    }
  }

  // What is in other memory than the plan's, or in what is kept of it, lives on.
  void end(const PlanMemory* memory, const std::vector<Range>& kept) {
    for (const auto& [begin, p] : pieces_) {
      bool lives = plan_memory_at(begin) != memory;
      for (const Range& r : kept) lives |= r.begin < p.end && begin < r.end;
      flow_.values[p.value].lives |= lives;
    }
  }

 private:
  struct Piece {
    const char* end;
    int value;
    bool full, dense;  // full: nothing of the value was written over, and nothing older shows through
  };
  using Pieces = std::map<const char*, Piece>;

  Pieces::iterator first(const char* begin) {
    auto p = pieces_.upper_bound(begin);
    if (p != pieces_.begin() && std::prev(p)->second.end > begin) --p;
    return p;
  }

  void cut(const char* begin, const char* end) {
    for (auto p = first(begin); p != pieces_.end() && p->first < end;) {
      const auto [from, old] = *p;
      p = pieces_.erase(p);
      const Piece part{old.end, old.value, false, old.dense};
      if (from < begin) pieces_[from] = {begin, old.value, false, old.dense};
      if (old.end > end) pieces_[end] = part;
    }
  }

  Flow& flow_;
  Pieces pieces_;
};

}  // namespace

Flow::Flow(const std::vector<Traced>& launches, const PlanMemory* memory, const std::vector<Range>& kept) {
  Written written(this);
  for (int i = 0; i < static_cast<int>(launches.size()); ++i) {
    const std::vector<Access>& accesses = launches[i].accesses;
    value_of.emplace_back(accesses.size(), -1);
    if (launches[i].check) written.read_checked(i, memory, launches[i].touched);
    for (size_t k = 0; k < accesses.size(); ++k)
      if (!accesses[k].writes()) written.read(i, static_cast<int>(k), accesses[k]);
    for (size_t k = 0; k < accesses.size(); ++k)
      if (accesses[k].writes()) written.write(i, static_cast<int>(k), accesses[k]);
  }
  written.end(memory, kept);
}

bool conflict(const Access& a, const Access& b) {
  return a.begin < b.end && b.begin < a.end && (a.writes() || b.writes());
}

bool conflict(const Traced& a, const Traced& b) {
  if (a.check || b.check) return true;
  for (const Access& x : a.accesses)
    for (const Access& y : b.accesses)
      if (conflict(x, y)) return true;
  return false;
}

}  // namespace pydl
