#include "bind/recorded.h"

#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "memory/plan_blocks.h"
#include "memory/pool.h"
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

Range range_of(const Storage& s) {
  const char* begin = static_cast<const char*>(s.data());
  return {begin, begin + s.bytes()};
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
  input_bindings_.resize(inputs_.size());
  output_bindings_.resize(outputs_.size());
  work_ = plan_.bytes() / 4;
}

size_t Recorded::blocks(const std::vector<Array>& arrays) const {
  std::unordered_set<const Storage*> found;
  for (const Array& x : arrays)
    if (x.storage() && x.storage()->home() == plan_.memory()) found.insert(x.storage());
  return found.size();
}

std::vector<Movable> Recorded::movable(const std::vector<Array>& fixed, int64_t least) {
  std::unordered_map<const Storage*, int> holders;
  for (const auto* arrays : std::initializer_list<const std::vector<Array>*>{&inputs_, &outputs_, &fixed})
    for (const Array& x : *arrays) ++holders[x.storage()];
  std::vector<Movable> found;
  movable_.clear();
  const auto look = [&](const Array& x, Binding& binding, Side side) {
    const Storage* s = x.storage();
    const int64_t bytes = x.numel() * static_cast<int64_t>(size_of(x.dtype()));
    if (!s || s->home() != plan_.memory() || holders[s] != 1 || x.device().kind != DeviceKind::cpu) return;
    const char* begin = static_cast<const char*>(s->data());
    if (bytes == 0 || bytes < least || !x.dense() || x.view().data != begin) return;
    found.push_back({{begin, begin + bytes}, side});
    movable_.push_back(&binding);
  };
  for (size_t i = 0; i < inputs_.size(); ++i) look(inputs_[i], input_bindings_[i], Side::in);
  for (size_t i = 0; i < outputs_.size(); ++i) look(outputs_[i], output_bindings_[i], Side::out);
  return found;
}

void Recorded::bind(const std::vector<Binding>& bindings) {
  for (size_t i = 0; i < bindings.size(); ++i) *movable_[i] = bindings[i];
  for (const Storage* s : plan_.changed()) changed_.push_back(range_of(*s));
}

// Whether launches may read an input where it lies: nothing that the plan does changes it meanwhile.
bool Recorded::usable(const Array& input) const {
  const char* begin = input.view().as<const char>();
  const char* end = begin + input.numel() * static_cast<int64_t>(size_of(input.dtype()));
  if (!input.dense() || reinterpret_cast<uintptr_t>(begin) % kAlignment != 0) return false;
  for (const Range& r : changed_)
    if (r.begin < end && begin < r.end) return false;
  return plan_memory_at(begin) != plan_.memory();
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
  std::vector<Array> read, made;  // `read` lives until the launches are through
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Array& x = inputs[i];
    if (input_bindings_[i].unused()) continue;
    if (!input_bindings_[i].bound()) {
      copy(x, inputs_[i]);
      continue;
    }
    read.push_back(usable(x) ? x : Array::empty(x.shape(), x.dtype(), x.device()));
    copy(x, read.back());
    input_bindings_[i].to(read.back().view().data);
  }
  made.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    made.push_back(Array::empty(outputs_[i].shape(), outputs_[i].dtype(), outputs_[i].device()));
    if (output_bindings_[i].bound()) output_bindings_[i].to(made[i].view().data);
  }
  plan_.replay();
  for (size_t i = 0; i < outputs_.size(); ++i)
    if (!output_bindings_[i].bound()) copy(outputs_[i], made[i]);
  return made;
}

}  // namespace pydl::bind
