"""Two writers of one file or directory, one of them killed: the content is the old or a new one, always whole.

    python tests/faults/writers.py                   every command, 20 moments each
    python tests/faults/writers.py --moments 100 --only score normalize

Both writers are forked and start together on different inputs, so that a mixture would show. One is ended at a random
moment by SIGKILL or SIGTERM; the other runs to its end. Exit status 1 if anything but a whole file is found.
"""

import argparse
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "notebooks"))

from kill import Life
from running import TINY, is_one_sentence, numbers, write_rows

from numpy_ref.cli.text import table
from numpy_ref.errors import InputError
from numpy_ref.storage.checksums import verify

HIDDEN = re.compile(r"\..*\.[0-9a-f]{16}\.new|\..*lock", re.DOTALL)
OLD = b"old"


class Command(Life):
    """`python -m numpy_ref argv` in a forked process"""

    command = ()

    def __init__(self, *argv):
        super().__init__("numpy_ref", *argv)


class Endless:
    """A forked process that writes two contents in turn until it is killed"""

    def __init__(self, write, path, contents):
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            while True:
                for content in contents:
                    write(path, content)

    def wait(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), ""


def contents(place):
    """The bytes of a file, or of each visible file of a directory, None where there is nothing"""
    if place.is_dir():
        inside = (path for path in sorted(place.rglob("*")) if path.is_file() and not HIDDEN.fullmatch(path.name))
        return {str(path.relative_to(place)): path.read_bytes() for path in inside}
    return place.read_bytes() if place.exists() else None


class Bench:
    """A folder with two inputs of every kind, and a model trained on the first"""

    def __init__(self, folder, seed):
        self.folder, self.rng, self.made = folder, np.random.default_rng(seed), 0
        importlib.import_module("numpy_ref.report.figure")  # loads matplotlib, which every fork would load again
        for i in (0, 1):
            write_rows(folder / f"rows-{i}.jsonl", numbers(300, seed=i))
            rng = np.random.default_rng(i)
            games = [sorted(rng.choice(9, 2, replace=False)) for _ in range(400)]
            lines = ["winner,loser", *(f"{a},{b}" if rng.random() < 0.7 else f"{b},{a}" for a, b in games)]
            (folder / f"games-{i}.csv").write_text("\n".join(lines) + "\n")
        self.train = [*TINY, "--max-length", "32", "--max-steps", "8", "--save-steps", "2"]
        status, said = Command(*self.training("train", 0), "--output-dir", str(folder / "model")).wait()
        assert status == 0, said

    def training(self, command, i):
        return [command, *self.train, "--data", str(self.folder / f"rows-{i}.jsonl")]

    def argv(self, name, i, place):
        """The command line that makes `place` from input i"""
        rows, model = str(self.folder / f"rows-{i}.jsonl"), ["--model", str(self.folder / "model")]
        return {
            "score": ["score", *model, "--data", rows, "--output", str(place)],
            "evaluate": ["evaluate", *model, "--data", rows, "--json", str(place)],
            "report": ["report", rows, "--json", str(place)],
            "report --figure": ["report", rows, "--figure", str(place)],
            "fit": ["fit", str(self.folder / f"games-{i}.csv"), "--json", str(place)],
            "normalize": ["normalize", *model, "--data", rows, "--output-dir", str(place)],
            "train": [*self.training("train", i), "--output-dir", str(place)],
            "sft": [*self.training("sft", i), "--output-dir", str(place)],
        }[name]

    def place(self, name):
        """The path of an output in a new folder of its own"""
        self.made += 1
        folder = self.folder / f"trial-{self.made}"
        folder.mkdir()
        return folder / {"report --figure": "out.png", "score": "out.jsonl.gz"}.get(name, "out")

    def trial(self, name, whole, seconds, number, has_old):
        """What happened, in words; AssertionError for anything but an old or a new whole content"""
        place = self.place(name)
        if has_old:
            place.write_bytes(OLD)
        doomed, other = (Command(*self.argv(name, i, place)) for i in (0, 1))
        time.sleep(self.rng.uniform(0, seconds))
        os.kill(doomed.pid, number)
        (ended, last_words), (status, said) = doomed.wait(), other.wait()
        assert status in (0, 2), (name, status, said)
        assert status == 0 or is_one_sentence(said.splitlines()[-1]), said
        assert ended in (0, 2, -number), (name, ended, last_words)
        found = contents(place)
        if name in ("train", "sft"):
            check_run(place, found, whole, finished=status == 0 or ended == 0)
        else:
            assert found in ([None, OLD][has_old], *whole), (name, "neither the old content nor a new one")
            assert status != 0 or found in whole, (name, "a writer says 0, and its file is not there")
        left = [path.name for path in place.parent.iterdir() if path != place]
        assert all(HIDDEN.fullmatch(name) for name in left), left
        assert number == signal.SIGKILL or not left, left
        shutil.rmtree(place.parent)
        return "both wrote, one after the other" if status == ended == 0 else outcome(status, ended)


