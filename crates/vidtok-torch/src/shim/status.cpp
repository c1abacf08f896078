#include "status.h"

#include <cstdlib>
#include <cstring>

extern "C" char* vidtok_message_new(const char* text, size_t length) {
  auto* copy = static_cast<char*>(std::malloc(length + 1));
  if (copy != nullptr) {
    std::memcpy(copy, text, length);
    copy[length] = '\0';
  }
  return copy;
}

extern "C" void vidtok_message_release(char* message) { std::free(message); }

char* vidtok::message(const char* text) noexcept { return vidtok_message_new(text, std::strlen(text)); }
