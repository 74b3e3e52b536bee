"""A file of a million pairs and one gigabyte: how fast it is read, and how much memory training on it takes.

    python tests/benchmarks/large_file.py [--pairs 1000000] [--directory DIR] [--package torch_impl] [--steps 3]

Writes the file, trains a small model on it twice and on a tiny file once, and prints the time of both starts, the size
of the cache, and the peak memory beside the tiny run's. The peak is the kernel's (ru_maxrss): it also counts pages of
mapped files, which the system may take back at any time. Therefore --epoch reads all of them in the order of an epoch,
and prints how much of the peak is the process's own. The goal: at most 1 GB above the tiny run.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["the", "of", "and", "tree", "river", "stone", "winter", "because", "however", "larger", "question", "é"]
TINY = ["--n-layer", "1", "--n-head", "2", "--n-embd", "8", "--per-device-train-batch-size", "8"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10**6)
    parser.add_argument("--bytes", type=int, default=1000, help="a pair")
    parser.add_argument("--directory", type=Path, help="keep file and cache here; a temporary one if left out")
    parser.add_argument("--package", default="torch_impl", choices=["numpy_ref", "torch_impl"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--epoch", action="store_true", help="also read every row once, in the order of an epoch")
    return parser.parse_args()


def write_file(path, pairs, size):
    """Writes pairs of texts of uneven length, about `size` bytes a line; a third of a line is the prompt"""
    import numpy as np

    rng = np.random.default_rng(0)
    pool = " ".join(rng.choice(WORDS, 200_000))
    shares = (size - 50) * rng.dirichlet([8, 8, 8], pairs)
    with open(path, "w", encoding="utf-8") as file:
        for i, lengths in enumerate(shares.astype(int).tolist()):
            at = rng.integers(0, len(pool) - 2 * size, 3).tolist()
            texts = [pool[start : start + length] for start, length in zip(at, lengths, strict=True)]
            row = {"prompt": f"{i} {texts[0]}", "chosen": texts[1], "rejected": texts[2]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def train(args, data, cache, output):
    """(seconds, processor seconds, peak memory in bytes, what the command printed) of a training"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, __file__, "--as-a-process", args.package, "train", *TINY, "--data", str(data)]
    command += ["--max-steps", str(args.steps), "--output-dir", str(output)]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    after, (*said, peak) = resource.getrusage(resource.RUSAGE_CHILDREN), result.stdout.splitlines()
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, processor, int(peak), "\n".join(said)


def as_a_process(package, argv):
    """The command, and its peak on the last line"""
    import importlib

    from numpy_ref.cli.main import main as run

    sys.path.insert(0, str(ROOT))
    status = run(f"python -m {package}", importlib.import_module(f"{package}.__main__").COMMANDS, argv)
    print(peak_bytes())
    return status


def peak_bytes():
    """The peak memory of this process as the kernel measures it, in kilobytes on Linux"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def epoch(directory):
    """Reads every row of a cache once, in the order of an epoch, 16 at a time"""
    from numpy_ref.batches import batch_indices, collate, steps_per_epoch
    from numpy_ref.data.cache import opened
    from numpy_ref.data.tokens import comparisons, filtered

    data, began = comparisons(filtered(opened(directory), 2048)), time.perf_counter()
    ready = peak_bytes()
    for step in range(steps_per_epoch(len(data.rows), 16)):
        collate([data.rows[i] for i in batch_indices(step, len(data.rows), 16, 0)])
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    seconds = time.perf_counter() - began
    peaks = f"peak {peak_bytes() / 1e6:,.0f} MB, before {ready / 1e6:,.0f}"
    print(f"epoch       {seconds:.0f} s for all batches of 16; {peaks}")
    print(
        f"            of it the process's own {status['RssAnon'].strip()}, pages of files {status['RssFile'].strip()}"
    )


def measure(args, directory):
    data, tiny, cache = directory / "pairs.jsonl", directory / "tiny.jsonl", directory / "cache"
    if not data.exists():
        write_file(data, args.pairs, args.bytes)
        time.sleep(3)  # a file changed within the last two seconds is not remembered
    write_file(tiny, 50, args.bytes)
    size = data.stat().st_size
    print(f"file        {args.pairs:,} pairs, {size / 1e9:.3f} GB")
    number = len(list(directory.glob("run-*")))
    least, processor, floor, _ = train(args, tiny, cache, directory / f"run-{number}-tiny")
    print(f"tiny file    {least:,.1f} s ({processor:,.1f} of the processor), peak {floor / 1e6:,.0f} MB")
    for i, name in enumerate(("first start", "second start")):
        seconds, processor, peak, said = train(args, data, cache, directory / f"run-{number}-{i}")
        speed = f"{seconds:,.1f} s ({processor:,.1f} of the processor), {args.pairs / seconds:,.0f} pairs a second"
        print(f"{name:<13}{speed}")
        print(f"            peak {peak / 1e6:,.0f} MB, {(peak - floor) / 1e6:,.0f} above the tiny file's\n{said}")
    places = [path.parent for path in cache.glob("reward-by-hand/*/tokens.json")]
    for place in places:
        print(f"cache       {sum(path.stat().st_size for path in place.iterdir()) / 1e9:.3f} GB")
        if args.epoch:
            epoch(place)


def main():
    args = arguments()
    if args.directory:
        args.directory.mkdir(parents=True, exist_ok=True)
        return measure(args, args.directory)
    with tempfile.TemporaryDirectory() as directory:
        return measure(args, Path(directory))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-a-process"]:
        sys.exit(as_a_process(sys.argv[2], sys.argv[3:]))
    sys.path.insert(0, str(ROOT))
    main()
