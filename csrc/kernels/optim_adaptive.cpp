// Steps whose size adapts to each element: Adagrad, Adadelta, RMSprop.
#include "kernels/optim/adaptive.h"
#include "kernels/step.h"

namespace pydl::PYDL_ISA {

void adagrad(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Adagrad>(p, g, s0, s1, s2, hyper); }
void adadelta(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Adadelta>(p, g, s0, s1, s2, hyper); }
void rmsprop(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Rmsprop>(p, g, s0, s1, s2, hyper); }

}  // namespace pydl::PYDL_ISA
