"""Runs ended at random moments by SIGKILL, Ctrl-C or a full disk resume to bitwise the files of an undisturbed run.

    python tests/faults/kill.py                               50 kills, 10 Ctrl-C, 20 full disks, 10 starts at once
    python tests/faults/kill.py --package torch_impl --kills 200

Every life of a run is a process of its own, forked so that Python and PyTorch are loaded only once. It saves every two
steps and flushes to the disk, so that many kills fall into a save. Exit status 1 if anything differs.
"""

import argparse
import importlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from running import TINY, is_one_sentence, numbers, write_rows

from numpy_ref.cli import main
from numpy_ref.cli.text import table

EVERY = ["--max-length", "32", "--max-steps", "40", "--save-steps", "2", "--logging-steps", "3", "--eval-steps", "7"]


class Life:
    """`python -m package train argv` in a forked process"""

    command: tuple = ("train",)

    def __init__(self, package, *argv, largest_file=None):
        self.end, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(write, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            self._live(package, argv, largest_file)
        os.close(write)

    def _live(self, package, argv, largest_file):
        status = 99
        try:
            if largest_file is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            status = self.status(package, argv)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def status(self, package, argv):
        """What the command itself returns"""
        rooms = importlib.import_module(f"{package}.__main__").COMMANDS
        return main.main(f"python -m {package}", rooms, [*self.command, *argv])

    def wait(self):
        """(exit status, or minus the signal; stderr without the progress bar)"""
        with open(self.end, encoding="utf-8", errors="replace", newline="") as file:
            said = file.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        lines = [part for line in said.split("\n") for part in line.split("\r")]
        return status, "\n".join(line for line in lines if line and not line.lstrip().startswith("training:"))


def contents(directory):
    """{path: bytes} of what a run has made, without a save to which nothing points"""
    directory = Path(directory)
    newest = (directory / "latest").read_text()
    files = {str(p.relative_to(directory)): p for p in directory.rglob("*") if p.is_file()}
    kept = {name: p for name, p in files.items() if "checkpoint-" not in name or name.startswith(newest)}
    return {name: p.read_bytes() for name, p in kept.items()}


def saved(directory):
    """{path: bytes} of the last save, {} if there is none"""
    found = contents(directory) if (directory / "latest").is_file() else {}
    return {name: content for name, content in found.items() if name.startswith(("checkpoint-", "latest"))}


class Bench:
    """A folder with the data, an undisturbed run, and the time that it took"""

    def __init__(self, package, folder, seed):
        self.package, self.folder, self.rng = package, folder, np.random.default_rng(seed)
        data = write_rows(folder / "rows.jsonl", numbers(30))
        held = write_rows(folder / "held.jsonl", numbers(7, seed=1))
        self.options = [*TINY, "--data", data, "--eval-data", held, *EVERY]
        self.made = 0
        if package == "torch_impl":
            import torch
            import torch._dynamo  # which every life would load at its first step

            torch.set_num_threads(1)
        importlib.import_module(f"{package}.__main__")
        began = time.monotonic()
        status, said = Life(package, *self.options, "--output-dir", str(folder / "whole")).wait()
        assert status == 0, said
        self.seconds, self.whole = time.monotonic() - began, contents(folder / "whole")

    def new(self):
        """A directory for another run, and the options that start it"""
        self.made += 1
        place = self.folder / f"run-{self.made}"
        return place, [*self.options, "--output-dir", str(place)]

    def check(self, place):
        """AssertionError unless the run equals the undisturbed one, byte for byte"""
        found = contents(place)
        assert found.keys() == self.whole.keys(), (place, found.keys() ^ self.whole.keys())
        assert not (differ := [name for name, content in self.whole.items() if found[name] != content]), differ
        shutil.rmtree(place)

    def moment(self):
        """A random time into a life, short enough that most lives are ended"""
        return self.rng.uniform(0, 0.7 * self.seconds)


def moment_of(place):
    """What the process was doing when it was ended"""
    if not (place / "latest").is_file():
        return "before the first save was whole"
    return "in a save" if any(place.glob(".*.new")) else "between saves"


def ended_by(bench, number, times):
    """Counts of where the signal fell; each run is ended again and again until it finishes"""
    counts, (place, argv) = Counter(), bench.new()
    while sum(counts.values()) < times:
        life = Life(bench.package, *argv)
        time.sleep(bench.moment())
        os.kill(life.pid, number)
        status, said = life.wait()
        if status == 0:  # it finished before the signal
            bench.check(place)
            place, argv = bench.new()
            continue
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else 130), (status, said)
        assert "Traceback" not in said, said
        counts[moment_of(place)] += 1
        argv = ["--resume", str(place)]
        if not (place / "latest").is_file():
            status, said = Life(bench.package, *argv).wait()
            assert status == 2, said
            place, argv = bench.new()
    status, said = Life(bench.package, *argv).wait()
    assert status == 0, said
    bench.check(place)
    return counts


