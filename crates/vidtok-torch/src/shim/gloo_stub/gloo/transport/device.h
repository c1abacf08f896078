// Gloo's device, by its name only; see README.md.
#pragma once

namespace gloo::transport {
class Device;
}  // namespace gloo::transport
