// Indices and masks as numbers: whether indices are in range, their place in several merged axes, and where a mask is
// true. All arrays are dense.
#include <cstring>

#include "runtime/parallel.h"
#include "runtime/table/place.h"

namespace pydl::PYDL_ISA {
namespace {

template <class F>
void with_index(const View& index, const F& f) {
  if (index.dtype == Dtype::i32) return f(index.as<const int32_t>());
  f(index.as<const int64_t>());
}

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Eight flags at a time; a bool is the byte 0 or 1.
int64_t count_run(const uint8_t* x, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += 128) {  // a byte counts up to 255
    uint8_t part = 0;
    for (int64_t j = i; j < least(i + 128, n); ++j) part = static_cast<uint8_t>(part + x[j]);
    count += part;
  }
  return count;
}

// The flat positions of what is true among [begin, end), from y on; branches would be guessed wrong too often.
int64_t* find_run(const uint8_t* x, int64_t begin, int64_t end, int64_t* y) {
  int64_t i = begin;
  for (; i + 8 <= end; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, x + i, sizeof eight);
    if (eight == 0) continue;
    int64_t found[8];
    int64_t count = 0;
    for (int j = 0; j < 8; ++j) {
      found[count] = i + j;
      count += static_cast<int64_t>(eight >> 8 * j & 1);
    }
    for (int64_t j = 0; j < count; ++j) y[j] = found[j];
    y += count;
  }
  for (; i < end; ++i)
    if (x[i]) *y++ = i;
  return y;
}

// One row of coordinates per flat position; the positions rise, so most steps only move the last axis on.
void unravel(const View& mask, const int64_t* flat, int64_t count, int64_t* y) {
  const int last = mask.ndim - 1;
  int64_t row = -1, start = 0, coordinate[kMaxAxes] = {};
  const int64_t n = mask.shape[last];
  for (int64_t j = 0; j < count; ++j, y += mask.ndim) {
    if (row < 0 || flat[j] - start >= n) {
      row = flat[j] / n;
      start = row * n;
      int64_t rest = row;
      for (int axis = last - 1; axis >= 0; --axis) {
        coordinate[axis] = rest % mask.shape[axis];
        rest /= mask.shape[axis];
      }
    }
    for (int axis = 0; axis < last; ++axis) y[axis] = coordinate[axis];
    y[last] = flat[j] - start;
  }
}

}  // namespace

void check_index(View index, int64_t n, View report) {
  uint64_t outside = 0, negative = 0;
  with_index(index, [&](const auto* in) {
    const int64_t count = index.numel();
    const uint64_t size = static_cast<uint64_t>(n);
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t at = static_cast<uint64_t>(static_cast<int64_t>(in[i]));
      outside |= at + size >= 2 * size;
      negative |= at;
    }
  });
  *report.as<int64_t>() = static_cast<int64_t>(outside | (negative >> 63) << 1);
}

void fold_index(View index, int64_t n, View y) {
  with_index(index, [&](const auto* in) {
    int64_t* out = y.as<int64_t>();
    parallel_for(index.numel(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = in[i];
        out[i] = out[i] * n + (at < 0 ? at + n : at);
      }
    });
  });
}

void count_true(View mask, View counts) {
  const int64_t n = mask.numel();
  parallel_for(counts.numel(), kMaskRun / 8, [&](int64_t begin, int64_t end) {
    for (int64_t run = begin; run < end; ++run)
      counts.as<int64_t>()[run] =
          count_run(mask.as<const uint8_t>() + run * kMaskRun, least(kMaskRun, n - run * kMaskRun));
  });
}

void positions(View mask, View counts, View y) {
  const int64_t n = mask.numel(), runs = counts.numel();
  int64_t* before = counts.as<int64_t>();
  int64_t sum = 0;
  for (int64_t run = 0; run < runs; ++run) {
    const int64_t count = before[run];
    before[run] = sum;
    sum += count;
  }
  parallel_for(runs, kMaskRun, [&](int64_t begin, int64_t end) {
    for (int64_t run = begin; run < end; ++run) {
      const int64_t first = run * kMaskRun, count = (run + 1 < runs ? before[run + 1] : sum) - before[run];
      int64_t* out = y.as<int64_t>() + before[run] * y.shape[1];
      if (y.shape[1] == 1) {
        find_run(mask.as<const uint8_t>(), first, least(first + kMaskRun, n), out);
      } else {
        int64_t flat[kMaskRun];
        find_run(mask.as<const uint8_t>(), first, least(first + kMaskRun, n), flat);
        unravel(mask, flat, count, out);
      }
    }
  });
}

}  // namespace pydl::PYDL_ISA
