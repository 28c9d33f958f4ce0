// Recorded: a plan with the arrays that go in and out. Small inputs are copied into place, and copies of small outputs
// handed out; the launches are told where large ones lie.
#pragma once

#include <mutex>
#include <vector>

#include "bind/common.h"
#include "runtime/plan.h"
#include "runtime/rebind.h"

namespace pydl::bind {

class Recorded {
 public:
  void begin(const std::vector<Array>& inputs);
  void end(std::vector<Array> outputs);

  size_t blocks(const std::vector<Array>& arrays) const;  // how many different blocks of the plan they lie in
  const std::vector<Array>& inputs() const { return inputs_; }
  Plan& plan() { return plan_; }

  // Inputs and outputs of `least` bytes and more that may lie elsewhere in every replay, as far as can be seen from
  // here: those alone in their memory. fixed: what may not.
  std::vector<Movable> movable(const std::vector<Array>& fixed, int64_t least);
  void bind(const std::vector<Binding>& bindings);  // of those

  // Whether the plan is one for arrays of these shapes and dtypes.
  bool fits(const std::vector<Array>& inputs) const;
  // Copies of the outputs of a replay with inputs that fit. Gives the GIL up where that pays.
  std::vector<Array> run(const std::vector<Array>& inputs);

 private:
  std::vector<Array> replay(const std::vector<Array>& inputs);
  bool usable(const Array& input) const;

  Plan plan_;
  std::vector<Array> inputs_, outputs_;
  std::vector<Binding> input_bindings_, output_bindings_;  // of each; not bound where it is copied
  std::vector<Binding*> movable_;
  std::vector<Range> changed_;  // memory from before that the plan changes
  int64_t work_ = 0;
  std::mutex busy_;
};

}  // namespace pydl::bind