def full_disks(bench, times):
    """The disk takes no file above a random size, from the start or after a save; then there is room again"""
    largest, counts = max(map(len, bench.whole.values())), Counter()
    for i in range(times):
        place, argv = bench.new()
        if i % 2:
            life = Life(bench.package, *argv)
            while not (place / "latest").is_file():
                time.sleep(0.001)
            os.kill(life.pid, signal.SIGKILL)
            life.wait()
            argv = ["--resume", str(place)]
        before = saved(place)
        status, said = Life(bench.package, *argv, largest_file=int(bench.rng.integers(0, largest))).wait()
        assert status == 2, (status, said)
        assert is_one_sentence(said), said
        assert "make room" in said, said
        assert not any(place.glob(".*.new/*")), "half a save is left"
        counts["refused with the last save whole" if i % 2 else "refused before the first save"] += 1
        assert saved(place) == before
        if before:
            status, said = Life(bench.package, "--resume", str(place)).wait()
            assert status == 0, said
            bench.check(place)
    return counts


def at_once(bench, times):
    """Two processes start in one directory at the same moment, or a second resumes a run while the first still runs"""
    counts = Counter()
    for i in range(times):
        place, argv = bench.new()
        first = Life(bench.package, *argv)
        if i % 2:
            while not (place / "latest").is_file():
                time.sleep(0.001)
            argv = ["--resume", str(place)]
        ends = [life.wait() for life in (Life(bench.package, *argv), first)]
        statuses = sorted(status for status, _ in ends)
        if statuses == [0, 0] and i % 2:  # the first had ended
            counts["too late to meet"] += 1
            continue
        assert statuses == [0, 2], ends
        said = next(said for status, said in ends if status == 2)
        assert is_one_sentence(said), said
        assert "another process is training" in said or "exists and is not empty" in said, said
        bench.check(place)
        counts["second --resume refused" if i % 2 else "of two starts one refused"] += 1
    return counts


def run(package, kills, interrupts, disks, starts, seed):
    """Prints the table"""
    rows = [["fault", "moment", "times"]]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(package, Path(folder), seed)
        for name, counts in {
            "SIGKILL": ended_by(bench, signal.SIGKILL, kills),
            "Ctrl-C": ended_by(bench, signal.SIGINT, interrupts),
            "full disk": full_disks(bench, disks),
            "two at once": at_once(bench, starts),
        }.items():
            rows += [[name, moment, str(n)] for moment, n in sorted(counts.items())]
    print(f"{package}: a whole run takes {bench.seconds:.2f} s; every run that went on is bitwise the whole one")
    print(*table(rows, aligned_left=2), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", choices=["numpy_ref", "torch_impl"], default="numpy_ref")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--interrupts", type=int, default=10)
    parser.add_argument("--disks", type=int, default=20)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--seed", type=int, help="of the moments; drawn anew if left out")
    args = parser.parse_args()
    run(args.package, args.kills, args.interrupts, args.disks, args.starts, args.seed)
