// Functions of libraries that a program is not linked to, but may have loaded (src/runtime/cuda.rs).
#pragma once

#include <c10/util/Exception.h>
#include <dlfcn.h>

namespace vidtok {

// The function of this name, which must be of type `Function`, or null if no library of the process has it.
template <class Function>
Function* loaded_function(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

// The same, or an error that says what is missing.
template <class Function>
Function* loaded_function(const char* name, const char* missing) {
  auto* function = loaded_function<Function>(name);
  TORCH_CHECK(function != nullptr, missing);
  return function;
}

}  // namespace vidtok
