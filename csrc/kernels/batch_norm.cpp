// Channels normalised over the batch. A task is one channel, read for its mean, for the squares of what is left and for
// the result; where a channel's elements lie apart (no inner axes) it is a strip of neighbouring channels, so that
// memory is read along the lanes.
#include <cmath>

#include "kernels/norm.h"
#include "runtime/parallel.h"
#include "runtime/table/norm.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kStrip = 64;  // channels of a strip

// Moves the running statistics of channel c; the running variance is the unbiased one.
template <class C>
void move_running(View mean, View var, int64_t c, double momentum, C m, C v, int64_t count) {
  if (!mean.present()) return;
  const C keep = static_cast<C>(1 - momentum), take = static_cast<C>(momentum);
  const C unbiased = v * static_cast<C>(count) / static_cast<C>(count > 1 ? count - 1 : 1);
  mean.as<C>()[c] = keep * mean.as<C>()[c] + take * m;
  var.as<C>()[c] = keep * var.as<C>()[c] + take * unbiased;
}

// The sum of f(pointer to the run) over the runs of channel c.
template <class C, class T, class F>
C over_runs(const T* x, int64_t outer, int64_t stride, const F& f) {
  C total = 0;
  for (int64_t o = 0; o < outer; ++o) total += f(x + o * stride);
  return total;
}

template <class C>
C at(View v, int64_t i, C otherwise) {
  return v.present() ? v.as<C>()[i] : otherwise;
}

// total[j] = the sum over rows of term(row, j, count), for a strip of `width` columns.
template <class C, class F>
void sum_strip(int64_t rows, int64_t width, C* total, const F& term) {
  for (int64_t j = 0; j < width; j += Vec<C>::N) {
    const int64_t k = width - j < Vec<C>::N ? width - j : Vec<C>::N;
    Vec<C> sums[4];
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
      for (int i = 0; i < 4; ++i) sums[i] += term(r + i, j, k);
    for (; r < rows; ++r) sums[0] += term(r, j, k);
    store_some(total + j, (sums[0] + sums[1]) + (sums[2] + sums[3]), k);
  }
}

// y[r, j] = term(row, j, count)
template <class C, class T, class F>
void write_strip(int64_t rows, int64_t width, int64_t stride, T* y, const F& term) {
  for (int64_t r = 0; r < rows; ++r)
    each_vector_of<C>(width, [&](int64_t j, int64_t k) { store_some(y + r * stride + j, term(r, j, k), k); });
}

struct Layout {
  int64_t outer, channels, inner, count;
  explicit Layout(View x) : outer(x.shape[0]), channels(x.shape[1]), inner(x.shape[2]), count(outer * inner) {}
};

// Calls f(first channel, width) for strips, or f(channel, 1) for channels.
template <class F>
void for_channels(const Layout& l, const F& f) {
  const int64_t width = l.inner == 1 ? kStrip : 1;
  parallel_for((l.channels + width - 1) / width, 3 * width * l.count, [&](int64_t task, int64_t end) {
    for (; task < end; ++task) {
      const int64_t c = task * width;
      f(c, l.channels - c < width ? l.channels - c : width);
    }
  });
}

template <class T>
void normalise_channel(const Layout& l, const T* x, Wide<T> m, Wide<T> s, Wide<T> w, Wide<T> b, T* y) {
  for (int64_t o = 0; o < l.outer; ++o) {
    const int64_t run = o * l.channels * l.inner;
    affine_run<Wide<T>>(x + run, l.inner, m, s * w, b, y + run);
  }
}

template <class T>
void forward(double eps, double momentum, View x, View weight, View bias, View running_mean, View running_var, View y,
             View mean, View rstd) {
  using C = Wide<T>;
  const Layout l(x);
  const C n = static_cast<C>(l.count);
  const int64_t stride = l.channels * l.inner;
  for_channels(l, [&](int64_t c, int64_t width) {
    const T* xc = x.as<T>() + c * l.inner;
    C *m = mean.as<C>() + c, *s = rstd.as<C>() + c, var[kStrip];
    if (l.inner > 1) {
      const C first = l.count ? widened(*xc) : C(0);
      *m = first + over_runs<C>(xc, l.outer, stride, [&](const T* p) { return shifted_run<C>(p, l.inner, first); }) / n;
      *var = over_runs<C>(xc, l.outer, stride, [&](const T* p) { return spread_run<C>(p, l.inner, *m); }) / n;
    } else {
      sum_strip<C>(l.outer, width, m, [&](int64_t r, int64_t j, int64_t k) {
        return load_some<C>(xc + r * stride + j, k) - load_some<C>(xc + j, k);
      });
      for (int64_t j = 0; j < width; ++j) m[j] = (l.count ? widened(xc[j]) : C(0)) + m[j] / n;
      sum_strip<C>(l.outer, width, var, [&](int64_t r, int64_t j, int64_t k) {
        const Vec<C> d = load_some<C>(xc + r * stride + j, k) - load_some<C>(m + j, k);
        return d * d;
      });
      for (int64_t j = 0; j < width; ++j) var[j] /= n;
    }
    for (int64_t j = 0; j < width; ++j) {
      s[j] = C(1) / std::sqrt(var[j] + static_cast<C>(eps));
      move_running(running_mean, running_var, c + j, momentum, m[j], var[j], l.count);
    }
    if (l.inner > 1)
      return normalise_channel(l, xc, *m, *s, at(weight, c, C(1)), at(bias, c, C(0)), y.as<T>() + c * l.inner);
    C a[kStrip], b[kStrip];
    for (int64_t j = 0; j < width; ++j) a[j] = s[j] * at(weight, c + j, C(1)), b[j] = at(bias, c + j, C(0));
    write_strip<C>(l.outer, width, stride, y.as<T>() + c, [&](int64_t r, int64_t j, int64_t k) {
      return fma(load_some<C>(xc + r * stride + j, k) - load_some<C>(m + j, k), load_some<C>(a + j, k),
                 load_some<C>(b + j, k));
    });
  });
}

