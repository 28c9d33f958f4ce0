// Philox4x32-10 and the numbers that are made of its words, one at a time. Plain functions of integers and floats, the
// same for the CPU (which runs them over arrays, see random.cpp) and for CUDA.
//
// Element i of an output comes from the block with counter offset + i / 4 (32-bit draws, word i % 4) or offset + i / 2
// (64-bit draws, words 2 (i % 2), low half first, and the next), under the key `seed`.
//
// Floats are made with + - * /, sqrt and conversions only, each rounded by itself: compiled without contraction into
// fma (a pragma in random.cpp; -fmad=false for nvcc) they are the same bits on every machine. Source: Salmon et al.
// 2011, "Parallel random numbers: as easy as 1, 2, 3"; Box & Muller 1958.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/host_device.h"

namespace pydl {
namespace {
namespace philox {

constexpr uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;  // added to the key after each round
constexpr int kRounds = 10;

PYDL_HD inline void block(const uint32_t counter[4], uint32_t key0, uint32_t key1, uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int r = 0; r < kRounds; ++r) {
    const uint64_t p0 = static_cast<uint64_t>(kMultiplier0) * c0, p1 = static_cast<uint64_t>(kMultiplier1) * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ key0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ key1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

// The four words of a block of the stream of one seed.
PYDL_HD inline void words(uint64_t seed, uint64_t counter, uint32_t out[4]) {
  const uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0};
  block(c, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), out);
}

// Signed conversions are one instruction everywhere; unsigned ones are not.
PYDL_HD inline float to_real(uint32_t below_2_31, float) {
  return static_cast<float>(static_cast<int32_t>(below_2_31));
}
PYDL_HD inline double to_real(uint32_t below_2_31, double) {
  return static_cast<double>(static_cast<int32_t>(below_2_31));
}

// [0, 1) in steps of 2^-24 and of 2^-53.
PYDL_HD inline float uniform(uint32_t w) { return to_real(w >> 8, 0.0f) * 0x1p-24f; }
PYDL_HD inline double uniform(uint32_t low, uint32_t high) {
  return (to_real(high >> 5, 0.0) * 0x1p26 + to_real(low >> 6, 0.0)) * 0x1p-53;
}

// [0, n) for 1 <= n < 2^32: the high half of draw * n, in products of 32 bits.
PYDL_HD inline uint64_t below(uint32_t low, uint32_t high, uint32_t n) {
  const uint64_t carry = (static_cast<uint64_t>(low) * n) >> 32;
  return (static_cast<uint64_t>(high) * n + carry) >> 32;
}

// [0, n) for 1 <= n < 2^63. A value's probability is off by less than n / 2^64, relatively.
PYDL_HD inline uint64_t below(uint64_t draw, uint64_t n) {
  const uint32_t n0 = static_cast<uint32_t>(n), n1 = static_cast<uint32_t>(n >> 32);
  const uint64_t d0 = static_cast<uint32_t>(draw), d1 = draw >> 32;
  const uint64_t middle = ((d0 * n0) >> 32) + static_cast<uint32_t>(d1 * n0);
  const uint64_t cross = d0 * n1 + static_cast<uint32_t>(middle);  // d0 n1 <= (2^32 - 1)^2: the sum fits
  return d1 * n1 + ((d1 * n0) >> 32) + (middle >> 32) + (cross >> 32);
}

// Events of a probability p, decided by 32-bit draws: word < p 2^32.
struct Chance {
  PYDL_HD explicit Chance(double p)
      : some(p * 0x1p32 >= 0.5), last(p >= 1 ? ~0u : static_cast<uint32_t>(p * 0x1p32 - 0.5)) {}
  PYDL_HD bool operator()(uint32_t w) const { return some & (w <= last); }
  bool some;
  uint32_t last;
};

// Minimax polynomials (Remez in 50 digits). With z = s^2, log((1 + s) / (1 - s)) = 2 s + s z P(z) for |s| <= 0.1716
// (relative error 2.7e-9, 4.5e-18); with t = f^2, sin(pi f / 2) = f S(t) (3.2e-9, 3.3e-18) and
// cos(pi f / 2) = 1 + t C(t) (1.9e-10, 1.2e-19) for |f| <= 1 / 2.
template <class T>
struct Tables;
template <>
struct Tables<float> {
  using Bits = uint32_t;
  static constexpr int kMantissa = 23;
  static constexpr uint32_t kSqrtHalf = 0x3f3504f3u;
  PYDL_HD static inline float log(float z) { return 0.66666685f + z * (0.39988719f + z * 0.29582047f); }
  PYDL_HD static inline float sin(float t) {
    return 1.5707963f + t * (-0.64596346f + t * (0.079680033f + t * -0.0046016578f));
  }
  PYDL_HD static inline float cos(float t) {
    return -1.2337005f + t * (0.25366941f + t * (-0.02086153f + t * 0.00090674354f));
  }
};
template <>
struct Tables<double> {
  using Bits = uint64_t;
  static constexpr int kMantissa = 52;
  static constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu;
  PYDL_HD static inline double log(double z) {
    const double high = 0.18182892874011253 + z * (0.15331608391353943 + z * 0.1461773171896921);
    const double low = 0.2857142862637009 + z * (0.2222221107758415 + z * high);
    return 0.666666666666667 + z * (0.3999999999989851 + z * low);
  }
  PYDL_HD static inline double sin(double t) {
    const double high = 0.000160441150291911 + t * (-3.598641755396527e-06 + t * 5.6337211415502544e-08);
    const double low = 0.07969262624603957 + t * (-0.004681754132282451 + t * high);
    return 1.5707963267948966 + t * (-0.6459640975062443 + t * low);
  }
  PYDL_HD static inline double cos(double t) {
    const double high = -2.5202039028887144e-05 + t * (4.710678436117707e-07 + t * -6.3294004381521285e-09);
    const double low = -0.02086348076334078 + t * (0.0009192602745469554 + t * high);
    return -1.2337005501361697 + t * (0.2536695079010478 + t * low);
  }
};

// sqrt(-2 log u) for normal u in (0, 1].
template <class T>
PYDL_HD inline T radius(T u) {
  using Bits = typename Tables<T>::Bits;
  constexpr int kMantissa = Tables<T>::kMantissa;
  Bits bits;
  std::memcpy(&bits, &u, sizeof u);
  // u = 2^-down m with m in [sqrt(1/2), sqrt(2)).
  const Bits one = static_cast<Bits>(1) << kMantissa;
  const uint32_t down = static_cast<uint32_t>((Tables<T>::kSqrtHalf + one - 1 - bits) >> kMantissa);
  bits += static_cast<Bits>(down) << kMantissa;
  T m;
  std::memcpy(&m, &bits, sizeof m);
  const T s = (m - T(1)) / (m + T(1));
  const T z = s * s;
  const T log_m = T(2) * s + s * z * Tables<T>::log(z);
  const T log_u = log_m - to_real(down, T(0)) * T(0.69314718055994531);
  return std::sqrt(T(-2) * log_u);
}

// radius * (cos, sin) of the angle (quarter + f) pi / 2, |f| <= 1 / 2.
template <class T>
PYDL_HD inline void on_circle(T r, uint32_t quarter, T f, T* x, T* y) {
  const T t = f * f;
  const T sine = f * Tables<T>::sin(t), cosine = T(1) + t * Tables<T>::cos(t);
  const bool odd = (quarter & 1) != 0;
  const T c = odd ? sine : cosine, s = odd ? cosine : sine;
  *x = ((quarter + 1) & 2) != 0 ? -(r * c) : r * c;
  *y = (quarter & 2) != 0 ? -(r * s) : r * s;
}

// Two standard normal numbers of two words, up to 6.66 from the mean. Small radii are on a grid, as 1 - u is a multiple
// of 2^-24; large ones, of small u, are not.
PYDL_HD inline void normal(uint32_t a, uint32_t b, float* x, float* y) {
  const float u = (to_real(a >> 1, 0.0f) + 0.5f) * 0x1p-31f;
  const uint32_t quarter = (b + (1u << 29)) >> 30;
  const int32_t rest = static_cast<int32_t>(b - (quarter << 30));  // -2^29 <= rest < 2^29
  on_circle(radius(u), quarter, static_cast<float>(rest) * 0x1p-30f, x, y);
}

// Two standard normal numbers of four words, up to 9.34 from the mean.
PYDL_HD inline void normal(uint32_t a_low, uint32_t a_high, uint32_t b_low, uint32_t b_high, double* x, double* y) {
  const double fine = to_real(a_low >> 1, 0.0) + 0.5;
  const double u = (to_real(a_high >> 1, 0.0) * 0x1p31 + fine) * 0x1p-62;
  const uint32_t quarter = (b_high + (1u << 29)) >> 30;
  const int32_t rest = static_cast<int32_t>(b_high - (quarter << 30));
  const double f = static_cast<double>(rest) * 0x1p-30 + to_real(b_low >> 1, 0.0) * 0x1p-61;
  on_circle(radius(u), quarter, f, x, y);
}

}  // namespace philox
}  // namespace
}  // namespace pydl
