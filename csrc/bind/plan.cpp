// Recording and replaying launches, and their times.
#include "runtime/plan.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "bind/recorded.h"
#include "memory/plan_blocks.h"
#include "runtime/passes.h"

namespace pydl::bind {
namespace {

py::list launches_of(Recorded& r) {
  py::list out;
  for (const Launch& l : r.plan().launches())
    out.append(py::make_tuple(l.name, l.label, l.scope, l.nanoseconds, l.bytes, l.flops));
  return out;
}

// The memory that is read after a replay: that of some arrays, or of all that are alive.
std::vector<Range> kept_of(Recorded& r, const std::optional<std::vector<Array>>& arrays) {
  std::vector<Range> ranges;
  if (!arrays) {
    for (const auto& [begin, end] : live_blocks(r.plan().memory())) ranges.push_back({begin, end});
    return ranges;
  }
  for (const Array& x : *arrays)
    if (const Storage* s = x.storage()) {
      const char* begin = static_cast<const char*>(s->data());
      ranges.push_back({begin, begin + s->bytes()});
    }
  return ranges;
}

// fixed: arrays that must stay where they are
std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t> passes(
    Recorded& r, const std::optional<std::vector<Array>>& kept, const std::vector<Array>& fixed, bool dead,
    bool epilogue, bool fuse, bool merge, bool reuse, int64_t least, int64_t tile, std::pair<int64_t, int64_t> beside,
    std::optional<int64_t> bound) {
  const std::vector<Range> ranges = kept_of(r, kept);
  const std::vector<Movable> wanted = bound ? r.movable(fixed, *bound) : std::vector<Movable>{};
  const Passed made = optimise(
      r.plan(), ranges, {dead, epilogue, fuse, merge, reuse, {least, tile}, {beside.first, beside.second}}, wanted);
  r.bind(made.bindings);
  const auto moved =
      std::count_if(made.bindings.begin(), made.bindings.end(), [](auto& b) { return b.bound() || b.unused(); });
  return {made.dead, made.epilogues, made.fused, made.merged, made.reused, moved};
}

void bind_recorded(py::module_& m) {
  py::class_<Recorded>(m, "Plan", "Recorded launches, with the arrays that go in and out.")
      .def(py::init<>())
      .def("begin", &Recorded::begin, py::arg("inputs"), "from now on this thread's launches are recorded")
      .def("end", &Recorded::end, py::arg("outputs"), "outputs are what a replay gives copies of")
      .def_property_readonly("inputs", &Recorded::inputs)
      .def("launches", &launches_of,
           "of each: kernel, op code, module, nanoseconds as they were taken last, bytes, flops")
      .def(
          "measure", [](Recorded& r, bool on) { r.plan().measure(on); }, py::arg("on"),
          "from now on replays note the time of each launch, or do not")
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
      .def_property_readonly(
          "graphs", [](Recorded& r) { return r.plan().graphs(); }, "how launches on CUDA devices are run; or empty")
      .def_property_readonly("bytes", [](Recorded& r) { return r.plan().memory()->bytes(); })
      .def_property_readonly("asked", [](Recorded& r) { return r.plan().memory()->asked(); });
  m.def("optimise", &passes, py::arg("plan"), py::arg("kept"), py::arg("fixed"), py::arg("dead"), py::arg("epilogue"),
        py::arg("fuse"), py::arg("merge"), py::arg("reuse"), py::arg("least"), py::arg("tile"), py::arg("beside"),
        py::arg("bound"),
        "removes launches whose results nobody reads; lets products apply activations; joins elementwise ones of "
        "`least` elements and more to chains "
        "that run by tiles; runs independent ones that took `beside` nanoseconds beside each other; lets arrays share "
        "memory whose lives do not meet; tells launches where inputs and results "
        "of `bound` bytes and more lie. How many of each");
  m.def("is_recording", [] { return recording() != nullptr; });
}

void bind_profile(py::module_& m) {
  m.def(
      "set_scope", [](const std::string& module) { set_scope(module.c_str()); }, py::arg("module"),
      "this thread's launches are of that module from now on");
  py::class_<Profile>(m, "Profile", "The launches of this thread between start and stop.")
      .def(py::init<>())
      .def("start", &Profile::start)
      .def("stop", &Profile::stop)
      .def("events", [](const Profile& p) {
        py::list out;
        for (const Event& e : p.events)
          out.append(py::make_tuple(e.name, e.label, e.scope, e.begin, e.nanoseconds, e.bytes, e.flops));
        return out;
      });
}

}  // namespace

void bind_plan(py::module_& m) {
  bind_recorded(m);
  bind_profile(m);
}

}  // namespace pydl::bind
