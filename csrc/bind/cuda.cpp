// CUDA devices, their memory, streams and events. Streams and events are numbers here; pydl.cuda has the classes.
#include <atomic>

#include "bind/device.h"

namespace pydl::bind {
namespace {

using Handle = uintptr_t;

Device device_of(int index) { return {DeviceKind::cuda, static_cast<int16_t>(index)}; }
void* pointer(Handle handle) { return reinterpret_cast<void*>(handle); }
Handle handle(void* pointer) { return reinterpret_cast<Handle>(pointer); }

// Calls a function of the library on a device, without the GIL, and raises what it says went wrong.
template <class F>
auto call(const char* op, int index, const F& f) {
  const CudaLibrary& library = cuda_on(device_of(index));
  if constexpr (std::is_void_v<decltype(f(library))>) {
    {
      py::gil_scoped_release unlocked;
      f(library);
    }
    check_cuda(op);
  } else {
    const auto made = f(library);
    check_cuda(op);
    return made;
  }
}

std::atomic<bool> other_streams{false};

int device_count() { return cuda_missing().empty() ? cuda_on(device_of(0)).devices : 0; }

py::dict properties(int index) {
  CudaProperties p{};
  call("get_device_properties", index, [&](const CudaLibrary& c) { c.properties(index, &p); });
  py::dict d;
  d["name"] = std::string(p.name);
  d["total_memory"] = p.memory;
  d["major"] = p.major;
  d["minor"] = p.minor;
  d["multi_processor_count"] = p.multiprocessors;
  d["max_threads_per_multi_processor"] = p.threads;
  return d;
}

std::pair<size_t, size_t> memory_info(int index) {
  size_t free = 0, total = 0;
  call("mem_get_info", index, [&](const CudaLibrary& c) { c.memory(&free, &total); });
  return {free, total};
}

// Of all pools of a device; the peak is the sum of theirs.
PoolStats stats(int index) {
  PoolStats all{};
  for (Pool* pool : cuda_pools(index)) {
    const PoolStats s = pool->stats();
    all.active += s.active;
    all.peak += s.peak;
    all.cached += s.cached;
  }
  return all;
}

void bind_devices(py::module_& m) {
  m.def("cuda_device_count", &device_count);
  m.def("cuda_device", &cuda_device);
  m.def(
      "set_cuda_device",
      [](int index) {
        cuda_on(device_of(index));  // DeviceError where it is not there
        set_cuda_device(index);
      },
      py::arg("index"));
  m.def("cuda_properties", &properties, py::arg("index"));
  m.def("cuda_memory_info", &memory_info, py::arg("index"), "bytes: free, in all");
  m.def(
      "cuda_synchronize", [](int i) { call("synchronize", i, [](const CudaLibrary& c) { c.wait_device(); }); },
      py::arg("index"));
  m.def(
      "cuda_memory_stats",
      [](int index) {
        const PoolStats s = stats(index);
        return py::dict(py::arg("active") = s.active, py::arg("peak") = s.peak, py::arg("cached") = s.cached);
      },
      py::arg("index"));
  m.def(
      "cuda_empty_cache",
      [](int index) {
        for (Pool* pool : cuda_pools(index)) pool->trim();
        if (cuda_missing().empty()) check_cuda("empty_cache");
      },
      py::arg("index"));
  m.def(
      "cuda_reset_peak",
      [](int index) {
        for (Pool* pool : cuda_pools(index)) pool->reset_peak();
      },
      py::arg("index"));
}

void bind_streams(py::module_& m) {
  m.def(
      "cuda_stream_new",
      [](int index, int priority) {
        other_streams = true;
        return handle(call("Stream", index, [&](const CudaLibrary& c) {
          c.wait_device();  // what was made while there was one stream, constants among it, is there for the next
          return c.stream(priority);
        }));
      },
      py::arg("index"), py::arg("priority"));
  m.def(
      "cuda_stream", [](int index) { return handle(cuda_stream(index)); }, py::arg("index"));
  m.def(
      "set_cuda_stream",
      [](int index, Handle stream) {
        cuda_on(device_of(index));
        set_cuda_stream(index, pointer(stream));
      },
      py::arg("index"), py::arg("stream"), "the calling thread works on it from now on");
  m.def(
      "cuda_stream_wait", [](int i) { call("synchronize", i, [](const CudaLibrary& c) { c.wait(); }); },
      py::arg("index"), "until the calling thread's stream is done");
  m.def(
      "cuda_stream_done", [](int i) { return call("query", i, [](const CudaLibrary& c) { return c.done(); }); },
      py::arg("index"));
}

void bind_events(py::module_& m) {
  m.def(
      "cuda_event_new",
      [](int index, bool timing) {
        return handle(call("Event", index, [&](const CudaLibrary& c) { return c.event(timing); }));
      },
      py::arg("index"), py::arg("timing"));
#define PYDL_EVENT(name, function, text)                                                            \
  m.def(                                                                                            \
      name,                                                                                         \
      [](int index, Handle event) {                                                                 \
        return call(name, index, [&](const CudaLibrary& c) { return c.function(pointer(event)); }); \
      },                                                                                            \
      py::arg("index"), py::arg("event"), text);
  PYDL_EVENT("cuda_event_end", end_event, "the event is not used again")
  PYDL_EVENT("cuda_event_record", record, "in the calling thread's stream")
  PYDL_EVENT("cuda_event_wait_for", wait_for, "the calling thread's stream waits for it")
  PYDL_EVENT("cuda_event_wait", wait_event, "the calling thread waits for it")
  PYDL_EVENT("cuda_event_done", event_done, "whether all before it is done")
#undef PYDL_EVENT
  m.def(
      "cuda_event_elapsed",
      [](int index, Handle from, Handle to) {
        return call("elapsed_time", index, [&](const CudaLibrary& c) { return c.elapsed(pointer(from), pointer(to)); });
      },
      py::arg("index"), py::arg("start"), py::arg("end"), "milliseconds");
}

// A copy between two devices.
struct Transfer {
  void* to;
  const void* from;
  size_t bytes;
  Device source, target;

