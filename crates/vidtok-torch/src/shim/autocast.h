// Mixed precision, scoped: libtorch keeps whether and to what it casts per thread and type of device.
#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

namespace vidtok {

// Whether operations on a type of device are cast, and to what.
struct Autocast {
  c10::DeviceType device;
  bool enabled;
  c10::ScalarType kind;

  // As this thread has it now.
  static Autocast current(c10::DeviceType device);
};

// Sets `autocast` for this thread; what was before comes back at the end.
class AutocastScope {
 public:
  explicit AutocastScope(const Autocast& autocast);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  Autocast before_;
};

}  // namespace vidtok
