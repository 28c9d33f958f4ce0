// Copies past the caches: for what nobody reads soon.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace pydl {

// Others may read it after past_fence().
inline void copy_past(char* to, const char* from, size_t bytes) {
#ifdef __SSE2__
  constexpr size_t kStep = sizeof(__m128i);
  const size_t head = std::min(bytes, (kStep - reinterpret_cast<uintptr_t>(to) % kStep) % kStep);
  std::memcpy(to, from, head);
  size_t at = head;
  for (; at + kStep <= bytes; at += kStep)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
  std::memcpy(to + at, from + at, bytes - at);
#else
  std::memcpy(to, from, bytes);
#endif
}

inline void past_fence() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

}  // namespace pydl
