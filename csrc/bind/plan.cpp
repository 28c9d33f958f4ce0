// Recording and replaying launches, and their times.
#include "runtime/plan.h"

#include <utility>
#include <vector>

#include "bind/recorded.h"
#include "runtime/passes.h"

namespace pydl::bind {
namespace {

py::list launches_of(Recorded& r) {
  py::list out;
  for (const Launch& l : r.plan().launches())
    out.append(py::make_tuple(std::string(l.name), std::string(l.label), l.bytes, l.nanoseconds));
  return out;
}

// kept: the arrays that are read after a replay
std::pair<int64_t, int64_t> passes(Recorded& r, const std::vector<Array>& kept, bool dead, bool fuse, int64_t least,
                                   int64_t tile) {
  std::vector<Range> ranges;
  for (const Array& x : kept)
    if (const Storage* s = x.storage()) {
      const char* begin = static_cast<const char*>(s->data());
      ranges.push_back({begin, begin + s->bytes()});
    }
  const PassCounts counts = optimise(r.plan(), ranges, {dead, fuse, {least, tile}});
  return {counts.dead, counts.fused};
}

void bind_recorded(py::module_& m) {
  py::class_<Recorded>(m, "Plan", "Recorded launches, with the arrays that go in and out.")
      .def(py::init<>())
      .def("begin", &Recorded::begin, py::arg("inputs"), "from now on this thread's launches are recorded")
      .def("end", &Recorded::end, py::arg("outputs"), "outputs are what a replay gives copies of")
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
  m.def("optimise", &passes, py::arg("plan"), py::arg("kept"), py::arg("dead"), py::arg("fuse"), py::arg("least"),
        py::arg("tile"),
        "removes launches whose results nobody reads; joins elementwise ones of `least` elements and more to chains "
        "that run by tiles. How many were removed and joined");
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
