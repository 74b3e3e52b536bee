"""torch.optim with our defaults."""

from torch.optim import AdamW
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, SequentialLR


def adamw(parameters, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """Decoupled weight decay on every parameter, as numpy_ref.optim.adamw"""
    return AdamW(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


def warmup_cosine(optimiser, total_steps, peak, warmup_steps, final_share=0.1):
    """numpy_ref.optim.warmup_cosine from PyTorch's own schedules: linear, then cosine"""
    cosine = CosineAnnealingLR(optimiser, max(1, total_steps - warmup_steps), eta_min=final_share * peak)
    return warmup(optimiser, warmup_steps, cosine)


def warmup_linear(optimiser, total_steps, peak, warmup_steps, final_share=0.1):  # noqa: ARG001  the optimiser has it
    """numpy_ref.optim.warmup_linear"""
    iterations = max(1, total_steps - warmup_steps)
    return warmup(optimiser, warmup_steps, LinearLR(optimiser, 1.0, final_share, total_iters=iterations))


def warmup_constant(optimiser, total_steps, peak, warmup_steps):  # noqa: ARG001
    """numpy_ref.optim.warmup_constant"""
    return warmup(optimiser, warmup_steps, ConstantLR(optimiser, factor=1.0))


def warmup(optimiser, warmup_steps, then):
    """A linear rise, and then another schedule"""
    if warmup_steps == 0:
        return then
    rise = LinearLR(optimiser, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)
    return SequentialLR(optimiser, [rise, then], milestones=[warmup_steps])


SCHEDULES = {"cosine": warmup_cosine, "linear": warmup_linear, "constant": warmup_constant}
