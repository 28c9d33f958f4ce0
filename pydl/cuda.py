"""CUDA devices: whether there are any, and if not, why; their memory, streams and events.

Operations on a device are put in the order of the calling thread's stream there and return before they are done.
Reading a value waits for them. Memory that is freed is kept for reuse, for each stream by itself: a tensor that
another stream uses must be kept until that use is done (`Stream.wait_stream`, `synchronize`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydl import _C
from pydl.errors import ArgumentError, DeviceError

__all__ = [
    "Event",
    "Stream",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "is_available",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reason",
    "reset_peak_memory_stats",
    "set_device",
    "set_stream",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """Whether a CUDA device can be used."""
    return not _C.cuda_missing()


def device_count() -> int:
    """The number of CUDA devices that can be used."""
    return _C.cuda_device_count()


def reason() -> str:
    """Why no CUDA device can be used; empty if one can."""
    return _C.cuda_missing()


def _index(given: Any) -> int:
    """The number of a device that is given by number, name or pydl.device; the current one where nothing is said."""
    if given is None or (type(given) is int and given < 0):
        return _C.cuda_device()
    where = _C.device(given)
    if where.type != "cuda":
        raise ArgumentError(f"cuda: expected a CUDA device, got '{where}'")
    return int(str(where).removeprefix("cuda:"))


def current_device() -> int:
    """The number of the device that 'cuda' means in this thread."""
    return _C.cuda_device()


def set_device(device: Any) -> None:
    """Makes 'cuda' mean that device in this thread. Raises: DeviceError where it is not there."""
    _C.set_cuda_device(_index(device))


@contextmanager
def device(device: Any) -> Iterator[None]:
    """Within the block, 'cuda' means that device."""
    before = _C.cuda_device()
    set_device(device)
    try:
        yield
    finally:
        _C.set_cuda_device(before)


def synchronize(device: Any = None) -> None:
    """Waits until all that the device was given is done."""
    _C.cuda_synchronize(_index(device))


# ---- properties and memory


def get_device_properties(device: Any = None) -> dict[str, Any]:
    """name, total_memory, major, minor, multi_processor_count and max_threads_per_multi_processor."""
    return _C.cuda_properties(_index(device))


def get_device_name(device: Any = None) -> str:
    """The name of the device."""
    return str(get_device_properties(device)["name"])


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability, such as (9, 0)."""
    found = get_device_properties(device)
    return found["major"], found["minor"]


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Bytes of the device: free, in all."""
    return _C.cuda_memory_info(_index(device))


def memory_allocated(device: Any = None) -> int:
    """Bytes of the tensors on the device now."""
    return int(_C.cuda_memory_stats(_index(device))["active"])


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes of tensors on the device at once, since the start or `reset_peak_memory_stats`."""
    return int(_C.cuda_memory_stats(_index(device))["peak"])


def memory_reserved(device: Any = None) -> int:
    """Bytes of the device that tensors take or that are kept for reuse."""
    found = _C.cuda_memory_stats(_index(device))
    return int(found["active"] + found["cached"])


def reset_peak_memory_stats(device: Any = None) -> None:
    """Starts the peak anew from what is allocated now."""
    _C.cuda_reset_peak(_index(device))


def empty_cache() -> None:
    """Gives the memory that is kept for reuse back to the devices."""
    for index in range(device_count()):
        _C.cuda_empty_cache(index)


# ---- streams and events


