"""One training step by hand and one by autograd: same weights, same batch, same dtype, same number of threads.

    python tests/benchmarks/step.py [--threads 1] [--repeats 60] [--profile]

Prints the median of many steps, taken in turns so that other load on the machine slows both. Beside the wall time
stands the processor time of the process, which a busy machine disturbs less. The goal: at most 1.3 times PyTorch.
The last column is the share of the NumPy step's processor time that its matrix products take. They are timed in a step
of their own, run between the other two.
With --profile: the functions in which the NumPy step of each size spends its time, by cProfile.
"""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIZES = [  # prompts, time; channels, layers, heads; vocabulary, positions
    (64, 16, 32, 2, 4, 60, 16),  # 28k parameters: the model and the batch of `compare`
    (16, 64, 64, 2, 4, 260, 64),  # 121k
    (8, 64, 128, 4, 8, 260, 384),  # 876k
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=60, help="steps of each side")
    parser.add_argument("--profile", action="store_true", help="where the NumPy step's time goes")
    return parser.parse_args()


def timed(step, batch):
    """Wall and processor seconds of one step; the second counts the work of all threads"""
    wall, processor = time.perf_counter(), time.process_time()
    step(*batch)
    return time.perf_counter() - wall, time.process_time() - processor


def learners_and_batch(size, dtype):
    """[the NumPy learner, the PyTorch one], a batch, and the number of parameters"""
    import numpy as np

    from numpy_ref.reward_model import init_params
    from numpy_ref.train import Learner as NumpyLearner
    from numpy_ref.tree import flatten
    from torch_impl.train import Learner as TorchLearner

    B, T, n_embd, n_layer, n_head, vocab_size, n_positions = size
    rng = np.random.default_rng(0)
    weights = flatten(init_params(rng, vocab_size, n_positions, n_embd, n_layer, dtype))
    batch = rng.integers(4, vocab_size, (B, 2, T)), rng.integers(T // 2, T + 1, (B, 2)), np.zeros(B)
    learners = [side(weights, n_head, 10**6, 1e-3, 0) for side in (NumpyLearner, TorchLearner)]
    return learners, batch, sum(array.size for array in weights.values())


def products_in(learner, batch):
    """(wall, processor) seconds of the matrix products of one step"""
    import numpy as np

    from numpy_ref.tree import tree_map

    spent = np.zeros(2)

    class Clocked(np.ndarray):
        """An array whose matrix products are timed; results computed from it are Clocked too"""

        def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
            inputs = [x.view(np.ndarray) if isinstance(x, Clocked) else x for x in inputs]
            if out is not None:
                options["out"] = tuple(x.view(np.ndarray) if isinstance(x, Clocked) else x for x in out)
            began = time.perf_counter(), time.process_time()
            result = getattr(ufunc, method)(*inputs, **options)
            if ufunc is np.matmul:
                spent[:] += time.perf_counter() - began[0], time.process_time() - began[1]
            return result.view(Clocked) if isinstance(result, np.ndarray) else result

    before = learner.params
    learner.params = tree_map(lambda array: array.view(Clocked), before)
    learner.step(*batch)
    learner.params = before
    return spent


def measure(size, dtype, repeats):
    """Median (wall, processor) milliseconds of both sides and of the products alone, and the number of parameters"""
    import numpy as np

    learners, batch, parameters = learners_and_batch(size, dtype)
    for learner in learners:
        for _ in range(3):
            learner.step(*batch)
    times = [
        [*(timed(learner.step, batch) for learner in learners), products_in(learners[0], batch)] for _ in range(repeats)
    ]
    return 1000 * np.median(times, 0), parameters


def profile(size, dtype, steps=20):
    """(function, share of the time spent in itself and in the C code it calls) of a NumPy step, largest first"""
    import cProfile
    import pstats
    from collections import Counter

    (learner, _), batch, _ = learners_and_batch(size, dtype)
    learner.step(*batch)
    run = cProfile.Profile()
    run.enable()
    for _ in range(steps):
        learner.step(*batch)
    run.disable()
    own: Counter = Counter()
    for (file, _, name), (_, _, seconds, _, callers) in pstats.Stats(run).stats.items():
        if "numpy_ref" in file:
            own[f"{Path(file).stem}.{name}"] += seconds
        for (caller_file, _, caller), (_, _, part, _) in callers.items():  # NumPy's work is its caller's
            if "numpy_ref" not in file and "numpy_ref" in caller_file:
                own[f"{Path(caller_file).stem}.{caller}"] += part
    return [(name, seconds / sum(own.values())) for name, seconds in own.most_common(12)]


def main():
    options = arguments()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when NumPy is loaded
        os.environ[name] = str(options.threads)
    sys.path.insert(0, str(ROOT))
    import numpy as np
    import torch

    from numpy_ref.cli.main import keep_freed_memory
    from numpy_ref.storage.run import processor

    keep_freed_memory()
    torch.set_num_threads(options.threads)
    print(f"{processor()}, {os.cpu_count()} cores, {options.threads} threads; ", end="")
    print(f"NumPy {np.__version__}, PyTorch {torch.__version__}")
    print("milliseconds a step, median            wall                      processor")
    print("parameters  type        NumPy  PyTorch   ratio      NumPy  PyTorch   ratio  products")
    for size in SIZES:
        for dtype in (np.float32, np.float64):
            times, parameters = measure(size, dtype, options.repeats)
            (hand_wall, hand_cpu), (auto_wall, auto_cpu), (_, products) = times
            wall = f"{hand_wall:9.2f}{auto_wall:9.2f}{hand_wall / auto_wall:8.2f}"
            cpu = f"{hand_cpu:9.2f}{auto_cpu:9.2f}{hand_cpu / auto_cpu:8.2f}"
            print(f"{parameters:>10,}  {np.dtype(dtype).name:<8}{wall}  {cpu}{products / hand_cpu:10.0%}", flush=True)
    if options.profile:
        for size in SIZES:
            print(f"\nwhere a float32 step of {size[2]} channels and {size[1]} tokens spends its time")
            print("\n".join(f"{share:7.1%}  {name}" for name, share in profile(size, np.float32)))


if __name__ == "__main__":
    main()
