"""`compare --stage all`: from texts to a policy, every stage by both packages, in float64.

    sft             a language model learns the responses that people chose
    reward model    a scalar head on its body learns which of two responses they preferred
    dpo             the same language model learns the preferences without a reward model
    policy          GRPO: a softmax over enumerated responses climbs the reward model's reward minus β KL

Both packages start a stage from the same weights and see the same batches. At its first, middle and last step (in the
policy's stage: at every update) both gradients are taken at the same weights. The true reward measures the result of a
stage, on prompts that no stage saw.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from numpy_ref import dpo, language_model, policy, reward_model, train
from numpy_ref import learners as hand
from numpy_ref.batches import all_rewards, batch_indices, collate
from numpy_ref.cli.text import progress_bar, table
from numpy_ref.data import world
from numpy_ref.data.held_out import WORLD_POSITIONS, held_world
from numpy_ref.data.responses import WORDS, draw_responses, enumerate_responses, true_reward
from numpy_ref.data.tokens import encode
from numpy_ref.errors import InputError
from numpy_ref.optim import adamw, adamw_state
from numpy_ref.training.dpo import starts
from numpy_ref.tree import flatten, unflatten

from . import dpo as torch_dpo
from . import language_model as torch_language_model
from . import learners as auto
from . import policy as torch_policy
from . import reward_model as torch_reward_model
from . import train as torch_train
from .optim import adamw as torch_adamw
from .train import model_of

N_LAYER, N_HEAD, N_EMBD, BATCH = 2, 4, 32, 64
STEPS = {"sft": 160, "reward model": 200, "dpo": 100, "policy": 60}
RATES = {"sft": 5e-3, "reward model": 5e-3, "dpo": 2e-3, "policy": 0.1}
DPO_BETA, KL_BETA = 0.1, 0.3
DRAWN = 200  # texts by which a language model is measured
PROMPTS, POOL, GROUP = 16, 1000, 16  # of the policy: prompts, responses to each, responses drawn at a step
BOUND = 100  # eps of the largest gradient entry


class Result(NamedTuple):
    """The outcome of a stage; before and after are true rewards, after a pair: of numpy_ref and of torch_impl"""

    name: str
    first: float
    last: float
    drift: float  # the largest difference of the two losses
    eps: float  # the largest difference of the two gradients
    before: float
    after: tuple


class Path:
    """The stages on one world; each returns its Result and stores the weights that the next one starts from"""

    def __init__(self, seed):
        self.seed = seed
        train_set, self.held = world.make_world(seed)
        self.pairs = encode(WORDS, world.rank(self._rng(1), train_set), WORLD_POSITIONS).rows
        self.noise = self._rng(5).gumbel(size=(DRAWN, 8, WORDS.vocab_size))
        self.language_model: dict = {}  # flattened weights, after sft
        self.rewards: Any = None  # rows of token ids -> rewards, after reward_model

    def sft(self):
        """The language model: the true reward of what it writes, before and after"""
        size = WORDS.vocab_size, WORLD_POSITIONS, N_EMBD, N_LAYER
        body = reward_model.init_params(self._rng(2), *size)["body"]
        unembedding = language_model.init_unembedding(self._rng(4), WORDS.vocab_size, N_EMBD)
        weights = flatten({"body": body, "unembedding": unembedding})
        before = self._written(by_autograd_next(model_of(weights, N_HEAD)))

        def batch(step):
            tokens, length = collate([[self.pairs[i][0]] for i in self._indices(step)])
            return tokens[:, 0], length[:, 0], starts(tokens)[:, 0]

        learners = self._learners("sft", (hand.LanguageLearner, auto.LanguageLearner), weights)
        result = self._lockstep(
            "sft", learners, batch, language_model.loss_and_grads, torch_language_model.loss_and_grads
        )
        self.language_model = learners[0].weights()
        return result._replace(before=before, after=self._written_by_both(learners))

    def reward_model(self):
        """The reward model: the true reward of the best of six by its rewards; before: the mean of the six"""
        params = language_model.to_reward_model(unflatten(self.language_model), self._rng(6))
        learners = self._learners("reward model", (train.Learner, torch_train.Learner), flatten(params))

        def batch(step):
            return (*collate([self.pairs[i] for i in self._indices(step)]), np.zeros(BATCH))

        def by_hand(params, tokens, length, margin, n_head):
            return reward_model.loss_and_grads(params, tokens, length, n_head, target_margin=margin)

        def by_autograd(model, tokens, length, margin):
            torch_reward_model.loss_and_grads(model, tokens, length, target_margin=margin)

        result = self._lockstep("reward model", learners, batch, by_hand, by_autograd)
        held = held_world(WORDS, self.held)
        best = [all_rewards(learner.rewards, held.rows).argmax(1)[:, None] for learner in learners]
        self.rewards = lambda rows: all_rewards(learners[1].rewards, rows)
        after = tuple(float(np.take_along_axis(held.true, i, 1).mean()) for i in best)
        return result._replace(before=float(held.true.mean()), after=after)

    def dpo(self):
        """The language model after the preferences: the true reward of what it writes"""
        options = {"beta": DPO_BETA, "label_smoothing": 0.0}
        classes = hand.PolicyLearner, auto.PolicyLearner
        learners = self._learners("dpo", classes, self.language_model, **options)
        reference, torch_reference = unflatten(self.language_model), model_of(self.language_model, N_HEAD)

        def batch(step):
            tokens, length = collate([self.pairs[i] for i in self._indices(step)])
            return tokens, length, starts(tokens)

        def by_hand(params, tokens, length, start, n_head):
            log_p, _ = dpo.log_probability(tokens, length, start, **reference, n_head=n_head)
            return dpo.loss_and_grads(params, tokens, length, start, log_p, n_head, **options)

        def by_autograd(model, tokens, length, start):
            with torch.no_grad():
                log_p = torch_dpo.log_probability(torch_reference, tokens, length, start)
            torch_dpo.loss_and_grads(model, tokens, length, start, log_p, **options)

        result = self._lockstep("dpo", learners, batch, by_hand, by_autograd)
        before = self._written(by_autograd_next(torch_reference))
        return result._replace(before=before, after=self._written_by_both(learners))

    def policy(self):
        """A policy over enumerated responses: its exact expected true reward, before and after"""
        log_reference, proxy, true = self._responses()
        rng, steps = self._rng(7), STEPS["policy"]
        mine, state = log_reference, adamw_state(log_reference)
        theirs = torch.tensor(log_reference, requires_grad=True)
        optimiser = torch_adamw([theirs], RATES["policy"], weight_decay=0.0)
        losses, eps = [], []
        for _ in range(steps):
            log_p = policy.log_softmax(mine)
            actions = (log_p[:, None] + rng.gumbel(size=(PROMPTS, GROUP, POOL))).argmax(-1)
            net = np.take_along_axis(proxy - KL_BETA * (log_p - log_reference), actions, 1)
            batch = actions, policy.group_advantage(net), np.take_along_axis(log_p, actions, 1)
            for _ in range(2):  # at the second update the policy has moved, and the clip matters
                grad = policy.clipped_loss_backward(1.0, policy.clipped_loss(mine, *batch)[1])
                same = torch.tensor(mine, requires_grad=True)
                loss = torch_policy.clipped_loss(same, *map(torch.from_numpy, batch))
                eps.append(difference({"": grad}, {"": torch.autograd.grad(loss, same)[0].numpy()}))
                optimiser.zero_grad()
                torch_policy.clipped_loss(theirs, *map(torch.from_numpy, batch)).backward()
                optimiser.step()
                mine, state = adamw(mine, grad, state, RATES["policy"], weight_decay=0.0)
            both = mine, theirs.detach().numpy()
            losses.append([-policy.penalised_reward(x, log_reference, proxy, KL_BETA)[0] for x in both])
        first = -policy.penalised_reward(log_reference, log_reference, proxy, KL_BETA)[0]
        worth = [float((np.exp(policy.log_softmax(x)) * true).sum(1).mean()) for x in (log_reference, *both)]
        drift = float(abs(np.subtract(*np.transpose(losses))).max())
        return Result("policy", float(first), losses[-1][0], drift, max(eps), worth[0], tuple(worth[1:]))

    def _responses(self):
        """log π_ref, the reward model's rewards and the true ones of a pool of responses to held-out prompts (N, A)

        The pool is drawn from all 19,655 responses without replacement, in proportion to their probabilities.
        """
        rng, columns = self._rng(8), []
        for prompt in self.held.prompts[:PROMPTS]:
            asked = prompt.split()
            every = enumerate_responses(list(zip(asked[::2], asked[1::2], strict=True)))
            kept = rng.choice(len(every.texts), POOL, replace=False, p=np.exp(every.log_p))
            rewards = self.rewards([[WORDS.encode(prompt, every.texts[i]) for i in kept]])[0]
            columns.append((every.log_p[kept], rewards, every.rewards[kept]))
        log_p, proxy, true = map(np.array, zip(*columns, strict=True))
        return policy.log_softmax(log_p), proxy, true

    def _rng(self, stream):
        return np.random.default_rng([self.seed, stream])

    def _indices(self, step):
        return batch_indices(step, len(self.pairs), BATCH, self.seed)

    def _learners(self, name, classes, weights, **options):
        schedule = {"total_steps": STEPS[name], "learning_rate": RATES[name], "warmup_steps": STEPS[name] // 10}
        return [kind(weights, N_HEAD, **schedule, **options) for kind in classes]

    def _lockstep(self, name, learners, batch, by_hand, by_autograd):
        """Both learners through a stage; a Result without true rewards

        batch   step -> the arrays that `step` takes; by_hand(params, *arrays, n_head) -> loss, gradients, ...;
                by_autograd(model, *tensors) leaves them in the model
        """
        steps, losses, worst = STEPS[name], [], 0.0
        with ThreadPoolExecutor(2) as pool, progress_bar(unit="step", total=steps, desc=name) as bar:
            for step in range(steps):
                arrays = batch(step)
                if step in (0, steps // 2, steps - 1):
                    model = model_of(learners[0].weights(), N_HEAD)
                    by_autograd(model, *map(torch.from_numpy, arrays))
                    grads = flatten(by_hand(learners[0].params, *arrays, N_HEAD)[1])
                    worst = max(worst, difference(grads, {key: p.grad.numpy() for key, p in model.named_parameters()}))
                records = pool.map(lambda learner, arrays=arrays: learner.step(*arrays), learners)
                losses.append([record[0] for record in records])
                bar.update()
        drift = float(abs(np.diff(losses)).max())
        return Result(name, losses[0][0], losses[-1][0], drift, worst, 0.0, ())

    def _written(self, next_logits):
        prompts = self.held.prompts[:DRAWN]
        texts = draw_responses(next_logits, prompts, self.noise)
        return float(np.mean([true_reward(*pair) for pair in zip(prompts, texts, strict=True)]))

    def _written_by_both(self, learners):
        mine, theirs = learners
        return self._written(by_hand_next(mine.params)), self._written(by_autograd_next(theirs.model))


def by_hand_next(params):
    """tokens (N, t) -> the next token's logits (N, V), by numpy_ref; the appended padding is not read"""
    return lambda tokens: language_model.next_token_logits(np.pad(tokens, [(0, 0), (0, 1)]), **params, n_head=N_HEAD)[
        0
    ][:, -1]


