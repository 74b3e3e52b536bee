"""Bradley-Terry fits: ours and other Python packages', in one run on the same games.

    OMP_NUM_THREADS=1 python tests/benchmarks/bradley_terry.py [--sizes small middle large chain scale]
    python tests/benchmarks/bradley_terry.py --memory | --reading

Needs the extra `bench` (choix, evalica, scikit-learn). Each time is the median over runs. It covers everything from the
labels of winners and losers to the strengths, with each package's own indexing and counting; reading a file, making
lists of labels and importing are not timed. choix has no indexing, so it gets ours, and its matrix of counts is made
the fastest way we know. `deficit` is how many nats the fit stays below the greatest log-likelihood. A method more than
1e-6 below has not done the same work, and is marked. The ratio is a method's time over that of our fit.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from numpy_ref.bradley_terry.games import index_labels, read_games
from numpy_ref.bradley_terry.strengths import fit, likelihood_terms
from numpy_ref.bradley_terry.win_counts import pairs_of_games
from numpy_ref.storage.run import processor

SIZES = {  # items, games, runs
    "small": (100, 100_000, 31),
    "middle": (1_000, 1_000_000, 7),
    "large": (10_000, 5_000_000, 3),
    "chain": (2_000, 1_000_000, 3),
    "scale": (100_000, 20_000_000, 1),
}
SHORT = 0.05  # seconds


def simulate(size, seed=0):
    """Winners and losers as item numbers: random pairs, or for the chain neighbours along a random walk of strengths"""
    n, games, _ = SIZES[size]
    rng = np.random.default_rng(seed)
    strength = rng.standard_normal(n)
    first = rng.integers(0, n, games)
    second = (first + rng.integers(1, n, games)) % n
    if size == "chain":
        strength = np.cumsum(strength * 0.3)
        first = rng.integers(0, n - 1, games)
        second = first + 1
    first_wins = rng.random(games) < 1 / (1 + np.exp(strength[second] - strength[first]))
    return np.where(first_wins, first, second), np.where(first_wins, second, first)


def numbered(winner, loser):
    """Labels to numbers and the count of items; numbers stay what they are"""
    if isinstance(winner, np.ndarray):
        return winner, loser, int(max(winner.max(), loser.max())) + 1
    items, winner, loser = index_labels(winner, loser)
    return winner, loser, len(items)


def ours(winner, loser):
    return fit(pairs_of_games(*numbered(winner, loser))).strength


def ours_to_a_millionth(winner, loser):
    """Stops where the others do: at most (1e-3)² / 2 nats below the maximum"""
    return fit(pairs_of_games(*numbered(winner, loser)), tolerance=1e-3).strength


def choix_dense(winner, loser):
    import choix

    winner, loser, n = numbered(winner, loser)
    counts = np.bincount(winner * n + loser, minlength=n * n).reshape(n, n).astype(float)
    return choix.ilsr_pairwise_dense(counts)


def choix_sparse(winner, loser):
    import choix

    winner, loser, n = numbered(winner, loser)
    return choix.ilsr_pairwise(n, list(zip(winner.tolist(), loser.tolist(), strict=True)))


def evalica(winner, loser):
    import evalica as peer

    result = peer.bradley_terry(winner, loser, [peer.Winner.X] * len(winner), tolerance=1e-10, limit=500)
    worth = result.scores.sort_index()
    return np.log(worth.to_numpy())


def scikit_learn(winner, loser):
    """Logistic regression on the games; half of them are turned round, because it needs both classes"""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    winner, loser, n = numbered(winner, loser)
    games = len(winner)
    sign = np.where(np.arange(games) % 2, 1.0, -1.0)
    columns = np.stack([winner, loser], 1).ravel()
    design = csr_matrix((np.stack([sign, -sign], 1).ravel(), columns, np.arange(0, 2 * games + 1, 2)), (games, n))
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-9, max_iter=10_000)
    return model.fit(design, sign > 0).coef_[0]


OURS = [("ours", ours), ("ours, to 1e-6 nats", ours_to_a_millionth)]
PEERS = {
    "small": [("choix ilsr dense", choix_dense), ("choix ilsr", choix_sparse), ("evalica", evalica),
              ("scikit-learn", scikit_learn)],
    "middle": [("choix ilsr dense", choix_dense), ("evalica", evalica), ("scikit-learn", scikit_learn)],
    "large": [("evalica", evalica), ("scikit-learn", scikit_learn)],
    "chain": [("choix ilsr dense", choix_dense), ("evalica", evalica), ("scikit-learn", scikit_learn)],
    "scale": [],
}  # fmt: skip


def interleaved(methods, runs, limit=120):
    """The median time of each method, and what it returned; every round runs the methods one after the other

    A short method runs once more before, untimed: the caches that a long one left cold add up to a millisecond. There
    are fewer rounds if they take more than `limit` seconds. A method that failed once is not run again.
    """
    times, results = [[] for _ in methods], [None] * len(methods)
    began = time.perf_counter()
    while len(times[0]) < runs and (not times[0] or time.perf_counter() - began < limit):
        for k, method in enumerate(methods):
            if isinstance(results[k], Exception):
                continue
            if times[k] and times[k][-1] < SHORT:
                method()
            start = time.perf_counter()
            try:
                results[k] = method()
            except (RuntimeError, MemoryError, ValueError) as error:
                results[k] = error
            times[k].append(time.perf_counter() - start)
    return [statistics.median(t) for t in times], results


def compare(size, labels):
    """One table: every method on the same games"""
    n, games, runs = SIZES[size]
    winner, loser = simulate(size)
    pairs = pairs_of_games(winner, loser)
    greatest = likelihood_terms(fit(pairs).strength, pairs).value
    if labels == "text":
        names = np.array([f"item-{k:06d}" for k in range(n)], dtype=object)
        winner, loser = names[winner].tolist(), names[loser].tolist()
        runs = min(runs, 5)
    print(f"\n{size}: {n:,} items, {games:,} games, {len(pairs.first):,} pairs; labels are {labels}")
    print(f"{'method':<22}{'seconds':>10}{'ratio':>9}{'deficit in nats':>18}")
    methods = OURS + PEERS[size]
    seconds, strengths = interleaved([partial(method, winner, loser) for _, method in methods], runs)
    for (name, _), time_taken, strength in zip(methods, seconds, strengths, strict=True):
        if isinstance(strength, Exception):
            print(f"{name:<22}  failed: {type(strength).__name__}: {str(strength)[:50]}", flush=True)
            continue
        deficit = greatest - likelihood_terms(np.asarray(strength, float), pairs).value
        mark = " " if deficit <= 1e-6 + 1e-13 * abs(greatest) else "*"
        print(f"{name:<22}{time_taken:>10.4f}{time_taken / seconds[0]:>9.2f}{deficit:>17.1e}{mark}", flush=True)


def compare_reading(lines=1_000_000, runs=5):
    """A file of a million games: our reading, with checks and counting, against pandas' reading alone

    pandas 3 leaves the labels as text. Its own numbering of them (factorize) is timed too: what a fit then needs.
    """
    import pandas

    rng = np.random.default_rng(0)
    winner = rng.integers(0, 1000, lines)
    loser = (winner + rng.integers(1, 1000, lines)) % 1000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "games.csv"
        rows = zip(winner.tolist(), loser.tolist(), strict=True)
        path.write_text("winner,loser\n" + "".join(f"item-{i:04d},item-{j:04d}\n" for i, j in rows))
        frame = pandas.read_csv(path)
        works = [
            partial(read_games, path),
            partial(pandas.read_csv, path),
            lambda: [frame[c].factorize() for c in frame],
        ]
        (ours, reading, numbering), _ = interleaved(works, runs)
    print(f"a file of {lines:,} games: ours {ours:.2f} s, pandas' reading {reading:.2f} s, ratio {ours / reading:.2f};")
    print(f"pandas' numbering {numbering:.2f} s, ratio to both {ours / (reading + numbering):.2f}")


def peak_memory(size):
    """The peak memory of a fresh process that runs our fit, with the labels of the games, in MB"""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import bradley_terry as b, resource; "
        f"w, l = b.simulate({size!r}); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; b.ours(w, l); "
        "print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = (int(kilobytes) / 1024 for kilobytes in out.split())
    print(f"{size}: peak {after:.0f} MB in all; {before:.0f} MB of it for the simulation alone")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--memory", action="store_true", help="measure our peak memory at `large` and stop")
    parser.add_argument("--reading", action="store_true", help="time the reading of a large file and stop (pandas)")
    args = parser.parse_args()
    if args.memory:
        peak_memory("large")
        return
    threads = os.environ.get("OMP_NUM_THREADS", "the default")
    print(f"CPU {processor()}, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}, Python {platform.python_version()}, "
          f"NumPy {np.__version__}; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    if args.reading:
        compare_reading()
        return
    for size in args.sizes:
        for labels in ("numbers", "text") if size in ("small", "middle", "large") else ("numbers",):
            compare(size, labels)
    print("\n* more than 1e-6 nats below the maximum: not the same work")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