// gx = w rstd (g - mean(g) - xhat mean(g xhat)), as g a + (x - mean) b + c.
template <class C>
struct Blend {
  C a, b, c;
  Blend(C plain, C product, C s, C w, C n) : a(w * s), b(-a * s * (product / n)), c(-a * (plain / n)) {}
};

template <class T>
void backward(View g, View x, View weight, View mean, View rstd, View gx, View sums) {
  using C = Wide<T>;
  const Layout l(x);
  const C n = static_cast<C>(l.count);
  const int64_t stride = l.channels * l.inner;
  for_channels(l, [&](int64_t c, int64_t width) {
    const T *gc = g.as<T>() + c * l.inner, *xc = x.as<T>() + c * l.inner;
    T* gxc = gx.as<T>() + c * l.inner;
    const C *m = mean.as<C>() + c, *s = rstd.as<C>() + c;
    C *product = sums.as<C>() + c, *plain = product + l.channels;
    if (l.inner > 1) {
      *plain = *product = 0;
      for (int64_t o = 0; o < l.outer; ++o) {
        *plain += sum_run<C>(gc + o * stride, l.inner);
        *product += product_run<C>(gc + o * stride, xc + o * stride, l.inner, *m);
      }
      *product *= *s;
      const Blend<C> t(*plain, *product, *s, at(weight, c, C(1)), n);
      for (int64_t o = 0; o < l.outer; ++o)
        blend_run<C>(gc + o * stride, xc + o * stride, l.inner, *m, t.a, t.b, t.c, gxc + o * stride);
      return;
    }
    const auto g_at = [&](int64_t r, int64_t j, int64_t k) { return load_some<C>(gc + r * stride + j, k); };
    sum_strip<C>(l.outer, width, plain, g_at);
    sum_strip<C>(l.outer, width, product, [&](int64_t r, int64_t j, int64_t k) {
      return g_at(r, j, k) * (load_some<C>(xc + r * stride + j, k) - load_some<C>(m + j, k));
    });
    C a[kStrip], b[kStrip], shift[kStrip];
    for (int64_t j = 0; j < width; ++j) {
      product[j] *= s[j];
      const Blend<C> t(plain[j], product[j], s[j], at(weight, c + j, C(1)), n);
      a[j] = t.a, b[j] = t.b, shift[j] = t.c;
    }
    write_strip<C>(l.outer, width, stride, gxc, [&](int64_t r, int64_t j, int64_t k) {
      const Vec<C> d = load_some<C>(xc + r * stride + j, k) - load_some<C>(m + j, k);
      const Vec<C> t = fma(d, load_some<C>(b + j, k), load_some<C>(shift + j, k));
      return fma(g_at(r, j, k), load_some<C>(a + j, k), t);
    });
  });
}

}  // namespace

void batch_norm(double eps, double momentum, View x, View weight, View bias, View running_mean, View running_var,
                View y, View mean, View rstd) {
  with_floating(x.dtype, [&](auto type) {
    forward<decltype(type)>(eps, momentum, x, weight, bias, running_mean, running_var, y, mean, rstd);
  });
}

void batch_norm_grad(View g, View x, View weight, View mean, View rstd, View gx, View sums) {
  with_floating(x.dtype, [&](auto type) { backward<decltype(type)>(g, x, weight, mean, rstd, gx, sums); });
}

void channel_affine(View x, View scale, View shift, View y) {
  const Layout l(x);
  with_floating(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = Wide<T>;
    const C *a = scale.as<C>(), *b = shift.as<C>();
    if (l.inner == 1)
      return parallel_for(l.outer, l.channels, [&](int64_t r, int64_t end) {
        write_strip<C>(end - r, l.channels, l.channels, y.as<T>() + r * l.channels,
                       [&, row = x.as<T>() + r * l.channels](int64_t i, int64_t j, int64_t k) {
                         return fma(load_some<C>(row + i * l.channels + j, k), load_some<C>(a + j, k),
                                    load_some<C>(b + j, k));
                       });
      });
    parallel_for(l.outer * l.channels, l.inner, [&](int64_t run, int64_t end) {
      for (; run < end; ++run) {
        const int64_t c = run % l.channels;
        affine_run<C>(x.as<T>() + run * l.inner, l.inner, C(0), a[c], b[c], y.as<T>() + run * l.inner);
      }
    });
  });
}

}  // namespace pydl::PYDL_ISA
