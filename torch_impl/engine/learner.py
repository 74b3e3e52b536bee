"""The Learner that the command `train` uses: the same step for less time, in less memory, on more than one processor.

One step of torch_impl.train.Learner is one forward and one backward pass over the whole batch. Here the batch is cut
into pieces (gradient accumulation), shared among processes (torchrun), run without padding (last_token.py), with
activations computed twice rather than kept (gradient checkpointing), with weights spread over processes (FSDP), or in
bfloat16. Each computes the same step up to rounding; that of bfloat16 is coarse, because it has only 8 bits.
"""

from functools import partial

import torch
from torch.utils.checkpoint import checkpoint

from ..train import Learner
from . import last_token, shared_prompt
from .processes import Processes


class Engine(Learner):
    """A Learner whose processes share each step, each in `pieces_each` pieces"""

    def __init__(
        self, *args, processes=None, pieces_each=1, fsdp=False, gradient_checkpointing=False, bf16=False, **options
    ):
        self.processes, self.pieces = processes or Processes(), pieces_each
        self.fsdp, self.gradient_checkpointing, self.bf16 = fsdp, gradient_checkpointing, bf16
        super().__init__(*args, **options)
        self.writes = self.processes.rank == 0
        for group in self.optimiser.param_groups:
            group["fused"] = not fsdp  # AdamW in one pass over the weights

    def _placed(self, model):
        """The model on its device or devices"""
        model = super()._placed(model)
        blocks = self._blocks(model)
        if self.gradient_checkpointing:
            for block in blocks:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        if self.fsdp:
            from .sharding import shard

            for module in (*blocks, model.body, model.head):
                shard(module)
        return model

    def _blocks(self, model):
        return model.body.blocks

    def step(self, tokens, length, margin, ranks=None):
        """One update from the job's whole batch, with the same result on every process"""
        n, loss, reward = len(tokens), self._zeros(()), self._zeros(length.shape)
        self.model.zero_grad(set_to_none=True)
        for raw_tie in self.tie.values():
            raw_tie.grad = None
        parts = self.processes.parts(n, self.pieces)
        for part in parts:
            if self.fsdp:
                for module in (self.model.body, self.model.head):
                    module.set_requires_gradient_sync(part is parts[-1])
            taken = part if part.stop > part.start else slice(0, 1)  # an empty share runs one row with weight 0
            share = (part.stop - part.start) / n
            loss_here, reward_here = self.forward(
                *(a if a is None else a[taken] for a in (tokens, length, margin, ranks))
            )
            (share * loss_here).backward()
            loss += share * loss_here.detach()
            reward[part] = reward_here.detach()[: part.stop - part.start].to(self.dtype)
        self.sum_gradients()
        self.processes.sum([loss, reward])
        norm, lr = self.update()
        return loss.item(), reward.cpu().numpy(), norm, lr

    def _zeros(self, shape):
        return torch.zeros(shape, dtype=self.dtype, device=self.device)  # nccl sums it there

    def forward(self, tokens, length, margin, ranks):
        """The loss and the rewards of some of the batch's rows, for autograd"""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            reward = self.rewards_of(self._tensor(tokens), self._tensor(length))
        options = self._objective(margin, ranks)
        objective = options.pop("objective")
        return objective(reward.to(self.dtype), **options), reward

    def rewards_of(self, tokens, length):
        """Rewards by the fastest path: whole modules if sharded, else without padding or repeated prompts"""
        if self.fsdp:  # sharded weights are gathered where a module is called as a whole
            return self.model(tokens, length)
        shortest = last_token if self.gradient_checkpointing else shared_prompt  # shared_prompt calls no checkpoint
        return shortest.rewards(self.model, tokens, length)

    def sum_gradients(self):
        """Sums the gradients over all processes; FSDP has already summed those of sharded weights"""
        weights = [] if self.fsdp else [p for _, p in self._trained()]
        self.processes.sum([p.grad for p in [*self.tie.values(), *weights]])

    @torch.no_grad()
    def rewards(self, tokens, length):
        """Each process runs its share of the rows"""
        out = self._zeros(length.shape)
        for part in self.processes.parts(len(tokens)):
            taken = part if part.stop > part.start else slice(0, 1)
            reward = self.rewards_of(self._tensor(tokens[taken]), self._tensor(length[taken]))
            out[part] = reward[: part.stop - part.start]
        self.processes.sum([out])
        return out.cpu().numpy()

    def agree(self, flag):
        """Whether the flag is set in any process: Ctrl-C may reach one before the others"""
        return self.processes.any(flag)

    def versions(self):
        """Bitwise equality is promised for the same numbers of processes and pieces only"""
        return super().versions() | {"processes": self.processes.size, "pieces": self.pieces}

    def _array(self, tensor):
        if self.fsdp:
            from .sharding import gathered

            tensor = gathered(tensor)
        return super()._array(tensor)

    def _slot(self, parameter, step, first, second):
        slot = super()._slot(parameter, step, first, second)
        return slot | {"step": slot["step"].to(parameter.device)}  # the fused AdamW needs it there

    def _placed_as(self, parameter, array):
        whole = super()._placed_as(parameter, array)
        if not self.fsdp:
            return whole
        from .sharding import shared_as

        return shared_as(parameter, whole)
