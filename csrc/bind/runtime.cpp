#include "bind/common.h"
#include "memory/pool.h"
#include "runtime/cuda.h"
#include "runtime/threads.h"

namespace pydl::bind {

void bind_runtime(py::module_& m) {
  m.def("isa", [] { return std::string(cpu_isa()); });
  m.def("get_num_threads", &num_threads);
  m.def(
      "set_num_threads",
      [](int n) {
        if (n < 1) fail<ValueError>("set_num_threads: expected a positive number, got ", n);
        set_num_threads(n);
      },
      py::arg("n"));
  m.def("cuda_missing", &cuda_missing, "why no CUDA device can be used; empty if one can");
  m.def("memory_stats", [] {
    const PoolStats s = pool_stats();
    py::dict d;
    d["active"] = s.active;
    d["peak"] = s.peak;
    d["cached"] = s.cached;
    return d;
  });
  m.def("empty_cache", &pool_trim);
  m.def("reset_peak_memory_stats", &pool_reset_peak);
}

}  // namespace pydl::bind
