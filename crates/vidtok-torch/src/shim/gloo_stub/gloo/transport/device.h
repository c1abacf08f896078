// A declaration of Gloo's device; see README.md.
#pragma once

namespace gloo::transport {
class Device;
}  // namespace gloo::transport
