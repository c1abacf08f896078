// Scoped mixed precision. libtorch keeps the setting per thread and device type.
#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

namespace vidtok {

// Whether operations on a device type are cast, and to which type.
struct Autocast {
  c10::DeviceType device;
  bool enabled;
  c10::ScalarType kind;

  // The setting of this thread.
  static Autocast current(c10::DeviceType device);
};

// Applies `autocast` to this thread and restores the previous setting at the end.
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
