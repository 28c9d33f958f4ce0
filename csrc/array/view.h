// View: the plain struct that a kernel sees. It owns nothing; Array (array/array.h) owns.
#pragma once

#include <cstdint>

namespace pydl {

constexpr int kMaxAxes = 8;

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

// One row per dtype: name in C++, storage type, name in Python, DLPack code, promotion rank.
#define PYDL_DTYPES(X)                    \
  X(b8, bool, "bool", 6, 0)               \
  X(u8, uint8_t, "uint8", 1, 1)           \
  X(i32, int32_t, "int32", 0, 2)          \
  X(i64, int64_t, "int64", 0, 3)          \
  X(f16, ::pydl::f16, "float16", 2, 4)    \
  X(bf16, ::pydl::bf16, "bfloat16", 4, 4) \
  X(f32, float, "float32", 2, 5)          \
  X(f64, double, "float64", 2, 6)

enum class Dtype : uint8_t {
#define PYDL_ENUM(name, ...) name,
  PYDL_DTYPES(PYDL_ENUM)
#undef PYDL_ENUM
};

struct View {
  void* data = nullptr;         // the first element (the offset is already added)
  int64_t shape[kMaxAxes]{};    // sizes, outermost first
  int64_t strides[kMaxAxes]{};  // in elements; 0 where broadcast, negative where flipped
  int32_t ndim = 0;
  Dtype dtype = Dtype::f32;

  bool present() const { return data != nullptr; }  // an optional argument left out has no data
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < ndim; ++i) n *= shape[i];
    return n;
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// One flat piece of memory in a list of many (optimizer kernels work on all parameters at once).
struct Span {
  void* data;
  int64_t n;
  Dtype dtype;
};
struct Spans {
  const Span* items;
  int64_t count;  // 0: the list was left out
};

}  // namespace pydl
