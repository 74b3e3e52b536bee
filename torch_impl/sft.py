"""What one step of `sft` does, in PyTorch; the rest is numpy_ref/training/sft.py's."""

import torch

from .language_model import loss_and_grads, response_loss
from .train import Learner


class LanguageLearner(Learner):
    """The language model and its optimiser; the methods of numpy_ref.training.sft.LanguageLearner"""

    def step(self, tokens, length, start):  # type: ignore[override]  # another model's labels
        """One update; returns loss, gradient norm before clipping, learning rate"""
        loss = loss_and_grads(self.model, self._tensor(tokens), self._tensor(length), self._tensor(start))
        return loss.item(), *self.update()

    @torch.no_grad()
    def nats(self, tokens, length, start):
        """The loss without a step, in nats a predicted token"""
        return response_loss(self.model, self._tensor(tokens), self._tensor(length), self._tensor(start)).item()
