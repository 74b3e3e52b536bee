"""The language model's learners, by hand: supervised fine-tuning, and DPO. The reward model's is train.Learner."""

from . import dpo, language_model
from .train import Learner
from .tree import flatten, unflatten


class LanguageLearner(Learner):
    """The language model and its optimiser, by hand; loop, saves and resume are those of the reward model"""

    def step(self, tokens, length, start):  # type: ignore[override]  # another model's labels
        """One update; returns loss, gradient norm before clipping, learning rate"""
        loss, grads = language_model.loss_and_grads(self.params, tokens, length, start, self.n_head)
        return float(loss), *self.update(grads)

    def nats(self, tokens, length, start):
        """The loss without an update, in nats per predicted token"""
        return float(language_model.response_loss(tokens, length, start, **self.params, n_head=self.n_head)[0])


class PolicyLearner(Learner):
    """A language model trained by DPO against a fixed reference, by hand

    reference  flattened weights of the same sizes; default: a copy of the first weights. Never updated.
    """

    def __init__(self, weights, *args, reference=None, **loss_options):
        super().__init__(weights, *args, **loss_options)
        self.reference = unflatten(reference or weights)

    def step(self, tokens, length, start):  # type: ignore[override]  # another model's labels
        """One update; returns loss, implicit rewards and log π of the responses (B, 2), gradient norm, learning rate"""
        reference, _ = dpo.log_probability(tokens, length, start, **self.reference, n_head=self.n_head)
        batch = tokens, length, start, reference, self.n_head
        loss, grads, log_p = dpo.loss_and_grads(self.params, *batch, **self.loss_options)
        reward = dpo.implicit_reward(log_p, reference, self.loss_options["beta"])
        return float(loss), reward, log_p, *self.update(grads)

    def implicit_rewards(self, tokens, length, start):
        """β log(π / π_ref) of the responses        (B, K, T), (B, K), (B, K) -> (B, K)"""
        batch = tokens, length, start
        log_p, reference = (
            dpo.log_probability(*batch, **params, n_head=self.n_head)[0] for params in (self.params, self.reference)
        )
        return dpo.implicit_reward(log_p, reference, self.loss_options["beta"])

    def state(self):
        return super().state() | flatten({"reference": self.reference})

    def restore(self, weights, state, step):
        super().restore(weights, state, step)
        self.reference = unflatten(state)["reference"]
