#include "autocast.h"

#include <ATen/autocast_mode.h>

#include "status.h"

namespace vidtok {

namespace {

void set(const Autocast& autocast) {
  at::autocast::set_autocast_dtype(autocast.device, autocast.kind);
  at::autocast::set_autocast_enabled(autocast.device, autocast.enabled);
}

}  // namespace

Autocast Autocast::current(c10::DeviceType device) {
  return {device, at::autocast::is_autocast_enabled(device), at::autocast::get_autocast_dtype(device)};
}

AutocastScope::AutocastScope(const Autocast& autocast) : before_(Autocast::current(autocast.device)) {
  set(autocast);
  at::autocast::increment_nesting();
}

AutocastScope::~AutocastScope() {
  // libtorch caches casts of parameters until the outermost scope ends.
  if (at::autocast::decrement_nesting() == 0) {
    at::autocast::clear_cache();
  }
  set(before_);
}

}  // namespace vidtok

extern "C" {

char* vidtok_autocast_enter(bool cuda, bool bfloat16, vidtok::AutocastScope** scope) {
  return vidtok::guarded([&] {
    const auto device = cuda ? c10::DeviceType::CUDA : c10::DeviceType::CPU;
    const auto kind = bfloat16 ? c10::ScalarType::BFloat16 : c10::ScalarType::Half;
    *scope = new vidtok::AutocastScope({device, true, kind});
  });
}

void vidtok_autocast_leave(vidtok::AutocastScope* scope) { delete scope; }
}
