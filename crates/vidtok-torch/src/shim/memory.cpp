// Memory of tensors: an allocator that reuses large blocks on the CPU, and the free memory of CUDA devices.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <cstdint>

#include "status.h"

#ifdef __linux__
#include <sys/mman.h>

#include <mutex>
#include <unordered_map>
#include <vector>

namespace {

// Smaller blocks are the C library's.
constexpr size_t kLargeBlock = 256 << 10;
// Sizes are rounded up to multiples of this, so that freed blocks fit more tensors.
constexpr size_t kSizeUnit = 64 << 10;
constexpr size_t kHugePage = 2 << 20;

// Keeps freed blocks for tensors of about their size, as long as all blocks together do not exceed the peak of the
// blocks in use.
//
// The system fills each fresh page with zeros at a page fault. With huge pages, and few fresh ones, that costs little.
class ReusingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* block = bytes < kLargeBlock ? c10::alloc_cpu(bytes) : take(bytes);
    return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  size_t peak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return peak_;
  }
  size_t reset_peak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return peak_ = used_;
  }

  static ReusingAllocator& instance() {
    // Never destroyed, because tensors may outlive all other objects.
    static auto& allocator = *new ReusingAllocator;
    return allocator;
  }

 private:
  struct Block {
    void* start;
    size_t bytes;
  };

  static void release(void* block) {
    // Large blocks start at a huge page, and other blocks rarely do.
    const bool maybe_large = block != nullptr && reinterpret_cast<uintptr_t>(block) % kHugePage == 0;
    if (!maybe_large || !instance().keep(block)) {
      c10::free_cpu(block);
    }
  }

  void* take(size_t bytes) {
    TORCH_CHECK_WITH(OutOfMemoryError, bytes <= SIZE_MAX / 2, "cannot allocate ", bytes, " bytes of memory");
    bytes = (bytes + kSizeUnit - 1) / kSizeUnit * kSizeUnit;
    const std::lock_guard<std::mutex> lock(mutex_);
    auto best = free_.end();
    for (auto block = free_.begin(); block != free_.end(); ++block) {
      const bool fits = block->bytes >= bytes && block->bytes - bytes <= bytes / 4;
      if (fits && (best == free_.end() || block->bytes < best->bytes)) {
        best = block;
      }
    }
    Block block{};
    if (best != free_.end()) {
      block = *best;
      free_.erase(best);
      kept_ -= block.bytes;
    } else {
      give_back_until([&] { return used_ + kept_ + bytes <= most_; });
      block = {map(bytes), bytes};
      if (block.start == nullptr) {
        give_back_until([] { return false; });
        block.start = map(bytes);
      }
      TORCH_CHECK_WITH(OutOfMemoryError, block.start != nullptr, "cannot allocate ", bytes, " bytes: out of memory");
    }
    blocks_.emplace(block.start, block.bytes);
    used_ += block.bytes;
    most_ = std::max(most_, used_);
    peak_ = std::max(peak_, used_);
    return block.start;
  }

  bool keep(void* start) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = blocks_.find(start);
    if (found == blocks_.end()) {
      return false;
    }
    free_.push_back({start, found->second});
    kept_ += found->second;
    used_ -= found->second;
    blocks_.erase(found);
    return true;
  }

  // Returns kept blocks to the system, the oldest first, until `enough` holds or none are left.
  template <class Enough>
  void give_back_until(Enough&& enough) {
    auto gone = free_.begin();
    for (; gone != free_.end() && !enough(); ++gone) {
      kept_ -= gone->bytes;
      munmap(gone->start, gone->bytes);
    }
    free_.erase(free_.begin(), gone);
  }

  // Fresh memory that starts at a huge page, or null if the system has none.
  static void* map(size_t bytes) {
    void* mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
      return nullptr;
    }
    char* start = static_cast<char*>(mapped);
    const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
    if (before > 0) {
      munmap(start, before);
    }
    munmap(start + before + bytes, kHugePage - before);
    madvise(start + before, bytes, MADV_HUGEPAGE);
    return start + before;
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> blocks_;
  // The oldest first.
  std::vector<Block> free_;
  // Bytes of the blocks in use and of the freed blocks.
  size_t used_ = 0;
  size_t kept_ = 0;
  // The most bytes in use so far, and since the last reset.
  size_t most_ = 0;
  size_t peak_ = 0;
};

}  // namespace
#endif

extern "C" {

char* vidtok_reuse_freed_memory() {
  return vidtok::guarded([] {
#ifdef __linux__
    c10::SetCPUAllocator(&ReusingAllocator::instance(), /*priority=*/1);
#endif
  });
}

// The most bytes of large blocks that were in use at once since the last reset.
uint64_t vidtok_peak_memory() {
#ifdef __linux__
  return ReusingAllocator::instance().peak();
#else
  return 0;
#endif
}

// Starts a new peak from the blocks that are in use now. Returns their bytes.
uint64_t vidtok_reset_peak_memory() {
#ifdef __linux__
  return ReusingAllocator::instance().reset_peak();
#else
  return 0;
#endif
}

// The free memory of a CUDA device in bytes, with the blocks that libtorch keeps for further tensors.
char* vidtok_cuda_free_memory(int8_t index, uint64_t* bytes) {
  return vidtok::guarded([&] {
    auto* allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto stats = allocator->getDeviceStats(index);
    const int64_t kept = stats.reserved_bytes[all].current - stats.allocated_bytes[all].current;
    *bytes = allocator->getMemoryInfo(index).first + std::max<int64_t>(kept, 0);
  });
}
}