  bool small() const { return source.kind == DeviceKind::cpu && bytes <= kCudaSend; }
  void operator()() const {
    const Device gpu = target.kind == DeviceKind::cuda ? target : source;
    if (source.kind == DeviceKind::cuda && source != gpu) cuda_on(source).wait();
    if (!small()) return cuda_copy(to, from, bytes, gpu);
    if (bytes) cuda_on(gpu).send(to, from, bytes);
    check_cuda("copy");
  }
};

void bind_rounding(py::module_& m) {
  m.def("allowed_tf32", [] { return std::make_pair(allowed_tf32().products, allowed_tf32().convolutions); });
  m.def(
      "allow_tf32",
      [](bool products, bool convolutions) {
        allow_tf32({products, convolutions});
      },
      py::arg("products"), py::arg("convolutions"), "whether kernels of CUDA may round float32 for tensor cores");
}

}  // namespace

Array to_device(const Array& x, Device device) {
  if (x.device() == device) return x;
  const Array from = contiguous(x);
  Array y = Array::empty(x.shape(), x.dtype(), device);
  const auto bytes = static_cast<size_t>(from.numel()) * size_of(x.dtype());
  const Transfer transfer{y.view().data, from.view().data, bytes, x.device(), device};
  if (Plan* plan = watched() ? recording() : nullptr)
    plan->append_check("to_device", transfer, transfer.small() ? device : Device{});
  const py::gil_scoped_release unlocked;
  transfer();
  return y;
}

Array on_host(const Array& x) { return to_device(x, Device{}); }

bool several_streams() { return other_streams; }

void bind_cuda(py::module_& m) {
  bind_devices(m);
  bind_streams(m);
  bind_events(m);
  bind_rounding(m);
  m.def("to_device", &to_device, py::arg("x"), py::arg("device"), "x there, dense; itself if it is there already");
}

}  // namespace pydl::bind
