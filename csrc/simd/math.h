// The mathematical functions of Vec<float> and Vec<double>, by range reduction and polynomials.
#pragma once

#include "simd/math_erf.h"
#include "simd/math_exp.h"
#include "simd/math_log.h"
#include "simd/math_pow.h"
#include "simd/math_trig.h"
