"""What one training step does, in PyTorch; the loop is numpy_ref/train.py's, which takes either side's Learner."""

import torch
from torch.nn.utils import clip_grad_norm_

from numpy_ref.train import BETA2, MAX_NORM

from .optim import adamw, warmup_cosine
from .reward_model import RewardModel, loss_and_grads


class Learner:
    """The reward model and its optimiser by autograd and torch.optim; the methods of numpy_ref.train.Learner"""

    side = "torch_impl"

    def __init__(self, weights, n_head, total_steps, learning_rate, warmup_steps, device="cpu", **loss_options):
        self.n_head, self.device, self.loss_options = n_head, torch.device(device), loss_options
        self.model = model_of(weights, n_head).to(self.device)
        self.optimiser = adamw(self.model.parameters(), learning_rate, beta2=BETA2)
        self.schedule = warmup_cosine(self.optimiser, total_steps, learning_rate, warmup_steps)

    def step(self, tokens, length, margin):
        """One update; returns loss, rewards (B, K), gradient norm before clipping, learning rate"""
        options = {"target_margin": self._tensor(margin).to(self.model.head.weight.dtype), **self.loss_options}
        loss, reward = loss_and_grads(self.model, self._tensor(tokens), self._tensor(length), **options)
        norm = clip_grad_norm_(self.model.parameters(), MAX_NORM)
        lr = self.optimiser.param_groups[0]["lr"]
        self.optimiser.step()
        self.schedule.step()
        return loss.item(), reward.cpu().numpy(), norm.item(), lr

    @torch.no_grad()
    def rewards(self, tokens, length):
        return self.model(self._tensor(tokens), self._tensor(length)).cpu().numpy()

    def weights(self):
        return {name: p.detach().cpu().numpy().copy() for name, p in self.model.named_parameters()}

    def state(self):
        """The optimiser's arrays under the names of numpy_ref.train.Learner"""
        moments = {}
        for name, p in self.model.named_parameters():
            slot = self.optimiser.state[p]
            moments[f"first.{name}"] = slot["exp_avg"].cpu().numpy().copy()
            moments[f"second.{name}"] = slot["exp_avg_sq"].cpu().numpy().copy()
        return moments

    def restore(self, weights, state, step):
        self.model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
        for _ in range(step):  # without gradients the optimiser does nothing, and the schedule walks to its place
            self.optimiser.step()
            self.schedule.step()
        for name, p in self.model.named_parameters():
            self.optimiser.state[p] = {
                "step": torch.tensor(float(step)),
                "exp_avg": self._tensor(state[f"first.{name}"]).clone(),
                "exp_avg_sq": self._tensor(state[f"second.{name}"]).clone(),
            }

    def versions(self):
        return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": str(self.device)}

    def _tensor(self, array):
        return torch.from_numpy(array).to(self.device)


def model_of(weights, n_head):
    """The RewardModel that has these flattened weights"""
    vocab_size, n_embd = weights["body.tok.weight"].shape
    n_layer = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("body.blocks."))
    model = RewardModel(vocab_size, len(weights["body.pos.weight"]), n_embd, n_layer, n_head)
    model = model.to(torch.from_numpy(weights["head.weight"]).dtype)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model
