// Recorded: a plan with the arrays that go in and out. Inputs are copied into place, outputs are handed out as copies.
#pragma once

#include <mutex>
#include <vector>

#include "bind/common.h"
#include "runtime/plan.h"

namespace pydl::bind {

class Recorded {
 public:
  void begin(const std::vector<Array>& inputs);
  void end(std::vector<Array> outputs);

  size_t blocks(const std::vector<Array>& arrays) const;  // how many different blocks of the plan they lie in
  const std::vector<Array>& inputs() const { return inputs_; }
  Plan& plan() { return plan_; }

  // Whether the plan is one for arrays of these shapes and dtypes.
  bool fits(const std::vector<Array>& inputs) const;
  // Copies of the outputs of a replay with inputs that fit. Gives the GIL up where that pays.
  std::vector<Array> run(const std::vector<Array>& inputs);

 private:
  std::vector<Array> replay(const std::vector<Array>& inputs);

  Plan plan_;
  std::vector<Array> inputs_, outputs_;
  int64_t work_ = 0;
  std::mutex busy_;
};

}  // namespace pydl::bind
