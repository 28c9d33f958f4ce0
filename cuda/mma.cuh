// What a warp or a thread can ask of tensor cores and of the copy unit between device and shared memory, each as one
// function. Fragments are as the PTX manual lays them out ("Warp level matrix multiply-accumulate instructions"): with
// g = lane / 4 and q = lane % 4,
//   16-bit a (16, 16): rows g and g + 8, columns 2 q, 2 q + 1, and both + 8;  b (16, 8): rows 2 q, 2 q + 1, and both +
//   8, column g;  float64 a (8, 4): row g, column q;  b (4, 8): row q, column g;  sums: rows g (and g + 8), columns 2
//   q, 2 q + 1. TF32 a (16, 8): rows g and g + 8, column q, and both with column q + 4;  b (8, 8): rows q, q + 4,
//   column g.
#pragma once

#include "device.cuh"

#ifndef __CUDACC__
#include "tensor_cores.h"
#endif

namespace pydl::cuda {

constexpr int kTilePad = 4;  // elements behind each row of a tile of sums in shared memory

#ifdef __CUDACC__

__device__ __forceinline__ unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// sums (16, 8) += a (16, 16) b (16, 8) of S, f16 or bf16; of float, which stands for TF32: a (16, 8) b (8, 8).
template <class S>
__device__ __forceinline__ void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<S, f16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else if constexpr (std::is_same_v<S, float>)
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The nearest number with 10 bits behind the point, away from zero in the middle.
__device__ __forceinline__ uint32_t to_tf32(float x) {
  uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}

// sums (8, 8) += a (8, 4) b (4, 8).
__device__ __forceinline__ void multiply(double (&sums)[2], double a, double b) {
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
               : "+d"(sums[0]), "+d"(sums[1])
               : "d"(a), "d"(b));
}

// Four matrices (8, 8) of 16 bits from shared memory: lane l gives the address of row l % 8 of matrix l / 8, and gets
// of each the elements 2 q, 2 q + 1 of row g; turned: of the transposed matrix.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const void* row, bool turned) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.s32 p, %5, 0;\n"
      "@p ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
      "@!p ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n}"
      : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
      : "r"(shared_address(row)), "r"(static_cast<int>(turned))
      : "memory");
}

// Copies `bytes` of 16, the rest becomes 0, from device to shared memory: begun now, done when a wait says so. Both
// addresses are multiples of 16.
__device__ __forceinline__ void copy_async(void* to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}
// The copies that this thread began since the last time are one group.
__device__ __forceinline__ void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until all of this thread's groups but the last kMost are there; other threads see them after a barrier.
template <int kMost>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kMost) : "memory");
}

#else

template <class S>
void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulator::multiply<S>(sums, a, b0, b1);
}
inline uint32_t to_tf32(float x) { return emulator::to_tf32(x); }
inline void multiply(double (&sums)[2], double a, double b) { emulator::multiply(sums, a, b); }
inline void load_matrices(uint32_t (&to)[4], const void* row, bool turned) { emulator::load_matrices(to, row, turned); }
inline void copy_async(void* to, const void* from, int bytes) { emulator::copy_async(to, from, bytes, 16); }
inline void close_copies() { emulator::close_copies(); }
template <int kMost>
void wait_copies() {
  emulator::wait_copies(kMost);
}

#endif

// Two numbers as the fragments hold them, the first in the low half.
template <class S>
__device__ __forceinline__ uint32_t paired(float low, float high) {
  return narrowed<S>(low).bits | static_cast<uint32_t>(narrowed<S>(high).bits) << 16;
}

}  // namespace pydl::cuda
