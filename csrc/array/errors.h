// The errors that reach Python as pydl.errors.*, and a way to write their messages: fail<ShapeError>("add: ",
// a.shape()...).
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace pydl {

struct ShapeError : std::runtime_error {
  using runtime_error::runtime_error;
};
struct DtypeError : std::runtime_error {
  using runtime_error::runtime_error;
};
struct DeviceError : std::runtime_error {
  using runtime_error::runtime_error;
};
struct BoundsError : std::runtime_error {
  using runtime_error::runtime_error;
};
struct ValueError : std::runtime_error {
  using runtime_error::runtime_error;
};
struct CaptureError : std::runtime_error {
  using runtime_error::runtime_error;
};

template <class Error, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(text.str());
}

}  // namespace pydl
