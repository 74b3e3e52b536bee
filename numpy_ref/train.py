"""Training: what one step does, by hand, and the loop that both packages run."""

import math
import os

import numpy as np

from .batches import batch_indices, collate, steps_per_epoch
from .errors import InputError
from .metrics import summary
from .optim import adamw, adamw_state, clip_by_global_norm, warmup_cosine
from .reward_model import loss_and_grads, rewards
from .tree import flatten, unflatten

MAX_NORM, BETA2 = 1.0, 0.95  # InstructGPT's β₂: the scale of a gradient is forgotten in 20 steps instead of 1,000


class Learner:
    """The reward model and its optimiser, by hand; torch_impl/train.py has the twin with the same methods"""

    side = "numpy_ref"

    def __init__(self, weights, n_head, total_steps, learning_rate, warmup_steps, **loss_options):
        self.params, self.n_head, self.loss_options = unflatten(weights), n_head, loss_options
        self.optimiser = adamw_state(self.params)
        self.schedule = {"total_steps": total_steps, "peak": learning_rate, "warmup_steps": warmup_steps}

    @property
    def dtype(self):
        return self.params["head"]["weight"].dtype

    def step(self, tokens, length, margin):
        """One update; returns loss, rewards (B, K), gradient norm before clipping, learning rate"""
        options = {"target_margin": margin.astype(self.dtype), **self.loss_options}
        loss, grads, reward = loss_and_grads(self.params, tokens, length, self.n_head, **options)
        grads, norm = clip_by_global_norm(grads, MAX_NORM)
        lr = warmup_cosine(self.optimiser[2], **self.schedule)
        self.params, self.optimiser = adamw(self.params, grads, self.optimiser, lr, beta2=BETA2)
        return float(loss), reward, norm, lr

    def rewards(self, tokens, length):
        return rewards(tokens, length, **self.params, n_head=self.n_head)[0]

    def weights(self):
        return flatten(self.params)

    def state(self):
        """The optimiser's arrays by name; the step count is the loop's"""
        first, second, _ = self.optimiser
        return flatten({"first": first, "second": second})

    def restore(self, weights, state, step):
        moments = unflatten(state)
        self.params, self.optimiser = unflatten(weights), (moments["first"], moments["second"], step)

    def versions(self):
        threads = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
        return {"numpy": np.__version__, "threads": str(threads)}


def train(learner, data, *, start, total_steps, batch_size, seed):
    """Runs steps start .. total_steps and yields after each: (steps done, what was learned from)

    The second is a dict: loss, rewards (B, K), grad_norm, learning_rate, epoch.
    """
    per_epoch = steps_per_epoch(len(data.rows), batch_size)
    for step in range(start, total_steps):
        chosen = batch_indices(step, len(data.rows), batch_size, seed)
        tokens, length = collate([data.rows[i] for i in chosen])
        loss, reward, norm, lr = learner.step(tokens, length, data.margin[chosen])
        check_alive(step + 1, loss, reward, norm)
        epoch = (step + 1) / per_epoch
        yield step + 1, {"loss": loss, "rewards": reward, "grad_norm": norm, "learning_rate": lr, "epoch": epoch}


def check_alive(step, loss, reward, grad_norm):
    """Stops a run that cannot learn: a loss that is no number, or pairs whose two rewards are one and the same

    ln 2 with no gradient is what a model shows that scores the same token on both sides, for example a shared prompt's
    last token because the end was looked for by the pad id, and pad is eos.
    """
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        raise InputError(f"step {step}: the loss is {loss} and the gradient norm {grad_norm}: lower --learning-rate")
    vanished = 1000 * np.finfo(reward.dtype).eps  # equal rows of a batch differ by up to 4 eps, the norm by 30
    if abs(reward - reward[:, :1]).max() <= vanished and grad_norm <= vanished:
        raise InputError(
            f"step {step}: every pair's rewards are equal, so the loss is stuck at ln 2 = {math.log(2):.4f} with no "
            "gradient: both sides score the same token; check that length points at each response's last real token"
        )


class Log:
    """Collects steps and sums them up over all their pairs, not as a mean of batch means"""

    def __init__(self):
        self.records = []

    def add(self, record):
        self.records.append(record)

    def state(self):
        """What is not flushed yet, for JSON, which keeps every float bit for bit"""
        return [record | {"rewards": record["rewards"].tolist()} for record in self.records]

    def restore(self, state):
        self.records = [record | {"rewards": np.array(record["rewards"])} for record in state]

    def flush(self, step):
        """The logged names since the last flush; loss is the one trained on: with margins, smoothing, centring"""
        records, self.records = self.records, []
        sizes = [len(record["rewards"]) for record in records]
        line = {"step": step, **summary(np.concatenate([record["rewards"] for record in records]))}
        line["loss"] = float(np.average([record["loss"] for record in records], weights=sizes))
        return line | {name: records[-1][name] for name in ("grad_norm", "learning_rate", "epoch")}
