// What a launch's op code is called: "tanh" of a launch of the kernel unary.
#pragma once

#include <cstdint>

namespace pydl {

enum class Unary : uint8_t;
enum class Special : uint8_t;
enum class Curve : uint8_t;
enum class Test : uint8_t;
enum class Binary : uint8_t;
enum class Ternary : uint8_t;
enum class Compare : uint8_t;
enum class Reduce : uint8_t;

const char* label(Unary op);
const char* label(Special op);
const char* label(Curve op);
const char* label(Test op);
const char* label(Binary op);
const char* label(Ternary op);
const char* label(Compare op);
const char* label(Reduce op);
template <class T>
const char* label(const T&) {
  return "";
}

}  // namespace pydl
