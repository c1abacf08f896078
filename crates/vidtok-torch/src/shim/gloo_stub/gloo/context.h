// The parts of Gloo's context that ProcessGroupGloo.hpp names; see README.md.
#pragma once

#include <chrono>

namespace gloo {

namespace transport {
class Device;
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer();
};
}  // namespace transport

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo
