// Where the memory of plans is: which plan an address belongs to.
#pragma once

#include <utility>
#include <vector>

namespace pydl {

class PlanMemory;

// Null for memory that is no plan's.
const PlanMemory* plan_memory_at(const void* address);

// The block that an address lies in, from where to where; nulls for memory that is no plan's.
std::pair<const char*, const char*> plan_block_at(const void* address);

// The blocks of a plan that arrays lie in now, from where to where.
std::vector<std::pair<const char*, const char*>> live_blocks(const PlanMemory* memory);

}  // namespace pydl