def by_autograd_next(model):
    """The same by torch_impl"""

    @torch.no_grad()
    def logits(tokens):
        return model(torch.from_numpy(tokens))[:, -1].numpy()

    return logits


def difference(by_hand, by_autograd):
    """max |hand - autograd| over all parameters, in eps of the largest entry"""
    largest = max(abs(leaf).max() for leaf in by_autograd.values())
    worst = max(abs(by_hand[key] - leaf).max() for key, leaf in by_autograd.items())
    return float(worst / largest / np.finfo(float).eps)


def run(args):
    """Runs all stages and prints one screen; returns 1 if the packages disagree beyond the bound, else 0"""
    if given := sorted(args.given & {"steps", "output_dir"}):
        raise InputError(f"--{given[0].replace('_', '-')}: --stage all does not use it: leave it out")
    began = time.perf_counter()
    path = Path(args.seed)
    results = [path.sft(), path.reward_model(), path.dpo(), path.policy()]
    print("\nLosses; how far losses and gradients are apart; held-out true reward before and after\n")
    rows = [["stage", "steps", "loss", "to", "losses", "gradients", "before", "NumPy", "PyTorch"]]
    for r in results:
        numbers = f"{r.first:.4f}", f"{r.last:.4f}", f"{r.drift:.0e}", f"{r.eps:.1f} eps", f"{r.before:.3f}"
        rows.append([r.name, str(STEPS[r.name]), *numbers, *(f"{reward:.3f}" for reward in r.after)])
    print(*table(rows), sep="\n")
    worst = max(result.eps for result in results)
    verdict = "they agree" if worst <= BOUND else "THEY DISAGREE"
    print(f"\n{verdict}: worst gradient difference {worst:.1f} eps (bound {BOUND})")
    print("true reward: of texts that are written (sft, dpo), of the best of six (reward model),")
    print("             exact over 1,000 responses to each prompt (policy)")
    print(f"{time.perf_counter() - began:.0f} s")
    return 0 if worst <= BOUND else 1
