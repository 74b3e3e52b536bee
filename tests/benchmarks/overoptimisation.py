"""Does a law fitted at weak optimisation predict where the true reward peaks? Best-of-n on the built-in world.

    python tests/benchmarks/overoptimisation.py                 20 seeds for each number of pairs

A proxy (a linear reward: which words, and which word answers which job) learns N pairs. Best-of-n by the proxy is
computed exactly, over all 19,655 responses to each of --prompts held-out prompts, with d = √KL. Gao et al. (2022,
arXiv:2210.10760) find R(d) = d (α - β d) for best-of-n. This is fitted to the true reward up to --fitted nats, and its
maximum d = α / 2β is compared with the observed one. --members bootstrapped proxies give mean - λ variance.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from numpy_ref.bradley_terry.linear_head import fit_heads
from numpy_ref.cli.text import table
from numpy_ref.data import responses, world
from numpy_ref.policy import best_of_n, kl

JOBS = [(task, question) for task in world.FACTS for question in world.FACTS[task]]
ANSWERS = [(*job, answer) for job in JOBS for answer in world.FACTS[job[0]].values()]
PLACE = {key: i for i, key in enumerate([(word,) for word in world.WORDS] + ANSWERS)}
DRAWS = np.unique(np.geomspace(1, 1e5, 36).round())


def features(jobs, text):
    """How often each word stands in a response, and which word answers which job"""
    words, row = text.split(), np.zeros(len(PLACE))
    for key in [(word,) for word in words] + [(*job, word) for job, word in zip(jobs, words, strict=False)]:
        if key in PLACE:
            row[PLACE[key]] += 1
    return row


def labelled(rng, n_pairs):
    """(features of both responses (2N, C), pairs (N, 2)) of preferences that people of the world state"""
    drawn = world.sample_responses(rng, world.sample_prompts(rng, n_pairs), 2)
    rows = []
    for preference in world.rank(rng, drawn):
        asked = preference.prompt.split()
        jobs = list(zip(asked[::2], asked[1::2], strict=True))
        rows += [features(jobs, text) for text in preference.responses]
    return np.array(rows), np.arange(2 * n_pairs).reshape(-1, 2)


def fitted(phi, pairs):
    """The weights of least loss, with a normal prior of standard deviation 1 on each"""
    return fit_heads(phi, pairs, np.array([1 / len(pairs)]))[0][0]


def curve(proxies, every):
    """d (n,), proxy reward (n,) and true reward (n,) of best-of-n, averaged over the prompts"""
    rows = []
    for n in DRAWS:
        best = [best_of_n(e.log_p, proxy, n) for proxy, e in zip(proxies, every, strict=True)]
        with np.errstate(divide="ignore"):
            nats = [kl(np.log(p), e.log_p) for p, e in zip(best, every, strict=True)]
        gains = [(p @ proxy, p @ e.rewards) for p, proxy, e in zip(best, proxies, every, strict=True)]
        rows.append((np.sqrt(max(0.0, np.mean(nats))), *np.mean(gains, 0)))
    return np.array(rows).T


def summit(d, true, limit):
    """α / 2β, where true - true[0] = d (α - β d) is fitted by least squares up to d² = limit; ∞ if it bends up"""
    use = (d > 0) & (d**2 <= limit)
    alpha, beta = np.linalg.lstsq(np.stack([d[use], -(d[use] ** 2)], 1), true[use] - true[0], rcond=None)[0]
    return alpha / (2 * beta) if beta > 0 else np.inf


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[50, 100, 200, 400])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--fitted", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.0], help="nats")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--penalties", type=float, nargs="+", default=[0.0, 1.0, 3.0])
    args = parser.parse_args()
    jobs = world.sample_prompts(np.random.default_rng(99), args.prompts)
    every = [responses.enumerate_responses(asked) for asked in jobs]
    phi = [np.array([features(asked, text) for text in e.texts]) for asked, e in zip(jobs, every, strict=True)]
    laws = [["pairs", "fit up to", "|predicted / seen - 1|", "deviation", "predicted / seen", "no summit"]]
    rewards = [["pairs", "proxy", "start", "summit", "at d", "end"]]
    for n_pairs in args.pairs:
        seen, curves = [], {"one": []} | {f"mean - {x:g} var": [] for x in args.penalties}
        for seed in tqdm(range(args.seeds), desc=f"{n_pairs} pairs", leave=False):
            rng = np.random.default_rng([seed, n_pairs])
            data, pairs = labelled(rng, n_pairs)
            curves["one"].append(curve([p @ fitted(data, pairs) for p in phi], every))
            again = [pairs[rng.integers(0, n_pairs, n_pairs)] for _ in range(args.members)]
            heads = np.array([fitted(data, drawn) for drawn in again]).T
            for x in args.penalties:
                votes = [p @ heads for p in phi]
                curves[f"mean - {x:g} var"].append(curve([v.mean(1) - x * v.var(1) for v in votes], every))
        for name, found in curves.items():
            d, _, true = np.moveaxis(np.array(found), 1, 0)
            at = d[np.arange(len(d)), true.argmax(1)]
            numbers = true[:, 0].mean(), true.max(1).mean(), at.mean(), true[:, -1].mean()
            rewards.append([str(n_pairs), name, *(f"{x:.2f}" for x in numbers)])
        seen = np.array([d[true.argmax()] for d, _, true in curves["one"]])
        for limit in args.fitted:
            ratio = np.array([summit(d, true, limit) for d, _, true in curves["one"]]) / seen
            known = ratio[np.isfinite(ratio)]
            error = abs(known - 1)
            numbers = [f"{x:.2f}" for x in (error.mean(), error.std(), known.mean())] if len(known) else ["-"] * 3
            laws.append([str(n_pairs), f"{limit:g} nats", *numbers, f"{len(ratio) - len(known)} of {len(ratio)}"])
    print(f"True reward under best-of-n by a proxy, n up to {DRAWS[-1]:,.0f}; means over {args.seeds} seeds\n")
    print(*table(rewards, aligned_left=2), sep="\n")
    print("\nThe summit that R = d (α - β d) predicts\n")
    print(*table(laws, aligned_left=2), sep="\n")


if __name__ == "__main__":
    main()
