#pragma once

// Before a function that the GPU's compiler builds for both sides.
#ifdef __CUDACC__
#define PYDL_HD __host__ __device__
#else
#define PYDL_HD
#endif
