"""Training: one step by hand, and the loop that both packages run."""

import math
import os
from functools import partial
from typing import Protocol

import numpy as np

from .batches import batch_indices, collate, collate_ranks, steps_per_epoch
from .errors import InputError
from .objectives import LEARNED_TIES, OBJECTIVES, log_tie_parameter
from .optim import SCHEDULES, adamw, adamw_state, clip_by_global_norm
from .ranking import ABSENT
from .reward_model import loss_and_grads, rewards
from .tree import flatten, unflatten

MAX_NORM, BETA2 = 1.0, 0.95  # InstructGPT's β₂: the scale of a gradient is forgotten in 20 steps instead of 1,000
TIE_RATE = 10  # the tie parameter's learning rate in units of the model's: it should settle before the model adapts


class LearnerLike(Protocol):
    """The interface between a learner of either package and the loop, the saves and the report of a run"""

    side: str  # the name of its package
    writes: bool  # whether this process writes the files of its job

    def restore(self, weights: dict, state: dict, step: int) -> None:
        """Continues from what `weights` and `state` returned after this step"""

    def load(self, weights: dict) -> None:
        """Replaces the weights, and the parameter of a tie model if "tie.raw_tie" is among them"""

    def weights(self) -> dict[str, np.ndarray]:
        """The weights, flattened"""

    def state(self) -> dict[str, np.ndarray]:
        """Everything else that the next step depends on"""

    def agree(self, flag: bool) -> bool:
        """Whether the flag is true in any process of the job"""

    def learned_ties(self) -> dict:
        """The model of ties and its parameter; {} if none was learned"""

    def versions(self) -> dict:
        """The versions and settings that bitwise reproducibility depends on, besides the machine"""


class Learner:
    """The reward model and its optimiser, by hand; torch_impl/train.py has the twin with the same methods

    loss is "pairwise" or a name in OBJECTIVES; loss_options are the options of that loss. A second AdamW without decay
    trains the parameter of a tie model; the gradient norm does not include it.
    """

    side = "numpy_ref"
    writes = True  # there is only one process

    def __init__(
        self,
        weights,
        n_head,
        total_steps,
        learning_rate,
        warmup_steps,
        *,
        weight_decay=0.01,
        lr_scheduler_type="cosine",
        loss="pairwise",
        **loss_options,
    ):
        self.params, self.n_head, self.loss, self.loss_options = unflatten(weights), n_head, loss, loss_options
        self.optimiser, self.weight_decay = adamw_state(self.params), weight_decay
        counts = {"total_steps": total_steps, "peak": learning_rate, "warmup_steps": warmup_steps}
        self.schedule = partial(SCHEDULES[lr_scheduler_type], **counts)
        self.tie = {"raw_tie": np.zeros((), self.dtype)} if loss_options.get("ties") in LEARNED_TIES else {}
        self.tie_optimiser = adamw_state(self.tie)

    @property
    def dtype(self):
        return self.params["body"]["tok"]["weight"].dtype

    def step(self, tokens, length, margin, ranks=None):
        """One update; returns loss, rewards (B, K), gradient norm before clipping, learning rate

        The pairwise loss uses the margin, the list losses use the ranks.
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
        lr = self.schedule(self.optimiser[2])
        state, how = self.optimiser, {"beta2": BETA2, "weight_decay": self.weight_decay}
        self.params, self.optimiser = adamw(self.params, grads, state, lr, **how)
        return norm, lr

    def rewards(self, tokens, length):
        return rewards(tokens, length, **self.params, n_head=self.n_head)[0]

    def weights(self):
        return flatten(self.params)

    def state(self):
        """The optimiser's arrays by name; the loop keeps the step count"""
        first, second, _ = self.optimiser
        tie_first, tie_second, _ = self.tie_optimiser
        tie = {"tie": self.tie, "tie_first": tie_first, "tie_second": tie_second} if self.tie else {}
        return {name: np.asarray(array) for name, array in flatten({"first": first, "second": second, **tie}).items()}

    def restore(self, weights, state, step):
        state = unflatten(state)
        self.params, self.optimiser = unflatten(weights), (state["first"], state["second"], step)
        if self.tie:
            self.tie, self.tie_optimiser = state["tie"], (state["tie_first"], state["tie_second"], step)

    def load(self, weights):
        """Replaces the weights, and "tie.raw_tie" if a tie model is trained"""
        params = unflatten(weights)
        self.tie = params.pop("tie", self.tie)
        self.params = params

    def agree(self, flag):
        """Whether the flag is true in any process of the job; here there is only one"""
        return flag

    def learned_ties(self):
        """{"ties": name of the tie model, "log_theta" or "log_nu": its parameter}; {} if none was trained"""
        if not self.tie:
            return {}
        log_tie, _ = log_tie_parameter(ties := self.loss_options["ties"], **self.tie)
        return {"ties": ties, LEARNED_TIES[ties]: float(log_tie)}

    def versions(self):
        threads = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
        return {"numpy": np.__version__, "threads": str(threads)}


def from_preferences(learner, data, chosen, step):
    """One update on the chosen rows: {loss, rewards (B, K), labels (B, K), grad_norm, learning_rate}"""
    tokens, length = collate([data.rows[i] for i in chosen])
    ranks = collate_ranks([data.ranks[i] for i in chosen])
    loss, reward, norm, lr = learner.step(tokens, length, data.margin[chosen], ranks)
    check_alive(step, loss, np.where(ranks == ABSENT, reward[:, :1], reward), norm)
    return {"loss": loss, "rewards": reward, "labels": ranks, "grad_norm": norm, "learning_rate": lr}


def train(learner, data, *, start, total_steps, batch_size, seed, learn=from_preferences):
    """Runs the steps from `start` and yields (steps done, what `learn` returned plus the epoch) after each"""
    per_epoch = steps_per_epoch(len(data.rows), batch_size)
    for step in range(start, total_steps):
        chosen = batch_indices(step, len(data.rows), batch_size, seed)
        yield step + 1, learn(learner, data, chosen, step + 1) | {"epoch": (step + 1) / per_epoch}


def check_finite(step, loss, grad_norm):
    """InputError if the loss or the gradient norm is not finite"""
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        found = f"step {step}: the loss is {loss} and the gradient norm {grad_norm}"
        if step == 1:  # the learning rate has not acted yet
            raise InputError(f"{found}: margins in the data or weights of --init-from are too large: check them")
        raise InputError(f"{found}: lower --learning-rate")


def check_alive(step, loss, reward, grad_norm):
    """InputError if a run cannot learn: the loss is not finite, or both rewards of every pair are equal

    A model that scores the same token on both sides has loss ln 2 and no gradient. A typical cause: the end of a
    response is searched by the pad id while pad equals eos, which finds the last token of the shared prompt.
    """
    check_finite(step, loss, grad_norm)
    vanished = 1000 * np.finfo(reward.dtype).eps  # equal rows of a batch differ by up to 4 eps, the norm by 30
    if abs(reward - reward[:, :1]).max() <= vanished and grad_norm <= vanished:
        raise InputError(
            f"step {step}: every pair's rewards are equal, so the loss is stuck at ln 2 = {math.log(2):.4f} with no "
            "gradient: both sides score the same token; check that length points at each response's last real token"
        )