class Event:
    """A place in a stream that others can wait for, and the time at which it was reached.

    Args: enable_timing: whether `elapsed_time` may be asked for.
    """

    def __init__(self, enable_timing: bool = False) -> None:
        self.enable_timing = enable_timing
        self.device_index = -1
        self._handle = 0

    def record(self, stream: "Stream | None" = None) -> None:
        """Puts the event behind all that the stream (the current one where none is given) was given."""
        where = current_stream() if stream is None else stream
        if self._handle and self.device_index != where.device_index:
            raise DeviceError(f"Event: recorded on cuda:{self.device_index}, so not on cuda:{where.device_index}")
        if not self._handle:
            self.device_index = where.device_index
            self._handle = _C.cuda_event_new(self.device_index, self.enable_timing)
        with _working_on(where):
            _C.cuda_event_record(self.device_index, self._handle)

    def wait(self, stream: "Stream | None" = None) -> None:
        """Makes the stream (the current one where none is given) wait for the event."""
        if self._handle:
            with _working_on(current_stream() if stream is None else stream):
                _C.cuda_event_wait_for(self.device_index, self._handle)

    def query(self) -> bool:
        """Whether all before the event is done; true of one that was never recorded."""
        return not self._handle or _C.cuda_event_done(self.device_index, self._handle)

    def synchronize(self) -> None:
        """Waits until all before the event is done."""
        if self._handle:
            _C.cuda_event_wait(self.device_index, self._handle)

    def elapsed_time(self, end_event: "Event") -> float:
        """Milliseconds from this event to another. Raises: ArgumentError unless both are timed and recorded."""
        if not (self.enable_timing and end_event.enable_timing and self._handle and end_event._handle):
            raise ArgumentError("elapsed_time: expected two recorded events with enable_timing=True")
        end_event.synchronize()
        return _C.cuda_event_elapsed(self.device_index, self._handle, end_event._handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", 0):
            _C.cuda_event_end(self.device_index, self._handle)


class Stream:
    """A queue of work on a device. Its memory is kept for the life of the process, so streams should be few.

    Args:
        device: where; the current one where nothing is said.
        priority: below 0: its work goes first.
    Raises: DeviceError where there is no such device.
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device_index = _index(device)
        self.cuda_stream = _C.cuda_stream_new(self.device_index, priority)

    @property
    def device(self) -> _C.device:
        """The device that it is a queue of."""
        return _C.device(f"cuda:{self.device_index}")

    def synchronize(self) -> None:
        """Waits until all that the stream was given is done."""
        with _working_on(self):
            _C.cuda_stream_wait(self.device_index)

    def query(self) -> bool:
        """Whether all that the stream was given is done."""
        with _working_on(self):
            return _C.cuda_stream_done(self.device_index)

    def record_event(self, event: Event | None = None) -> Event:
        """Puts an event (a new one where none is given) behind all that the stream was given; returns it."""
        made = Event() if event is None else event
        made.record(self)
        return made

    def wait_event(self, event: Event) -> None:
        """What the stream is given from now on waits for the event."""
        event.wait(self)

    def wait_stream(self, stream: "Stream") -> None:
        """What the stream is given from now on waits for all that another was given until now."""
        self.wait_event(stream.record_event())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Stream)
            and self.device_index == other.device_index
            and self.cuda_stream == other.cuda_stream
        )

    def __hash__(self) -> int:
        return hash((self.device_index, self.cuda_stream))

    def __repr__(self) -> str:
        return f"Stream(device=cuda:{self.device_index}, cuda_stream={self.cuda_stream:#x})"


def _stream(index: int, handle: int) -> Stream:
    made = Stream.__new__(Stream)
    made.device_index, made.cuda_stream = index, handle
    return made


def current_stream(device: Any = None) -> Stream:
    """The stream that this thread works on."""
    index = _index(device)
    return _stream(index, _C.cuda_stream(index))


def default_stream(device: Any = None) -> Stream:
    """The stream that a thread works on unless another is set."""
    return _stream(_index(device), 0)


def set_stream(stream: Stream) -> None:
    """Makes this thread work on the stream, on the stream's device."""
    _C.set_cuda_stream(stream.device_index, stream.cuda_stream)


@contextmanager
def _working_on(stream: Stream) -> Iterator[None]:
    """Within the block, this thread works on the stream where it uses the stream's device."""
    before = _C.cuda_stream(stream.device_index)
    set_stream(stream)
    try:
        yield
    finally:
        _C.set_cuda_stream(stream.device_index, before)


@contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """Within the block, this thread works on the stream, and 'cuda' means its device. None changes nothing."""
    if stream is None:
        yield
        return
    with device(stream.device_index), _working_on(stream):
        yield
