// Steps along the gradient or its sign: SGD, averaged SGD, Rprop, Lion.
#include "kernels/optim/gradient.h"
#include "kernels/step.h"

namespace pydl::PYDL_ISA {

void sgd(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Sgd>(p, g, s0, s1, s2, hyper); }
void asgd(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Asgd>(p, g, s0, s1, s2, hyper); }
void rprop(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Rprop>(p, g, s0, s1, s2, hyper); }
void lion(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Lion>(p, g, s0, s1, s2, hyper); }

}  // namespace pydl::PYDL_ISA
