// The mathematical functions of Vec<float> and Vec<double>: range reduction and polynomials (by Remez' algorithm),
// the same arithmetic on every instruction set. Special values are those of libm, in C.
//
// Worst error found, in ulp, float32 / float64, with a fused fma (AVX2, AVX-512); without one (base) the values in
// brackets where they differ by more than 0.2. About 2 million points per float32 function, 0.6 million per float64
// one, against float64 and 80-bit arithmetic (erf, erfc, gelu in float64: 4000 points, against 40 digits). Where marked
// *, without the far negative tail in which exp(-|x|), or its like, is subnormal.
//   exp 0.9 / 0.9 [1.2]      exp2 0.9 / 0.9 [1.2]   expm1 1.6 / 1.8     pow 0.5 / 1.0
//   log 0.8 / 0.8            log2 0.7 / 0.7         log10 0.6 / 0.7     log1p 0.8 / 0.8
//   sin 1.5 / 0.8            cos 1.5 / 0.8          tan 0.5 / 2.0       atan2 1.8 / 1.7
//   asin 2.3 / 2.1           acos 1.2 / 1.1         atan 1.8 / 1.8
//   sinh 2.2 / 2.3           cosh 1.4 / 1.3 [1.6]   tanh 2.4 / 2.5
//   asinh 1.6 / 1.7          acosh 2.0 / 2.0        atanh 1.9 / 1.9
//   erf 1.3 / 1.1            erfc 4.5 / 3.9 [6.0 / 5.3]
//   sigmoid 2.3 / 2.2        logsigmoid 1.6 / 1.6   softplus 1.6 / 1.6  silu* 3.0 / 3.0
//   gelu* 4.9 / 3.3 [6.2 / 4.5]                     gelu_tanh* 3.0 / 3.0
// sin, cos and tan hand arguments above 1e6 to libm.
#pragma once

#include "simd/math_erf.h"
#include "simd/math_exp.h"
#include "simd/math_log.h"
#include "simd/math_pow.h"
#include "simd/math_trig.h"
