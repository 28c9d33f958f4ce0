#include "bind/recorded.h"

#include <cstring>
#include <unordered_set>

#include "runtime/table/elementwise.h"

namespace pydl::bind {
namespace {

constexpr size_t kSmallCopy = size_t{1} << 16;  // bytes that are copied without a launch

// Called without the GIL.
void copy(const Array& from, const Array& to) {
  View x = from.view(), y = to.view();
  if (x.data == y.data) return;
  const size_t bytes = static_cast<size_t>(to.numel()) * size_of(to.dtype());
  if (bytes <= kSmallCopy && to.device().kind == DeviceKind::cpu && from.dense()) {
    if (bytes) std::memcpy(y.data, x.data, bytes);
    return;
  }
  View* views[] = {&y, &x};
  coalesce(views, 2);
  launch<&ElementwiseKernels::copy>(from.device(), x, y);
}

}  // namespace

void Recorded::begin(const std::vector<Array>& inputs) {
  plan_.begin();
  for (const Array& x : inputs) {
    inputs_.push_back(Array::empty(x.shape(), x.dtype(), x.device()));
    const Unrecorded ordinary;
    copy_values(x, inputs_.back(), x.device());
  }
}

void Recorded::end(std::vector<Array> outputs) {
  plan_.end();
  outputs_ = std::move(outputs);
  work_ = plan_.bytes() / 4;
}

size_t Recorded::blocks(const std::vector<Array>& arrays) const {
  std::unordered_set<const Storage*> found;
  for (const Array& x : arrays)
    if (x.storage() && x.storage()->home() == plan_.memory()) found.insert(x.storage());
  return found.size();
}

bool Recorded::fits(const std::vector<Array>& inputs) const {
  if (inputs.size() != inputs_.size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Array& x = inputs[i];
    const Array& place = inputs_[i];
    if (x.dtype() != place.dtype() || x.shape() != place.shape() || x.device() != place.device()) return false;
  }
  return true;
}

std::vector<Array> Recorded::run(const std::vector<Array>& inputs) {
  if (work_ < kGilWork) return replay(inputs);
  py::gil_scoped_release unlocked;
  return replay(inputs);
}

std::vector<Array> Recorded::replay(const std::vector<Array>& inputs) {
  std::lock_guard<std::mutex> alone(busy_);
  for (size_t i = 0; i < inputs.size(); ++i) copy(inputs[i], inputs_[i]);
  plan_.replay();
  std::vector<Array> made;
  made.reserve(outputs_.size());
  for (const Array& y : outputs_) {
    made.push_back(Array::empty(y.shape(), y.dtype(), y.device()));
    copy(y, made.back());
  }
  return made;
}

}  // namespace pydl::bind
