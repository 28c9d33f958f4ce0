// Functions of two numbers, one at a time, that the CPU's kernels and the GPU's share.
//
// Quotients and remainders are Python's: rounded towards minus infinity, the remainder has the sign of b; fmod is C's.
// Integers wrap around.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace pydl::PYDL_ISA {
namespace {

// ---- floats

template <class T>
constexpr T floor_mod(T a, T b) {
  const T r = std::fmod(a, b);
  return r != T(0) && (b < T(0)) != (r < T(0)) ? r + b : r;
}

// (a - a mod b) / b is near an integer; rounding to it keeps the result consistent with floor_mod.
template <class T>
constexpr T floor_quotient(T a, T b) {
  if (b == T(0)) return a / b;
  const T r = std::fmod(a, b);
  T q = (a - r) / b;
  if (r != T(0) && (b < T(0)) != (r < T(0))) q -= T(1);
  if (q == T(0)) return std::copysign(T(0), a / b);
  const T f = std::floor(q);
  return q - f > T(0.5) ? f + T(1) : f;
}

// ---- integers

// The least integer divided by -1 would overflow in C++.
template <class T>
constexpr T int_quotient(T a, T b) {
  using U = std::make_unsigned_t<T>;
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return static_cast<T>(U(0) - U(a));
  const T q = static_cast<T>(a / b);
  return static_cast<T>(a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q);
}

template <class T>
constexpr T int_fmod(T a, T b) {
  return std::is_signed_v<T> && b == static_cast<T>(-1) ? T(0) : static_cast<T>(a % b);
}

template <class T>
constexpr T int_mod(T a, T b) {
  const T r = int_fmod(a, b);
  return static_cast<T>(r != 0 && (r < 0) != (b < 0) ? r + b : r);
}

template <class T>
constexpr T int_pow(T a, T b) {
  if (b < 0) return a == 1 ? T(1) : a == static_cast<T>(-1) ? (b % 2 != 0 ? static_cast<T>(-1) : T(1)) : T(0);
  uint64_t r = 1, base = static_cast<uint64_t>(a);
  for (uint64_t e = static_cast<uint64_t>(b); e != 0; e >>= 1, base *= base)
    if (e & 1) r *= base;
  return static_cast<T>(r);
}

template <class T>
constexpr T int_gcd(T a, T b) {
  using U = std::make_unsigned_t<T>;
  U x = a < T(0) ? U(0) - U(a) : U(a), y = b < T(0) ? U(0) - U(b) : U(b);
  while (y != 0) {
    const U r = x % y;
    x = y;
    y = r;
  }
  return static_cast<T>(x);
}

template <class T>
constexpr T int_lcm(T a, T b) {
  using U = std::make_unsigned_t<T>;
  const T d = int_gcd(a, b);
  if (d == T(0)) return d;
  const T y = static_cast<T>(uint64_t(a / d) * uint64_t(b));
  return y < T(0) ? static_cast<T>(U(0) - U(y)) : y;
}

// A negative count, or one of all bits and more, shifts everything out.
template <class T>
constexpr T shift_left(T a, T count) {
  const bool inside = count >= T(0) && uint64_t(count) < 8 * sizeof(T);
  return inside ? static_cast<T>(uint64_t(a) << uint64_t(count)) : T(0);
}
template <class T>
constexpr T shift_right(T a, T count) {
  const bool inside = count >= T(0) && uint64_t(count) < 8 * sizeof(T);
  if (!inside) return a < T(0) ? static_cast<T>(-1) : T(0);
  return static_cast<T>(a >> int(count));
}

}  // namespace
}  // namespace pydl::PYDL_ISA
