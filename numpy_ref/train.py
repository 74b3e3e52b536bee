"""Training: what one step does, by hand, and the loop that both packages run."""

import math
import os

import numpy as np

from . import dpo, language_model
from .batches import batch_indices, collate, collate_ranks, stacked, steps_per_epoch
from .errors import InputError
from .metrics import summary
from .objectives import LEARNED_TIES, OBJECTIVES, log_tie_parameter
from .optim import adamw, adamw_state, clip_by_global_norm, warmup_cosine
from .ranking import ABSENT
from .reward_model import loss_and_grads, rewards
from .tree import flatten, unflatten

MAX_NORM, BETA2 = 1.0, 0.95  # InstructGPT's β₂: the scale of a gradient is forgotten in 20 steps instead of 1,000
TIE_RATE = 10  # the tie parameter's learning rate in units of the model's: one number, which the model must not chase


class Learner:
    """The reward model and its optimiser, by hand; torch_impl/train.py has the twin with the same methods

    loss is "pairwise" or a name in OBJECTIVES, loss_options what that loss takes. A tie model's parameter is trained
    beside the weights by an AdamW of its own, without decay, and left out of the gradient's norm.
    """

    side = "numpy_ref"
    writes = True  # one process of a job writes its files; here there is no other

    def __init__(self, weights, n_head, total_steps, learning_rate, warmup_steps, *, loss="pairwise", **loss_options):
        self.params, self.n_head, self.loss, self.loss_options = unflatten(weights), n_head, loss, loss_options
        self.optimiser = adamw_state(self.params)
        self.schedule = {"total_steps": total_steps, "peak": learning_rate, "warmup_steps": warmup_steps}
        self.tie = {"raw_tie": np.zeros((), self.dtype)} if loss_options.get("ties") in LEARNED_TIES else {}
        self.tie_optimiser = adamw_state(self.tie)

    @property
    def dtype(self):
        return self.params["body"]["tok"]["weight"].dtype

    def step(self, tokens, length, margin, ranks=None):
        """One update; returns loss, rewards (B, K), gradient norm before clipping, learning rate

        Of the labels, "pairwise" reads the margin and the losses of lists the ranks.
        """
        if self.loss == "pairwise":
            labels = {"target_margin": margin.astype(self.dtype)}
        else:
            labels = {"objective": OBJECTIVES[self.loss], "ranks": ranks, **self.tie}
        options = labels | self.loss_options
        loss, grads, reward, *own = loss_and_grads(self.params, tokens, length, self.n_head, **options)
        norm, lr = self.update(grads)
        if self.tie:
            tie, rate = (self.tie, own[0], self.tie_optimiser), TIE_RATE * lr
            self.tie, self.tie_optimiser = adamw(*tie, rate, beta2=BETA2, weight_decay=0.0)
        return float(loss), reward, norm, lr

    def update(self, grads):
        """One step of AdamW along the clipped gradient; returns its norm before clipping and the learning rate"""
        grads, norm = clip_by_global_norm(grads, MAX_NORM)
        lr = warmup_cosine(self.optimiser[2], **self.schedule)
        self.params, self.optimiser = adamw(self.params, grads, self.optimiser, lr, beta2=BETA2)
        return norm, lr

    def rewards(self, tokens, length):
        return rewards(tokens, length, **self.params, n_head=self.n_head)[0]

    def weights(self):
        return flatten(self.params)

    def state(self):
        """The optimiser's arrays by name; the step count is the loop's"""
        first, second, _ = self.optimiser
        tie_first, tie_second, _ = self.tie_optimiser
        tie = {"tie": self.tie, "tie_first": tie_first, "tie_second": tie_second} if self.tie else {}
        return {name: np.asarray(array) for name, array in flatten({"first": first, "second": second, **tie}).items()}

    def restore(self, weights, state, step):
        state = unflatten(state)
        self.params, self.optimiser = unflatten(weights), (state["first"], state["second"], step)
        if self.tie:
            self.tie, self.tie_optimiser = state["tie"], (state["tie_first"], state["tie_second"], step)

    def agree(self, flag):
        """Whether the flag is true in any process of the job; here there is one"""
        return flag

    def learned_ties(self):
        """{"ties": the model of ties, "log_theta" or "log_nu": its parameter}, {} if none was learned"""
        if not self.tie:
            return {}
        log_tie, _ = log_tie_parameter(ties := self.loss_options["ties"], **self.tie)
        return {"ties": ties, LEARNED_TIES[ties]: float(log_tie)}

    def versions(self):
        threads = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
        return {"numpy": np.__version__, "threads": str(threads)}


