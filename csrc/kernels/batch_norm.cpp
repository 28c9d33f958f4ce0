// Channels normalised over the batch. A task is one channel, read for its mean, for the squares of what is left and for
// the result; where a channel's elements lie apart (no inner axes), batch_columns.h takes many channels along.
#include <cmath>

#include "kernels/batch_columns.h"
#include "kernels/norm.h"
#include "runtime/parallel.h"
#include "runtime/table/norm.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kScalesSlot = 1;

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

struct Layout {
  int64_t outer, channels, inner, count;
  explicit Layout(View x) : outer(x.shape[0]), channels(x.shape[1]), inner(x.shape[2]), count(outer * inner) {}
};

struct Statistics {
  double eps, momentum;
  View running_mean, running_var, mean, rstd;

  // Of channel c, whose mean is in its place; gives 1 / its deviation.
  template <class C>
  C finish(int64_t c, C var, int64_t count) const {
    C* s = rstd.as<C>() + c;
    *s = C(1) / std::sqrt(var + static_cast<C>(eps));
    move_running(running_mean, running_var, c, momentum, mean.as<C>()[c], var, count);
    return *s;
  }
};

template <class T>
void forward_columns(const Layout& l, const Statistics& q, View x, View weight, View bias, View y) {
  using C = Wide<T>;
  const Columns columns(l.outer, l.channels);
  C *mean = q.mean.as<C>(), *a = static_cast<C*>(scratch(kScalesSlot, sizeof(C) * static_cast<size_t>(2 * l.channels)));
  C* b = a + l.channels;
  column_statistics(columns, x.as<T>(), mean, a);
  for (int64_t c = 0; c < l.channels; ++c) {
    a[c] = q.finish(c, a[c], l.count) * at(weight, c, C(1));
    b[c] = at(bias, c, C(0));
  }
  write_affine(columns, x.as<T>(), mean, a, b, y.as<T>());
}

template <class T>
void forward(const Statistics& q, View x, View weight, View bias, View y) {
  using C = Wide<T>;
  const Layout l(x);
  if (l.inner == 1) return forward_columns<T>(l, q, x, weight, bias, y);
  const C n = static_cast<C>(l.count);
  const int64_t stride = l.channels * l.inner;
  parallel_for(l.channels, 3 * l.count, [&](int64_t c, int64_t end) {
    for (; c < end; ++c) {
      const T* xc = x.as<T>() + c * l.inner;
      const C first = l.count ? widened(*xc) : C(0);
      const C m =
          first + over_runs<C>(xc, l.outer, stride, [&](const T* p) { return shifted_run<C>(p, l.inner, first); }) / n;
      const C var = over_runs<C>(xc, l.outer, stride, [&](const T* p) { return spread_run<C>(p, l.inner, m); }) / n;
      q.mean.as<C>()[c] = m;
      const C a = q.finish(c, var, l.count) * at(weight, c, C(1)), b = at(bias, c, C(0));
      for (int64_t o = 0; o < l.outer; ++o)
        affine_run<C>(xc + o * stride, l.inner, m, a, b, y.as<T>() + c * l.inner + o * stride);
    }
  });
}

// gx = w rstd (g - mean(g) - xhat mean(g xhat)), as g a + (x - mean) b + c.
template <class C>
struct Blend {
  C a, b, c;
  Blend(C plain, C product, C s, C w, C n) : a(w * s), b(-a * s * (product / n)), c(-a * (plain / n)) {}
};

struct Gradient {
  View g, x, weight, mean, rstd, gx, sums;  // sums: of g xhat, and of g

  template <class C>
  Blend<C> blend(int64_t c, const Layout& l) const {
    C *product = sums.as<C>() + c, *plain = product + l.channels;
    *product *= rstd.as<C>()[c];
    return Blend<C>(*plain, *product, rstd.as<C>()[c], at(weight, c, C(1)), static_cast<C>(l.count));
  }
};

