#include "runtime/rebind.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <unordered_set>

namespace pydl {
namespace {

using Places = std::unordered_set<const void*>;

bool inside(const void* p, const Range& r) { return p >= r.begin && p < r.end; }

Places all_places(const std::vector<Traced>& before, const std::vector<Traced>& after) {
  Places known;
  for (const auto* launches : {&before, &after})
    for (const Traced& t : *launches) known.insert(t.places.begin(), t.places.end());
  return known;
}

// Whether launches write all of a range, and nothing beside it in its block.
bool written(const std::vector<Traced>& launches, const Range& r) {
  std::vector<Range> parts;
  for (const Traced& t : launches)
    for (const Access& a : t.accesses) {
      if (!inside(a.begin, r)) continue;
      if (a.end > r.end) return false;
      if (a.mode == Mode::write && a.dense) parts.push_back({a.begin, a.end});
    }
  std::sort(parts.begin(), parts.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  const char* reached = r.begin;
  for (const Range& part : parts)
    if (part.begin <= reached) reached = std::max(reached, part.end);
  return reached == r.end;
}

}  // namespace

std::vector<char> named_elsewhere(const Arena& arena, const std::vector<Traced>& before,
                                  const std::vector<Traced>& after, const std::vector<Range>& ranges) {
  const Places known = all_places(before, after);
  std::vector<size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ranges[a].begin < ranges[b].begin; });
  std::vector<char> found(ranges.size(), 0);
  if (ranges.empty()) return found;
  const Range all{ranges[order.front()].begin, ranges[order.back()].end};
  for (const Arena::Chunk& chunk : arena.chunks())
    for (size_t at = 0; at + sizeof(void*) <= chunk.used; at += alignof(void*)) {
      const char* word = chunk.memory.get() + at;
      const char* value;
      std::memcpy(&value, word, sizeof value);
      if (!inside(value, all)) continue;
      const auto after_it = std::upper_bound(order.begin(), order.end(), value,
                                             [&](const char* x, size_t i) { return x < ranges[i].begin; });
      const size_t i = *std::prev(after_it);
      if (inside(value, ranges[i]) && !known.count(word)) found[i] = 1;
    }
  return found;
}

Binding::Binding(const char* begin, std::vector<void**> places) {
  for (void** place : places) places_.emplace_back(place, static_cast<char*>(*place) - begin);
}

std::vector<Binding> bindings(Plan& plan, const std::vector<Traced>& before, const std::vector<Traced>& after,
                              const std::vector<Movable>& wanted) {
  if (wanted.empty()) return {};
  std::vector<Range> ranges;
  for (const Movable& m : wanted) ranges.push_back(m.range);
  const std::vector<char> fixed = named_elsewhere(plan.arena(), before, after, ranges);
  std::vector<Binding> made;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Range& range = wanted[i].range;
    std::vector<void**> places;
    for (const Traced& t : after)
      for (void** place : t.places)
        if (inside(*place, range)) places.push_back(place);
    if (!fixed[i] && places.empty() && wanted[i].side == Side::in) {
      made.push_back(Binding::of_nothing());
      continue;
    }
    const bool stays = fixed[i] || (wanted[i].side == Side::out && !written(after, range));
    made.emplace_back(range.begin, stays ? std::vector<void**>{} : std::move(places));
  }
  return made;
}

}  // namespace pydl
