// Errors that cross the boundary to Rust, in both directions: a function returns null on success, or a message that the
// receiver releases.
#pragma once

#include <cstddef>
#include <exception>

extern "C" {
// A message of `length` bytes, or null if memory has run out.
char* vidtok_message_new(const char* text, size_t length);
void vidtok_message_release(char* message);
}

namespace vidtok {

char* message(const char* text) noexcept;

// Runs `body` and turns an exception into a message.
template <typename Body>
char* guarded(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return message(error.what());
  } catch (...) {
    return message("an exception of unknown type");
  }
}

}  // namespace vidtok
