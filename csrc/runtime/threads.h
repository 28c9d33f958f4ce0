// The number of threads that parallel_for may use.
#pragma once

namespace pydl {

int default_threads();  // what this process may use: CPU affinity, cgroup quota, PYDL_NUM_THREADS or OMP_NUM_THREADS
int num_threads();
void set_num_threads(int n);

}  // namespace pydl
