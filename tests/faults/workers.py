"""One of two workers is killed under torchrun: the job ends within 30 s with a message, and two or one can resume it.

    python tests/faults/workers.py [--kills 4]

Resumed with two processes, the run equals the undisturbed one bitwise; with one process, up to rounding.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from running import ROOT, TINY, numbers, same_files, write_rows

from numpy_ref.cli.text import table

SENTENCE = "another process of this job ended before its time; what was saved before is whole"
LENGTH = ["--dtype", "float64", "--learning-rate", "1e-4", "--max-length", "32"]
LENGTH += ["--max-steps", "600", "--save-steps", "20", "--logging-steps", "3"]


def job(n, *argv):
    """torchrun with n processes, as a process"""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    command += ["-m", "torch_impl", "train", *argv]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def finish(process):
    """Waits until the job has ended, which must be with status 0"""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err[-3000:])


def worker(process, rank):
    """The id of the process with this rank, from /proc"""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                its_rank = f"RANK={rank}".encode() in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if int(parent) == process.pid and its_rank:
                return int(entry.name)
    raise AssertionError(f"no worker of rank {rank}")


def killed(place, rank, options):
    """Seconds from the SIGKILL of one worker, some time after the first save, to the end of the job"""
    process = job(2, *options, "--output-dir", str(place))
    while not (place / "latest").is_file():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    victim = worker(process, rank)
    time.sleep(np.random.default_rng().uniform(0, 0.3))
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    seconds = time.monotonic() - began
    assert process.returncode, "the job ended as if nothing had been"
    assert err.count(SENTENCE) == 1, err
    assert "Traceback" not in err.split("torch/distributed/elastic")[0], err
    return seconds


def difference(left, right):
    """The largest difference of the logged losses of two finished runs; 0 only if weights and log are the same bytes"""
    names = "model.safetensors", "metrics.jsonl"
    if same_files(left, right, names):
        return 0.0
    losses = [[json.loads(line)["loss"] for line in (run / names[1]).open()] for run in (left, right)]
    return max(np.finfo(float).tiny, *abs(np.subtract(*losses)))


def run(kills, folder):
    """Rows of the table"""
    options = [*TINY, "--data", write_rows(folder / "rows.jsonl", numbers(30)), *LENGTH]
    finish(job(2, *options, "--output-dir", str(folder / "whole")))
    rows = [["killed", "after step", "seconds to the end", "resumed with", "largest difference of a loss"]]
    for i in range(kills):
        place, copy = folder / f"killed-{i}", folder / f"copy-{i}"
        seconds, step = killed(place, i % 2, options), (place / "latest").read_text().removeprefix("checkpoint-")
        assert seconds < 30
        shutil.copytree(place, copy)
        for n, directory, bound in [(2, place, 0), (1, copy, 1e-6)]:
            finish(job(n, "--resume", str(directory)))
            found = difference(folder / "whole", directory)
            assert found <= bound, (n, found)
            rows.append([f"rank {i % 2}", step, f"{seconds:.1f}", str(n), f"{found:.1e}"])
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=4)
    with tempfile.TemporaryDirectory() as folder:
        print(*table(run(parser.parse_args().kills, Path(folder))), sep="\n")
