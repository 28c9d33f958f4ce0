// Recording and replaying launches, and their times.
#include "runtime/plan.h"

#include <mutex>
#include <unordered_set>
#include <vector>

#include "bind/common.h"
#include "runtime/table/elementwise.h"

namespace pydl::bind {
namespace {

// Called without the GIL.
void copy(View from, View to, Device device) {
  View* views[] = {&to, &from};
  coalesce(views, 2);
  launch<&ElementwiseKernels::copy>(device, from, to);
}

// A plan with the arrays that go in and out: inputs are copied into place, outputs are handed out as copies.
class Recorded {
 public:
  void begin(const std::vector<Array>& inputs) {
    plan_.begin();
    for (const Array& x : inputs) {
      inputs_.push_back(Array::empty(x.shape(), x.dtype(), x.device()));
      const Unrecorded ordinary;
      copy_values(x, inputs_.back(), x.device());
    }
  }

  void end(std::vector<Array> outputs, const std::vector<py::object>& before) {
    plan_.end();
    outputs_ = std::move(outputs);
    before_ = before;
    work_ = plan_.bytes() / 4;
  }

  size_t blocks(const std::vector<Array>& arrays) const {
    std::unordered_set<const Storage*> found;
    for (const Array& x : arrays)
      if (x.storage() && x.storage()->home() == plan_.memory()) found.insert(x.storage());
    return found.size();
  }

  const std::vector<Array>& inputs() const { return inputs_; }
  Plan& plan() { return plan_; }

  // Copies of the outputs of a replay; nothing if the plan is one for other inputs.
  std::optional<std::vector<Array>> run(const std::vector<Array>& inputs) {
    if (inputs.size() != inputs_.size()) return std::nullopt;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Array& x = inputs[i];
      const Array& place = inputs_[i];
      if (x.dtype() != place.dtype() || x.shape() != place.shape() || x.device() != place.device()) return std::nullopt;
    }
    for (const py::object& f : before_) f();
    if (work_ < kGilWork) return replay(inputs);
    py::gil_scoped_release unlocked;
    return replay(inputs);
  }

  void replay_only() { run(inputs_); }

 private:
  std::vector<Array> replay(const std::vector<Array>& inputs) {
    std::lock_guard<std::mutex> alone(busy_);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].storage() != inputs_[i].storage()) copy(inputs[i], inputs_[i], inputs[i].device());
    plan_.replay();
    std::vector<Array> made;
    made.reserve(outputs_.size());
    for (const Array& y : outputs_) {
      made.push_back(Array::empty(y.shape(), y.dtype(), y.device()));
      copy(y, made.back(), y.device());
    }
    return made;
  }

  Plan plan_;
  std::vector<Array> inputs_, outputs_;
  std::vector<py::object> before_;
  int64_t work_ = 0;
  std::mutex busy_;
};

py::list launches_of(Recorded& r) {
  py::list out;
  for (const Launch& l : r.plan().launches())
    out.append(py::make_tuple(std::string(l.name), std::string(l.label), l.bytes, l.nanoseconds));
  return out;
}

void bind_recorded(py::module_& m) {
  py::class_<Recorded>(m, "Plan", "Recorded launches, with the arrays that go in and out.")
      .def(py::init<>())
      .def("begin", &Recorded::begin, py::arg("inputs"), "from now on this thread's launches are recorded")
      .def("end", &Recorded::end, py::arg("outputs"), py::arg("before"),
           "outputs are what `run` gives; the functions of `before` are called before each replay")
      .def("run", &Recorded::run, py::arg("inputs"),
           "copies of the outputs of a replay with these inputs; None if the plan is not one for them")
      .def("replay", &Recorded::replay_only, "a replay with the inputs that are in place")
      .def_property_readonly("inputs", &Recorded::inputs)
      .def("launches", &launches_of, "of each: kernel, op code, bytes, nanoseconds when it was recorded")
      .def(
          "uses", [](Recorded& r, const Array& x) { return x.storage() && r.plan().uses(x.storage()); }, py::arg("x"),
          "whether x was there before and a launch reads or writes its memory")
      .def(
          "owns", [](Recorded& r, const Array& x) { return x.storage() && x.storage()->home() == r.plan().memory(); },
          py::arg("x"), "whether x was made while recording")
      .def(
          "changes", [](Recorded& r, const Array& x) { return x.storage() && r.plan().changes(x.storage()); },
          py::arg("x"), "whether x, made while recording, was changed in place")
      .def_property_readonly("changes_borrowed", [](Recorded& r) { return r.plan().changes_borrowed(); })
      .def("blocks", &Recorded::blocks, py::arg("arrays"), "how many different blocks of the plan arrays lie in")
      .def_property_readonly("live", [](Recorded& r) { return r.plan().memory()->live(); })
      .def_property_readonly("bytes", [](Recorded& r) { return r.plan().memory()->bytes(); })
      .def_property_readonly("asked", [](Recorded& r) { return r.plan().memory()->asked(); });
  m.def("is_recording", [] { return recording() != nullptr; });
}

void bind_profile(py::module_& m) {
  py::class_<Profile>(m, "Profile", "The launches of this thread between start and stop.")
      .def(py::init<>())
      .def("start", &Profile::start)
      .def("stop", &Profile::stop)
      .def("events", [](const Profile& p) {
        py::list out;
        for (const Event& e : p.events)
          out.append(py::make_tuple(std::string(e.name), std::string(e.label), e.begin, e.nanoseconds, e.bytes));
        return out;
      });
}

}  // namespace

void bind_plan(py::module_& m) {
  bind_recorded(m);
  bind_profile(m);
}

}  // namespace pydl::bind
