// How errors cross the boundary, in both directions: a function returns null, or a message that the receiver releases.
#pragma once

#include <cstddef>
#include <exception>

extern "C" {
// A message of `length` bytes; null where memory has run out.
char* vidtok_message_new(const char* text, size_t length);
void vidtok_message_release(char* message);
}

namespace vidtok {

char* message(const char* text) noexcept;

// Runs `body`; an exception becomes a message.
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
