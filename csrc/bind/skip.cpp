// What a recording has besides launches: checks and choices by values, parts that a replay leaves out, and work that is
// not recorded.
#include "bind/device.h"
#include "bind/guard.h"
#include "runtime/graphs.h"

namespace pydl::bind {
namespace {

const double* flag_of(const Array& flag) {
  if (flag.dtype() != Dtype::f64 || flag.numel() != 1) fail<ValueError>("Skipped: expected one float64");
  return flag.view().as<double>();
}

// A context: the launches recorded inside become one, which a replay leaves out where the flag is not 0.
class Skipped {
 public:
  explicit Skipped(const Array& flag) : flag_(flag) {}

  void enter() {
    plan_ = recording();
    if (!plan_) fail<CaptureError>("Skipped: nothing is recorded");
    first_ = plan_->launches().size();
  }

  void leave() {
    const std::vector<Launch> taken = plan_->cut(first_);
    // Passes find what a check leads to in the arena: `listed` is for them.
    const void* listed = plan_->arena().copy(taken.data(), taken.size() * sizeof(Launch));
    plan_->append_check("skip", [flag = flag_of(flag_), listed, inside = plan_->inner(taken)] {
      if (listed && *flag == 0) inside->run();
    });
  }

 private:
  Array flag_;
  Plan* plan_ = nullptr;
  size_t first_ = 0;
};

// A context: launches inside are not recorded, and arrays made inside lie in ordinary memory.
class Aside {
 public:
  void enter() { aside_ = std::make_unique<Unrecorded>(); }
  void leave() { aside_.reset(); }

 private:
  std::unique_ptr<Unrecorded> aside_;
};

const bool* one_flag(const char* op, const Array& flag) {
  if (flag.dtype() != Dtype::b8 || flag.numel() != 1) fail<ValueError>(op, ": expected one bool, got ", flag.shape());
  return flag.view().as<bool>();
}

// Raises ArgumentError, or BoundsError, unless the flag is true, now and in every replay.
void require(const Array& flag, const std::string& message, bool bounds) {
  const Array read = on_host(flag);
  check("require", [found = one_flag("require", read), text = kept_text(message.c_str()), bounds] {
    if (*found) return;
    if (bounds) fail<BoundsError>(text);
    fail<ValueError>(text);
  });
}

// The flag, for a choice between ways to compute the same: a replay raises CaptureError where it is another one.
bool decided(const Array& flag) {
  const Array read = on_host(flag);
  const bool now = *one_flag("decided", read);
  check("decided", [found = read.view().as<bool>(), now] {
    if (*found != now) fail<CaptureError>("a choice by values came out otherwise than when it was recorded");
  });
  return now;
}

template <class Context, class... Init>
void bind_context(py::module_& m, const char* name, const char* doc, Init... init) {
  py::class_<Context>(m, name, doc)
      .def(init...)
      .def("__enter__", &Context::enter)
      .def(
          "__exit__", [](Context& c, const py::object&, const py::object&, const py::object&) { c.leave(); },
          py::arg("kind"), py::arg("error"), py::arg("trace"));
}

}  // namespace

void bind_skip(py::module_& m) {
  m.def("require", &require, py::arg("flag"), py::arg("message"), py::arg("bounds") = false,
        "ArgumentError, or BoundsError, unless the flag is true, now and in every replay");
  m.def("decided", &decided, py::arg("flag"), "the flag; a replay raises CaptureError where it is another one");
  bind_context<Skipped>(m, "Skipped", "What is recorded inside is left out by a replay where the flag is not 0.",
                        py::init<const Array&>(), py::arg("flag"));
  bind_context<Aside>(m, "Aside", "What runs inside is not recorded.", py::init<>());
}

}  // namespace pydl::bind
