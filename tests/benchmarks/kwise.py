"""K-wise training (one forward per response) against pair-wise training of the same comparisons; memory and time in K.

    python tests/benchmarks/kwise.py [--threads 1] [--repeats 7]

Pair-wise, each of a prompt's C(K, 2) comparisons is a row of two responses, so K(K - 1) responses are run. Both ways
compute the same loss and the same gradient, which is checked before anything is timed. Their runs alternate and the
median is taken, so that a busy machine slows both.
"""

import argparse
import os
import statistics
import time
import tracemalloc
from itertools import combinations

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repeats", type=int, default=7)
arguments = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(arguments.threads)  # read when the libraries are loaded, below

import numpy as np  # noqa: E402
import torch  # noqa: E402

import torch_impl.losses  # noqa: E402
import torch_impl.ranking  # noqa: E402
from numpy_ref import listwise, ranking  # noqa: E402
from numpy_ref.losses import pairwise_loss, pairwise_loss_backward  # noqa: E402
from numpy_ref.reward_model import init_params, rewards, rewards_backward  # noqa: E402
from numpy_ref.tree import flatten  # noqa: E402
from torch_impl.reward_model import RewardModel  # noqa: E402

torch.set_num_threads(arguments.threads)
SIZE = {"vocab_size": 259, "n_positions": 64, "n_embd": 64, "n_layer": 2}
PROMPTS, TOKENS = 4, 48


def batch(rng, K):
    """A ranked batch, best first, and its comparisons as pairs, chosen first"""
    tokens = rng.integers(0, SIZE["vocab_size"], (PROMPTS, K, TOKENS))
    length = rng.integers(TOKENS // 2, TOKENS + 1, (PROMPTS, K))
    pairs = np.array(list(combinations(range(K), 2)))
    ranks = np.tile(np.arange(1, K + 1), (PROMPTS, 1))
    return (tokens, length, ranks), (tokens[:, pairs].reshape(-1, 2, TOKENS), length[:, pairs].reshape(-1, 2))


def numpy_steps(params, ranked, paired):
    tokens, length, ranks = ranked

    def kwise():
        reward, cache = rewards(tokens, length, **params, n_head=4)
        loss, loss_cache = ranking.kwise_loss(reward, ranks)
        return loss, flatten(rewards_backward(ranking.kwise_loss_backward(1.0, loss_cache)[0], cache))

    def pairwise():
        reward, cache = rewards(*paired, **params, n_head=4)
        loss, loss_cache = pairwise_loss(*reward.T)
        return loss, flatten(rewards_backward(np.stack(pairwise_loss_backward(1.0, loss_cache), 1), cache))

    return kwise, pairwise


def torch_steps(params, ranked, paired):
    model = RewardModel(**SIZE, n_head=4)
    model.load_state_dict({name: torch.as_tensor(leaf) for name, leaf in flatten(params).items()})
    (tokens, length, ranks), paired = map(torch.as_tensor, ranked), [torch.as_tensor(part) for part in paired]

    def step(loss):
        model.zero_grad(set_to_none=True)
        loss.backward()
        return loss.item(), {name: p.grad.numpy().copy() for name, p in model.named_parameters()}

    def kwise():
        return step(torch_impl.ranking.kwise_loss(model(tokens, length), ranks))

    def pairwise():
        return step(torch_impl.losses.pairwise_loss(*model(*paired).T))

    return kwise, pairwise


def medians(*runs, repeats=arguments.repeats):
    """Seconds of each, taken in turns"""
    seconds = [[] for _ in runs]
    for _ in range(repeats):
        for run, taken in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def same(one, other):
    """Both ways of training see the same loss and the same gradient, up to float32 rounding"""
    scale = max(np.abs(leaf).max() for leaf in one[1].values())
    assert abs(one[0] - other[0]) < 1e-5
    assert all(np.abs(leaf - other[1][name]).max() < 1e-4 * scale for name, leaf in one[1].items())


def peak(run):
    tracemalloc.start()
    run()
    bytes_ = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return bytes_


def training():
    print(f"One step of {PROMPTS} prompts, {TOKENS} tokens, {SIZE}, float32, threads: {arguments.threads}")
    print("side   K  comparisons/s K-wise  pair-wise  times   K(K-1)/K   peak MB K-wise  pair-wise")
    for K in (2, 4, 9):
        rng = np.random.default_rng(K)
        params, data = init_params(rng, **SIZE, dtype=np.float32), batch(rng, K)
        for side, steps in (("numpy", numpy_steps), ("torch", torch_steps)):
            kwise, pairwise = steps(params, *data)
            same(kwise(), pairwise())
            seconds = medians(kwise, pairwise)
            speed = [PROMPTS * K * (K - 1) / 2 / s for s in seconds]
            memory = [f"{peak(run) / 1e6:11.1f}" for run in (kwise, pairwise)] if side == "numpy" else []
            print(f"{side}  {K:2d}  {speed[0]:19.0f}  {speed[1]:9.0f}  {speed[0] / speed[1]:5.1f}  {K - 1:9d}", *memory)


def losses():
    print("\nThe losses alone, forward and backward of one list (float64)")
    print("   K   all pairs ms       MB   Plackett-Luce ms       MB")
    for K in (9, 50, 100, 200, 400, 800):
        reward, ranks = np.random.default_rng(K).standard_normal((1, K)), np.arange(1, K + 1)[None]

        def pairs(reward=reward, ranks=ranks):
            ranking.kwise_loss_backward(1.0, ranking.kwise_loss(reward, ranks)[1])

        def choices(reward=reward, ranks=ranks):
            listwise.plackett_luce_loss_backward(1.0, listwise.plackett_luce_loss(reward, ranks)[1])

        milliseconds, megabytes = (
            [1e3 * s for s in medians(pairs, choices)],
            [peak(f) / 1e6 for f in (pairs, choices)],
        )
        print(f"{K:4d}{milliseconds[0]:15.2f}{megabytes[0]:9.2f}{milliseconds[1]:19.2f}{megabytes[1]:9.2f}")


if __name__ == "__main__":
    training()
    losses()
