"""The language model's learners in PyTorch, with the same methods as those in numpy_ref/learners.py."""

import torch

from . import dpo, language_model
from .train import Learner


class LanguageLearner(Learner):
    """The language model and its optimiser; the methods of numpy_ref.learners.LanguageLearner"""

    def step(self, tokens, length, start):  # type: ignore[override]  # another model's labels
        """One update; returns loss, gradient norm before clipping, learning rate"""
        arrays = map(self._tensor, (tokens, length, start))
        return language_model.loss_and_grads(self.model, *arrays).item(), *self.update()

    @torch.no_grad()
    def nats(self, tokens, length, start):
        """The loss without an update, in nats per predicted token"""
        return language_model.response_loss(self.model, *map(self._tensor, (tokens, length, start))).item()


class PolicyLearner(Learner):
    """A language model and its reference for DPO; the methods of numpy_ref.learners.PolicyLearner"""

    def __init__(self, weights, *args, reference=None, **options):
        super().__init__(weights, *args, **options)
        self.reference = self._placed(self._made(reference or weights, self.n_head)).requires_grad_(False)

    def step(self, tokens, length, start):  # type: ignore[override]  # another model's labels
        """One update; returns loss, implicit rewards and log π of the responses (B, 2), gradient norm, learning rate"""
        batch = self._tensor(tokens), self._tensor(length), self._tensor(start)
        reference = dpo.log_probability(self.reference, *batch)
        loss, log_p = dpo.loss_and_grads(self.model, *batch, reference, **self.loss_options)
        reward = self.loss_options["beta"] * (log_p - reference)
        return loss.item(), self._array(reward), self._array(log_p), *self.update()

    @torch.no_grad()
    def implicit_rewards(self, tokens, length, start):
        """β log(π / π_ref) of the responses        (B, K, T), (B, K), (B, K) -> (B, K)"""
        batch = self._tensor(tokens), self._tensor(length), self._tensor(start)
        log_p, reference = (dpo.log_probability(model, *batch) for model in (self.model, self.reference))
        return self._array(self.loss_options["beta"] * (log_p - reference))

    def state(self):
        reference = {f"reference.{name}": self._array(p) for name, p in self.reference.named_parameters()}
        return super().state() | reference

    def restore(self, weights, state, step):
        super().restore(weights, state, step)
        for name, p in self.reference.named_parameters():
            p.data.copy_(self._placed_as(p, state[f"reference.{name}"]))
