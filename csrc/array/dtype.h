// Facts about dtypes, all from the one list in view.h.
#pragma once

#include <cstddef>

#include "array/view.h"

namespace pydl {

enum class Category : uint8_t { boolean, integer, floating };

inline size_t size_of(Dtype d) {
  switch (d) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return sizeof(type);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return 0;
}

inline const char* name_of(Dtype d) {
  switch (d) {
#define PYDL_CASE(name, type, text, ...) \
  case Dtype::name:                      \
    return text;
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return "";
}

inline int rank_of(Dtype d) {
  switch (d) {
#define PYDL_CASE(name, type, text, code, rank) \
  case Dtype::name:                             \
    return rank;
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return 0;
}

inline Category category_of(Dtype d) {
  if (d == Dtype::b8) return Category::boolean;
  return rank_of(d) >= 4 ? Category::floating : Category::integer;
}

inline bool is_floating(Dtype d) { return category_of(d) == Category::floating; }

// The dtype that holds both. Two different kinds of half precision meet in float32.
inline Dtype promote(Dtype a, Dtype b) {
  if (a == b) return a;
  if (rank_of(a) == rank_of(b)) return Dtype::f32;
  return rank_of(a) > rank_of(b) ? a : b;
}

}  // namespace pydl
