// The sum at the end of a residual block.
#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <torch/csrc/autograd/functions/utils.h>

#include "gpu/biased_sum.h"
#include "rows.h"
#include "status.h"

// x [..., c] + bias [c] + residual [..., c], in the memory of x if no gradient is recorded.
extern "C" char* vidtok_biased_sum(const at::Tensor* x, const at::Tensor* bias, const at::Tensor* residual,
                                   at::Tensor** out) {
  return vidtok::guarded([&] {
    TORCH_CHECK(x->dim() > 0 && x->sizes() == residual->sizes() && bias->dim() == 1 && bias->size(0) == x->size(-1),
                "sum: the input is ", x->sizes(), ", the residual ", residual->sizes(), " and the bias ", bias->sizes());
    TORCH_CHECK(x->device() == residual->device() && x->device() == bias->device(), "sum: the operands are on ",
                x->device(), ", ", residual->device(), " and ", bias->device());
    if (torch::autograd::compute_requires_grad(*x, *bias, *residual)) {
      *out = new at::Tensor(at::add(at::add(*x, bias->to(x->scalar_type())), *residual));
      return;
    }
    const vidtok::PlainScope plain;
    at::Tensor sum = *x;
    if (!vidtok::gpu::add_biased(sum, *bias, *residual)) {
      sum.add_(*bias).add_(*residual);
    }
    *out = new at::Tensor(std::move(sum));
  });
}
