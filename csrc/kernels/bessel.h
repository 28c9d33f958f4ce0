// Modified Bessel functions of order 0 and 1, for the CPU's kernels and the GPU's. V: a vector of float64, or one.
// Chebyshev series from 40-digit values, cut at 2^-58 of the largest coefficient and summed by Clenshaw's rule. Near:
// in x / 4 - 1 up to x = 8 (i) or x^2 / 2 - 1 up to 2 (k); far: in 16 / x - 1 or 4 / x - 1, of sqrt(x) exp(-+x) f(x).
#pragma once

#include <cstddef>

#include "kernels/special_one.h"

namespace pydl::PYDL_ISA {
namespace {

template <class V, size_t n>
PYDL_HD inline V chebyshev(V u, const double (&c)[n]) {
  const V twice = 2.0 * u;
  V b = number<V>(c[n - 1]), last = V();
  for (size_t i = n - 1; i-- > 1;) {
    const V next = fma(twice, b, c[i] - last);
    last = b;
    b = next;
  }
  return fma(u, b, c[0] - last);
}

// exp(-|x|) I0(x)
template <class V>
PYDL_HD inline V i0e(V x) {
  static constexpr double near_table[] = {
      0x1.5a84e9035a22ap-2,  -0x1.37febc057cd8dp-2,  0x1.5f7ac77ac88c0p-3,  -0x1.84b70342d06eap-4,
      0x1.93e8acea8a32dp-5,  -0x1.84e9ef121b6f0p-6,  0x1.59961f3dde3ddp-7,  -0x1.1b65e201aa849p-8,
      0x1.adc758a12100ep-10, -0x1.2e2fd1f15eb52p-11, 0x1.8b51b74107cabp-13, -0x1.e2b2659c41d5ap-15,
      0x1.13f58be9a2859p-16, -0x1.2866fcba56427p-18, 0x1.2bf24978cf4acp-20, -0x1.1ec638f227f8dp-22,
      0x1.03b769d4d6435p-24, -0x1.beaf68c0b30abp-27, 0x1.6d903a454cb34p-29, -0x1.1d4fe13ae9556p-31,
      0x1.a98becc743c10p-34, -0x1.2fc957a946abcp-36, 0x1.9fe2fe19bd324p-39, -0x1.1164c62ee1af0p-41,
      0x1.59b464b262627p-44, -0x1.a5022c297fbebp-47, 0x1.ee6d893f65ebap-50, -0x1.184eb721ebbb4p-52,
      0x1.33362977da589p-55, -0x1.45cb72134d0efp-58};
  static constexpr double far_table[] = {
      0x1.9be62aca809cbp-2,   0x1.b998ca2e59049p-9,   0x1.20fa378999e52p-14,  0x1.8412bc101c586p-19,
      0x1.b8007d9cd616ep-23,  0x1.8569280d6d56dp-26,  0x1.d2c64a9225b87p-29,  0x1.0f9ccc0f46f75p-31,
      0x1.a24feabe8004fp-37,  -0x1.1511d08397425p-35, -0x1.d0fd7357e7bf2p-37, -0x1.f904303178d66p-40,
      0x1.94347fa268cecp-41,  0x1.b1c8c6b83c073p-42,  0x1.156ff0d5fc545p-46,  -0x1.75d99cf68bb32p-45,
      -0x1.583fe7e65629ap-47, 0x1.12a919094e6d7p-48,  0x1.fee7da3eafb1fp-50,  -0x1.8aee7d908de38p-52,
      -0x1.4600babd21fe4p-52, 0x1.3f3dd076041cdp-55,  0x1.9be1812d98421p-55,  -0x1.646da66119130p-58,
      -0x1.0adb754ca8b19p-57};
  const V a = abs(x);
  const V near = chebyshev(0.25 * a - 1.0, near_table);
  const V far = chebyshev(16.0 / a - 1.0, far_table) / sqrt(a);
  return select(a <= 8.0, near, far);
}

// exp(-|x|) I1(x)
template <class V>
PYDL_HD inline V i1e(V x) {
  static constexpr double near_table[] = {
      0x1.02a63724a7ffap-3,  -0x1.694d10469192ep-3,  0x1.a46dad536f53cp-4,  -0x1.b1bbc537c9ebcp-5,
      0x1.951e3e7bb2349p-6,  -0x1.5a29f7913a26ap-7,  0x1.1065349d3a1b4p-8,  -0x1.8cc620b3cd4a4p-10,
      0x1.0c95db6c6df7dp-11, -0x1.533cad3d694fep-13, 0x1.911b542c70d0bp-15, -0x1.bd5f9b8debbcfp-17,
      0x1.d1c4ed511afc5p-19, -0x1.cc0798363992ap-21, 0x1.ae344b347d108p-23, -0x1.7dd3e24b8c3e8p-25,
      0x1.4258e02395010p-27, -0x1.0361b28ea67e6p-29, 0x1.8ea34b43fdf6cp-32, -0x1.2510397eb07dep-34,
      0x1.9cee2b21d3154p-37, -0x1.173835fb70366p-39, 0x1.6af784779d955p-42, -0x1.c628e1c8f0b3bp-45,
      0x1.11d7f0615290cp-47, -0x1.3eaaa7e0d1573p-50, 0x1.663e3e593bfacp-53, -0x1.857d0c38a0576p-56,
      0x1.99f2a0c3c4014p-59};
  static constexpr double far_table[] = {
      0x1.8ea18b55b1514p-2,   -0x1.3fda053fcdb4cp-7,  -0x1.cfd7f804aa9a6p-14, -0x1.048df49ca0373p-18,
      -0x1.0dbfd2e9e5443p-22, -0x1.c415394bb46c1p-26, -0x1.0790b9ad53528p-28, -0x1.334ca5423dd80p-31,
      -0x1.4dcf9d4504c0cp-36, 0x1.1e1a1f1587865p-35,  0x1.f101f653c457bp-37,  0x1.1e7d3f6439fa3p-39,
      -0x1.953e1076ab493p-41, -0x1.cbc458e73e255p-42, -0x1.7a9482e6d22a0p-46, 0x1.80d3c26b3281ep-45,
      0x1.776e1762d31e8p-47,  -0x1.12db5138afbc7p-48, -0x1.0efcd8bc4d22ap-49, 0x1.7d68e5f04a2d1p-52,
      0x1.55915fceb588ap-52,  -0x1.2806c9c773320p-55, -0x1.acea3b2532277p-55, 0x1.45b8aea87b950p-58,
      0x1.1556db352e8e6p-57};
  const V a = abs(x);
  const V near = a * chebyshev(0.25 * a - 1.0, near_table);
  const V far = chebyshev(16.0 / a - 1.0, far_table) / sqrt(a);
  return flip_sign(select(a <= 8.0, near, far), x);
}

// exp(|x|) y in two halves: exp(|x|) alone overflows before I0 and I1 do.
template <class V>
PYDL_HD inline V times_exp(V y, V x) {
  const V e = exp(0.5 * abs(x));
  return e * y * e;
}
template <class V>
PYDL_HD inline V i0(V x) {
  return select(abs(x) == number<V>(kInfinity), abs(x), times_exp(i0e(x), x));
}
template <class V>
PYDL_HD inline V i1(V x) {
  return select(abs(x) == number<V>(kInfinity), x, times_exp(i1e(x), x));
}

// exp(x) K0(x) for x > 0: infinite at 0, NaN below.
template <class V>
PYDL_HD inline V k0e(V x) {
  static constexpr double near_table[] = {-0x1.12166e9d2f61fp-2, 0x1.608d881213db9p-2,  0x1.26bf6554a9085p-5,
                                          0x1.4b82e75633d73p-10, 0x1.7f900fe8cfca0p-16, 0x1.102bce7f95efcp-22,
                                          0x1.05c1367e58a13p-29, 0x1.6c25c475120bep-37, 0x1.7fb0ac384a073p-45,
                                          0x1.3cee1e6b887dcp-53};
  static constexpr double far_table[] = {
      0x1.385bd9f4e6907p+0,  -0x1.019f72d4ff71ep-5,  0x1.9b891fca79342p-10, -0x1.0d797e7889f42p-13,
      0x1.d413fcc7470a9p-17, -0x1.ebb547f18d3a9p-20, 0x1.2915981e3e46fp-22, -0x1.905541b54f2afp-25,
      0x1.269a0033f428ep-27, -0x1.d29d5f22bf5e2p-30, 0x1.8956c819ff63dp-32, -0x1.5df95d2e7ca15p-34,
      0x1.46808475fbf4dp-36, -0x1.3dafc3f00540bp-38, 0x1.40fa32fcce645p-40, -0x1.4f87721a3b2dbp-42,
      0x1.69c4ecd913e48p-44, -0x1.9145ebaf9922fp-46, 0x1.c8d9c4a6808e8p-48, -0x1.0a690ed1130d0p-49,
      0x1.3dbf96cd7929dp-51, -0x1.82f947bd75936p-53, 0x1.e092e5c062a6ap-55, -0x1.2feccb331b557p-56,
      0x1.871a5cf6ebbb5p-58};
  const V b = fast_min(number<V>(2.0), x);
  const V near = chebyshev(0.5 * b * b - 1.0, near_table) - log(0.5 * b) * i0(b);
  const V far = chebyshev(4.0 / x - 1.0, far_table) / sqrt(x);
  const V y = select(x <= 2.0, near * exp(b), far);
  return select(x == 0.0, number<V>(kInfinity), select(x < 0.0, number<V>(kNotANumber), y));
}
template <class V>
PYDL_HD inline V k1e(V x) {
  static constexpr double near_table[] = {0x1.867a1361008cap-1,   -0x1.69a1b757b0dd4p-2,  -0x1.f637243c1db74p-4,
                                          -0x1.c92939d7d4192p-8,  -0x1.6ade2e5a3bd02p-13, -0x1.469b32c832e3ap-19,
                                          -0x1.7c41d145c31d0p-26, -0x1.3663bb84626cap-33, -0x1.77502ddd0e045p-41,
                                          -0x1.5dd517a0399e0p-49, -0x1.032283d3cda56p-57};
  static constexpr double far_table[] = {
      0x1.5c3d7aa062c8ap+0,   0x1.a9abef9e023fbp-4,  -0x1.76946be66b48ap-9,  0x1.9965888f6908ep-13,
      -0x1.44d711dcdb2e5p-16, 0x1.42fe31752d1b6p-19, -0x1.780528fada5c6p-22, 0x1.ed27c668fc461p-25,
      -0x1.637a49fe1e088p-27, 0x1.14f242a73d252p-29, -0x1.ccbc00365cf5fp-32, 0x1.956d008a43059p-34,
      -0x1.76b539401d12cp-36, 0x1.69ab846c05207p-38, -0x1.6adec61fc71a4p-40, 0x1.78ffa0409e616p-42,
      -0x1.94465d4c8014bp-44, 0x1.be3e9590877a3p-46, -0x1.f9d52362a3e00p-48, 0x1.25cedf006519fp-49,
      -0x1.5d2a3d9ce2a50p-51, 0x1.a7d5e4c65543cp-53, -0x1.0661525866f5ap-54, 0x1.4af1aa55c043fp-56,
      -0x1.a8c5d42a4b314p-58};
  const V b = fast_min(number<V>(2.0), x);
  const V near = chebyshev(0.5 * b * b - 1.0, near_table) / b + log(0.5 * b) * i1(b);
  const V far = chebyshev(4.0 / x - 1.0, far_table) / sqrt(x);
  const V y = select(x <= 2.0, near * exp(b), far);
  return select(x == 0.0, number<V>(kInfinity), select(x < 0.0, number<V>(kNotANumber), y));
}
template <class V>
PYDL_HD inline V k0(V x) {
  return select(x > 800.0, V(), k0e(x) * exp(-x));
}
template <class V>
PYDL_HD inline V k1(V x) {
  return select(x > 800.0, V(), k1e(x) * exp(-x));
}

}  // namespace
}  // namespace pydl::PYDL_ISA