def from_preferences(learner, data, chosen, step):
    """One update from these preferences: a dict of loss, rewards (B, K), labels (B, K), grad_norm, learning_rate"""
    tokens, length = collate([data.rows[i] for i in chosen])
    ranks = collate_ranks([data.ranks[i] for i in chosen])
    loss, reward, norm, lr = learner.step(tokens, length, data.margin[chosen], ranks)
    check_alive(step, loss, np.where(ranks == ABSENT, reward[:, :1], reward), norm)
    return {"loss": loss, "rewards": reward, "labels": ranks, "grad_norm": norm, "learning_rate": lr}


def train(learner, data, *, start, total_steps, batch_size, seed, learn=from_preferences):
    """Runs steps start .. total_steps and yields after each: (steps done, what `learn` returned, and the epoch)"""
    per_epoch = steps_per_epoch(len(data.rows), batch_size)
    for step in range(start, total_steps):
        chosen = batch_indices(step, len(data.rows), batch_size, seed)
        yield step + 1, learn(learner, data, chosen, step + 1) | {"epoch": (step + 1) / per_epoch}


def check_finite(step, loss, grad_norm):
    """Stops a run whose loss or gradient is no number any more"""
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        raise InputError(f"step {step}: the loss is {loss} and the gradient norm {grad_norm}: lower --learning-rate")


def check_alive(step, loss, reward, grad_norm):
    """Stops a run that cannot learn: a loss that is no number, or pairs whose two rewards are one and the same

    ln 2 with no gradient is what a model shows that scores the same token on both sides, for example a shared prompt's
    last token because the end was looked for by the pad id, and pad is eos.
    """
    check_finite(step, loss, grad_norm)
    vanished = 1000 * np.finfo(reward.dtype).eps  # equal rows of a batch differ by up to 4 eps, the norm by 30
    if abs(reward - reward[:, :1]).max() <= vanished and grad_norm <= vanished:
        raise InputError(
            f"step {step}: every pair's rewards are equal, so the loss is stuck at ln 2 = {math.log(2):.4f} with no "
            "gradient: both sides score the same token; check that length points at each response's last real token"
        )


class Log:
    """Collects steps and sums them up over all their pairs, not as a mean of batch means"""

    arrays: tuple = ("rewards", "labels")
    numbers: tuple = ("loss", "grad_norm", "learning_rate", "epoch")

    def __init__(self):
        self.records = []

    def add(self, record):
        self.records.append(record)

    def state(self):
        """What is not flushed yet, for JSON, which keeps every float bit for bit"""
        return [record | {name: record[name].tolist() for name in self.arrays} for record in self.records]

    def restore(self, state):
        """Takes up what `state` returned; InputError if this is not it"""
        try:
            self.records = [self._restored(record) for record in state]
        except (TypeError, KeyError, ValueError, OverflowError):
            raise InputError('the save\'s "unlogged" is no list of logged steps: the checkpoint is damaged') from None

    def _restored(self, record):
        arrays = {name: np.array(record[name]) for name in self.arrays}
        fit = all(array.ndim == 2 and array.dtype.kind in "if" and array.size for array in arrays.values())
        same = len({array.shape for array in arrays.values()}) <= 1
        if not fit or not same or not all(math.isfinite(record[name]) for name in self.numbers):
            raise ValueError
        return record | arrays

    def flush(self, step):
        """The logged names since the last flush; loss is the one trained on: with margins, smoothing, centring"""
        records, self.records = self.records, []
        line = {"step": step, **self.summed_up(records)}
        return line | {name: records[-1][name] for name in ("grad_norm", "learning_rate", "epoch")}

    def summed_up(self, records):
        """Of the preferences that these steps learned from"""
        sizes = [len(record["rewards"]) for record in records]
        rewards, labels = stacked([r["rewards"] for r in records], 0), stacked([r["labels"] for r in records], ABSENT)
        loss = float(np.average([record["loss"] for record in records], weights=sizes))
        return summary(rewards, labels=labels) | {"loss": loss}


class LanguageLearner(Learner):
    """The language model and its optimiser, by hand; the loop, the saves and the resume are the reward model's"""

    def step(self, tokens, length, start):  # type: ignore[override]  # another model's labels
        """One update; returns loss, gradient norm before clipping, learning rate"""
        loss, grads = language_model.loss_and_grads(self.params, tokens, length, start, self.n_head)
        return float(loss), *self.update(grads)

    def nats(self, tokens, length, start):
        """The loss without a step, in nats a predicted token"""
        return float(language_model.response_loss(tokens, length, start, **self.params, n_head=self.n_head)[0])


class PolicyLearner(Learner):
    """A language model that is trained by DPO, and the reference that it is held to, by hand

    reference  flattened weights of the same sizes; the first weights themselves if None. The optimiser never sees them.
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