template <class T>
void backward_columns(const Layout& l, const Gradient& q) {
  using C = Wide<T>;
  const Columns columns(l.outer, l.channels);
  const T *g = q.g.as<T>(), *x = q.x.as<T>();
  const C* mean = q.mean.as<C>();
  column_products(columns, g, x, mean, q.sums.as<C>() + l.channels, q.sums.as<C>());
  C* a = static_cast<C*>(scratch(kScalesSlot, sizeof(C) * static_cast<size_t>(3 * l.channels)));
  C *b = a + l.channels, *shift = b + l.channels;
  for (int64_t c = 0; c < l.channels; ++c) {
    const Blend<C> t = q.blend<C>(c, l);
    a[c] = t.a, b[c] = t.b, shift[c] = t.c;
  }
  columns.each_piece(2, [&](int64_t, int64_t row, int64_t rows, int64_t c, int64_t width) {
    const int64_t from = row * l.channels + c;
    write_columns<C>(rows, width, l.channels, q.gx.as<T>() + from, [&](int64_t r, int64_t j, int64_t k) {
      const int64_t i = from + r * l.channels + j;
      const Vec<C> d = load_some<C>(x + i, k) - load_some<C>(mean + c + j, k);
      const Vec<C> t = fma(d, load_some<C>(b + c + j, k), load_some<C>(shift + c + j, k));
      return fma(load_some<C>(g + i, k), load_some<C>(a + c + j, k), t);
    });
  });
}

template <class T>
void backward(const Gradient& q) {
  using C = Wide<T>;
  const Layout l(q.x);
  if (l.inner == 1) return backward_columns<T>(l, q);
  const int64_t stride = l.channels * l.inner;
  parallel_for(l.channels, 3 * l.count, [&](int64_t c, int64_t end) {
    for (; c < end; ++c) {
      const T *gc = q.g.as<T>() + c * l.inner, *xc = q.x.as<T>() + c * l.inner;
      const C m = q.mean.as<C>()[c];
      C *product = q.sums.as<C>() + c, *plain = product + l.channels;
      *plain = *product = 0;
      for (int64_t o = 0; o < l.outer; ++o) {
        *plain += sum_run<C>(gc + o * stride, l.inner);
        *product += product_run<C>(gc + o * stride, xc + o * stride, l.inner, m);
      }
      const Blend<C> t = q.blend<C>(c, l);
      for (int64_t o = 0; o < l.outer; ++o)
        blend_run<C>(gc + o * stride, xc + o * stride, l.inner, m, t.a, t.b, t.c,
                     q.gx.as<T>() + c * l.inner + o * stride);
    }
  });
}

}  // namespace

void batch_norm(double eps, double momentum, View x, View weight, View bias, View running_mean, View running_var,
                View y, View mean, View rstd) {
  const Statistics q{eps, momentum, running_mean, running_var, mean, rstd};
  with_floating(x.dtype, [&](auto type) { forward<decltype(type)>(q, x, weight, bias, y); });
}

void batch_norm_grad(View g, View x, View weight, View mean, View rstd, View gx, View sums) {
  const Gradient q{g, x, weight, mean, rstd, gx, sums};
  with_floating(x.dtype, [&](auto type) { backward<decltype(type)>(q); });
}

void channel_affine(View x, View scale, View shift, View y) {
  const Layout l(x);
  with_floating(x.dtype, [&](auto type) {
    using T = decltype(type);
    using C = Wide<T>;
    const C *a = scale.as<C>(), *b = shift.as<C>();
    if (l.inner == 1) return write_affine<C>(Columns(l.outer, l.channels), x.as<T>(), nullptr, a, b, y.as<T>());
    parallel_for(l.outer * l.channels, l.inner, [&](int64_t run, int64_t end) {
      for (; run < end; ++run) {
        const int64_t c = run % l.channels;
        affine_run<C>(x.as<T>() + run * l.inner, l.inner, C(0), a[c], b[c], y.as<T>() + run * l.inner);
      }
    });
  });
}

}  // namespace pydl::PYDL_ISA
