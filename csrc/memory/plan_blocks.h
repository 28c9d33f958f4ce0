// Where the memory of plans is: which plan an address belongs to.
#pragma once

namespace pydl {

class PlanMemory;

// Null for memory that is no plan's.
const PlanMemory* plan_memory_at(const void* address);

}  // namespace pydl
