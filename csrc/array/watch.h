// Who watches what arrays and launches do: recordings of launches and profiles (runtime/plan.h). Where nobody watches,
// all of it costs the reading of one number.
#pragma once

#include <atomic>
#include <cstddef>

namespace pydl {

class Storage;
class PlanMemory;

extern std::atomic<int> watchers;  // recordings and profiles under way, in all threads

inline bool watched() { return __builtin_expect(watchers.load(std::memory_order_relaxed) != 0, 0); }

// What a recording of the calling thread, if there is one, wants to know.
void note_use(Storage* storage);
void note_change(Storage* storage);
void note_borrow(Storage* storage);
PlanMemory* recorded_memory();  // where its arrays are to lie; null where nothing is recorded

}  // namespace pydl