def outcome(status, ended):
    if status == 2:
        return "the second is refused in one sentence"
    return "the first is refused in one sentence" if ended == 2 else "one is killed, the other writes"


def check_run(place, found, whole, finished):
    """Every visible save must be whole; a finished run must equal one of the two undisturbed runs"""
    for directory in place.glob("checkpoint-*"):
        verify(directory, ["config.json", "model.safetensors", "state.json", "state.safetensors"])
        assert (directory / "SHA256SUMS").is_file()
    if (place / "latest").is_file():
        assert (place / (place / "latest").read_text()).is_dir()
    if finished:
        assert found in whole, {name for name in found if found[name] not in (w.get(name) for w in whole)}


def killed_writers(bench, name, moments):
    """Counts of what happened over the moments"""
    whole, began = [], time.monotonic()
    for i in (0, 1):
        place = bench.place(name)
        status, said = Command(*bench.argv(name, i, place)).wait()
        assert status == 0, said
        whole.append(contents(place))
    assert whole[0] != whole[1]
    seconds = time.monotonic() - began  # two runs one after the other take about as long as both at once
    new = name in ("score", "normalize", "train", "sft")
    counts: Counter = Counter()
    for k in range(moments):
        number = (signal.SIGKILL, signal.SIGTERM)[k % 2]
        counts[bench.trial(name, whole, 1.2 * seconds, number, has_old=not new and k % 4 in (0, 3))] += 1
    return counts


def endless_writers(bench, name, moments):
    """build.write and grade.write, two writers each, both killed"""
    import nbformat

    module = importlib.import_module(name)
    write = module.write if name == "build" else module.write_text  # the grader writes only texts
    texts = [letter * 100_000 for letter in "ab"]
    notebooks = [nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id="x")]) for text in texts]
    made = notebooks if name == "build" else texts
    expected = (
        [(nbformat.writes(n) + "\n").encode() for n in notebooks] if name == "build" else [t.encode() for t in texts]
    )
    counts: Counter = Counter()
    for k in range(moments):
        place = bench.place(name)
        number = (signal.SIGKILL, signal.SIGTERM)[k % 2]
        writers = [Endless(write, place, made) for _ in range(2)]
        while not place.exists():
            time.sleep(0.001)
        time.sleep(bench.rng.uniform(0, 0.1))
        for writer in writers:
            os.kill(writer.pid, number)
        assert {writer.wait()[0] for writer in writers} == {-number}
        assert place.read_bytes() in expected, (name, "neither of the two contents")
        left = [path.name for path in place.parent.iterdir() if path != place]
        assert number == signal.SIGKILL or not left, left
        counts["both are killed, the file is whole"] += 1
    return counts


FORKED = ("score", "evaluate", "report", "report --figure", "fit", "normalize", "train", "sft")
WRITING = ("build", "grade")


def run(moments, seed, only=None):
    """Prints each command's rows as they come; the number of failures"""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), seed)
        for name in only or (*FORKED, *WRITING):
            try:
                counts = (endless_writers if name in WRITING else killed_writers)(bench, name, moments)
            except (AssertionError, InputError) as error:
                counts, failures = Counter({f"FAILED: {error}"[:200]: 1}), failures + 1
            print_counts(name, counts)
    return failures


def print_counts(name, counts):
    """Prints a row for each outcome: command, outcome, count"""
    rows = [[f"{name:<16}", f"{what:<50}", f"{n:>4}"] for what, n in sorted(counts.items())]
    print(*table(rows, aligned_left=2), sep="\n", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=20, help="at which one writer is killed, for each command")
    parser.add_argument("--seed", type=int, help="of the moments; drawn anew if left out")
    parser.add_argument("--only", nargs="+", choices=[*FORKED, *WRITING])
    args = parser.parse_args()
    sys.exit(bool(run(args.moments, args.seed, args.only)))
