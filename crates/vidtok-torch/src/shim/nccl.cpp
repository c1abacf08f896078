// libtorch's header of this class includes NVIDIA's headers, and a program that calls its constructors by name starts with
// a CUDA libtorch only. So they are looked up in the process, and the objects are handled as their public base classes.
#include "nccl.h"

#include <new>
#include <utility>

#include "loaded_function.h"

namespace {

using Options = c10d::Backend::Options;

// The classes have 1112 and 248 bytes in libtorch 2.11.0, the version that `cargo xtask setup` insists on.
constexpr size_t kBackendBytes = 4096;
constexpr size_t kOptionsBytes = 1024;

// c10d::ProcessGroupNCCL::Options::Options(bool is_high_priority_stream)
constexpr const char* kNewOptions = "_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb";
// c10d::ProcessGroupNCCL::ProcessGroupNCCL(intrusive_ptr<Store>, int rank, int size, intrusive_ptr<Options>)
constexpr const char* kNewBackend =
    "_ZN4c10d16ProcessGroupNCCLC1EN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_default_null_type"
    "IS3_EEEEiiNS2_INS0_7OptionsENS5_IS8_EEEE";

// Constructors have the calling convention of functions whose first argument is the object. A pointer to options passes
// like one to its derived class: both are classes of one pointer.
using NewOptions = void(void*, bool);
using NewBackend = void(void*, c10::intrusive_ptr<c10d::Store>, int, int, c10::intrusive_ptr<Options>);

constexpr const char* kNoNccl = "this libtorch has no NCCL, which several CUDA processes need";

// An object that `construct` makes in fresh memory. Its virtual destructor belongs to its own class, and frees the memory
// with the same operator.
template <class Base, class Construct>
c10::intrusive_ptr<Base> make(size_t bytes, Construct&& construct) {
  void* memory = ::operator new(bytes);
  try {
    construct(memory);
  } catch (...) {
    ::operator delete(memory);
    throw;
  }
  // The only base class of each class, up to the reference count, so it starts where the object does.
  return c10::intrusive_ptr<Base>::unsafe_steal_from_new(static_cast<Base*>(memory));
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> vidtok::nccl_backend(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                                       std::chrono::milliseconds timeout) {
  auto* const new_options = vidtok::loaded_function<NewOptions>(kNewOptions, kNoNccl);
  auto* const new_backend = vidtok::loaded_function<NewBackend>(kNewBackend, kNoNccl);
  auto options = make<Options>(kOptionsBytes, [&](void* memory) { new_options(memory, false); });
  options->timeout = timeout;
  return make<c10d::Backend>(kBackendBytes, [&](void* memory) { new_backend(memory, store, rank, size, options); });
}
