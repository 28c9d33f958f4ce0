#include "runtime/cuda.h"

#include <dlfcn.h>

namespace pydl {
namespace {

// libpydl_cuda lies beside this library, in a package of its own.
std::string open_library() {
  Dl_info here{};
  if (!dladdr(reinterpret_cast<const void*>(&cuda_missing), &here) || !here.dli_fname)
    return "pydl's own path is unknown";
  const std::string own = here.dli_fname;
  const size_t slash = own.rfind('/');
  const std::string path = (slash == std::string::npos ? "." : own.substr(0, slash)) + "/libpydl_cuda.so";
  if (!dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return "this build of pydl has no CUDA library";
  return "the CUDA library found has no kernels for this version of pydl";
}

}  // namespace

const std::string& cuda_missing() {
  static const std::string reason = open_library();
  return reason;
}

}  // namespace pydl
