// What a check may touch. A check is code with a closure of views, addresses and numbers, which may lead on to what the
// plan's arena keeps for it (lists of addresses, launches that may be left out). So whatever a word of all that points
// to may be read and written; a number that looks like an address costs a chance to do better, no more.
#include <algorithm>
#include <cstring>
#include <map>

#include "memory/plan_blocks.h"
#include "runtime/access.h"

namespace pydl {
namespace {

class Scan {
 public:
  Scan(const Arena& arena, const std::vector<const void*>& calls) : arena_(arena), calls_(calls) {}

  std::vector<Range> blocks(const void* closure) {
    todo_ = {static_cast<const char*>(closure)};
    while (!todo_.empty()) {
      const char* from = todo_.back();
      todo_.pop_back();
      read(from);
    }
    return std::move(found_);
  }

 private:
  // Everything up to the next launch's call: nobody knows where exactly what begins here ends.
  void read(const char* from) {
    const Arena::Chunk* chunk = chunk_of(from);
    if (!chunk) return;
    const char* begin = chunk->memory.get();
    from = begin + (from - begin) / alignof(void*) * alignof(void*);
    const auto next = std::upper_bound(calls_.begin(), calls_.end(), static_cast<const void*>(from));
    const char* end = begin + chunk->used;
    if (next != calls_.end() && static_cast<const char*>(*next) < end) end = static_cast<const char*>(*next);
    const auto [known, fresh] = read_from_.emplace(end, end);
    const char* last = known->second;
    known->second = std::min(known->second, from);
    for (; from + sizeof(void*) <= last; from += sizeof(void*)) look(from);
  }

  void look(const char* word) {
    const char* value;
    std::memcpy(&value, word, sizeof value);
    if (chunk_of(value)) return todo_.push_back(value);
    const auto [begin, end] = plan_block_at(value);
    if (begin) found_.push_back({begin, end});
  }

  const Arena::Chunk* chunk_of(const char* p) const {
    for (const Arena::Chunk& c : arena_.chunks())
      if (p >= c.memory.get() && p < c.memory.get() + c.bytes) return &c;
    return nullptr;
  }

  const Arena& arena_;
  const std::vector<const void*>& calls_;         // of all launches, sorted
  std::map<const char*, const char*> read_from_;  // by the end of a part of the arena: from where on it is read
  std::vector<const char*> todo_;
  std::vector<Range> found_;
};

}  // namespace

void find_touched(const Arena& arena, std::vector<Traced>& launches) {
  std::vector<const void*> calls;
  for (const Traced& t : launches) calls.push_back(t.launch.call);
  std::sort(calls.begin(), calls.end());
  for (Traced& t : launches)
    if (t.check) t.touched = Scan(arena, calls).blocks(t.launch.call);
}

}  // namespace pydl
