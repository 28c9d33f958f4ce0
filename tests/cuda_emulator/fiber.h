// Fibers: stacks that the calling thread changes between. On x86-64 a change is a few pushes and pops; elsewhere the
// C library does it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "emulator.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

#if defined(__x86_64__)

// Saves what a call must keep on this stack, notes its top in *from, and goes on where `to` was left.
extern "C" void emulator_switch(void** from, void* to);
asm(R"(
.text
.local emulator_switch
.type emulator_switch, @function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch, .-emulator_switch
)");

class Context {
 public:
  void start(char* stack, void (*entry)()) {
    auto** top = reinterpret_cast<void**>(stack + kStack);
    *--top = nullptr;  // so that the stack is aligned as after a call
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    top_ = top;
  }
  void change_to(const Context& other) { emulator_switch(&top_, other.top_); }

 private:
  void* top_ = nullptr;
};

#else

class Context {
 public:
  void start(char* stack, void (*entry)()) {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = kStack;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
  }
  void change_to(const Context& other) { swapcontext(&context_, &other.context_); }

 private:
  ucontext_t context_;
};

#endif

}  // namespace emulator
