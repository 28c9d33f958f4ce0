// Special functions of two arguments, one number at a time, in float64, for the CPU's kernels and the GPU's.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/host_device.h"

namespace pydl::PYDL_ISA {
namespace {

PYDL_HD inline double log_gamma(double x) {
#ifdef __CUDACC__
  return ::lgamma(x);
#else
  int sign;  // the sign that lgamma leaves behind would be common to all threads
  return ::lgamma_r(x, &sign);
#endif
}

// sum of (q + k)^-s for k >= 0, q > 0: nine terms and Euler-Maclaurin's formula (Johansson 2014, arXiv:1309.2877).
PYDL_HD inline double zeta_right(double s, double q) {
  static constexpr double bernoulli[] = {1.0 / 12,
                                         -1.0 / 720,
                                         1.0 / 30240,
                                         -1.0 / 1209600,
                                         1.0 / 47900160,
                                         -691.0 / 1307674368000.0,
                                         1.0 / 74724249600.0,
                                         -3617.0 / 10670622842880000.0};
  double sum = 0, a = q;
  for (int i = 0; i < 9 || a < 9; ++i, ++a) {
    const double term = std::pow(a, -s);
    sum += term;
    if (term < 1e-17 * sum) return sum;
  }
  const double term = std::pow(a, -s);
  sum += term * a / (s - 1) + 0.5 * term;
  double factor = s, power = term / a;
  for (int j = 0; j < 8; ++j) {
    const double t = bernoulli[j] * factor * power;
    sum += t;
    if (std::fabs(t) < 1e-17 * std::fabs(sum)) break;
    factor *= (s + 2 * j + 1) * (s + 2 * j + 2);
    power /= a * a;
  }
  return sum;
}

// Hurwitz' zeta function for s > 1. Infinite at the poles q = 0, -1, ...; for other q < 0 only if s is an integer: then
// the terms left of 0 are mirrored, so that it takes no longer far out.
PYDL_HD inline double zeta(double s, double q) {
  constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  if (s != s || q != q) return s + q;
  if (s == 1) return inf;
  if (s < 1) return nan;
  if (q == inf) return 0;
  if (q > 0) return zeta_right(s, q);
  if (q == std::floor(q)) return inf;
  if (s != std::floor(s)) return nan;
  const double f = q - std::floor(q);
  const double left = zeta_right(s, 1 - f) - zeta_right(s, 1 - q);
  return zeta_right(s, f) + (std::fmod(s, 2) == 0 ? left : -left);
}

// x^a exp(-x) / gamma(a + 1), by Stirling's series for large a, where the factors would cancel.
PYDL_HD inline double gamma_term(double a, double x) {
  if (a < 20) return std::exp(a * std::log(x) - x - log_gamma(a + 1));
  const double mu = (x - a) / a;
  const double stirling = (1.0 / 12 - (1.0 / 360 - 1.0 / (1260 * a * a)) / (a * a)) / a;
  return std::exp(-a * (mu - std::log1p(mu)) - stirling) / std::sqrt(6.2831853071795865 * a);
}

PYDL_HD inline double gamma_series(double a, double x) {  // P(a, x) for x < a + 1
  double term = 1, sum = 1;
  for (double n = a + 1; term > 1e-17 * sum; ++n) sum += term *= x / n;
  return sum * gamma_term(a, x);
}

PYDL_HD inline double gamma_fraction(double a, double x) {  // Q(a, x) for x > a + 1, by Lentz' method
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (double i = 1; i < 1e6; ++i) {
    const double an = i * (a - i);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= c * d;
    if (std::fabs(c * d - 1) <= 0x1p-52) break;
  }
  return h * a * gamma_term(a, x);
}

// Q for a > 1e6: the normal limit with its first correction (Temme 1979, SIAM J. Math. Anal. 10).
PYDL_HD inline double gamma_normal(double a, double x) {
  const double mu = (x - a) / a, phi = mu - std::log1p(mu);
  const double eta = std::copysign(std::sqrt(2 * (phi > 0 ? phi : 0)), mu);
  const double first = std::fabs(mu) < 1e-4 ? -1.0 / 3 + mu / 12 : 1 / mu - 1 / eta;
  return 0.5 * std::erfc(eta * std::sqrt(0.5 * a)) + std::exp(-a * phi) * first / std::sqrt(6.2831853071795865 * a);
}

// The regularised incomplete gamma functions: P, lower, or Q = 1 - P, upper.
template <bool upper>
PYDL_HD inline double incomplete_gamma(double a, double x) {
  constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  if (!(a >= 0) || !(x >= 0)) return nan;
  if (a == 0) return x == 0 ? nan : upper ? 0 : 1;
  if (x == 0) return upper ? 1 : 0;
  if (a == inf) return x == inf ? nan : upper ? 1 : 0;
  if (x == inf) return upper ? 0 : 1;
  if (a > 1e6) return upper ? gamma_normal(a, x) : 1 - gamma_normal(a, x);
  if (x < a + 1) return upper ? 1 - gamma_series(a, x) : gamma_series(a, x);
  return upper ? gamma_fraction(a, x) : 1 - gamma_fraction(a, x);
}

PYDL_HD inline double lower_gamma(double a, double x) { return incomplete_gamma<false>(a, x); }
PYDL_HD inline double upper_gamma(double a, double x) { return incomplete_gamma<true>(a, x); }

}  // namespace
}  // namespace pydl::PYDL_ISA
