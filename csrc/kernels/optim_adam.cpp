// Adam and its kin: running means m of the gradient and v of its square, both without their bias towards zero.
#include "kernels/optim/adam.h"
#include "kernels/step.h"

namespace pydl::PYDL_ISA {

void adam(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Adam>(p, g, s0, s1, s2, hyper); }
void adamax(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Adamax>(p, g, s0, s1, s2, hyper); }
void nadam(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Nadam>(p, g, s0, s1, s2, hyper); }
void radam(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Radam>(p, g, s0, s1, s2, hyper); }
void lamb_direction(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) {
  step<LambDirection>(p, g, s0, s1, s2, hyper);
}

}  // namespace pydl::PYDL_ISA
