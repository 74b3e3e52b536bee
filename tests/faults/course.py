"""Killed at random moments, the grader and build.py leave whole files; grading a class twice at once keeps both.

    python tests/faults/course.py                 20 moments each
    python tests/faults/course.py --moments 3 --seed 18

Both are forked and run completely, on a class of three students and a course of one lesson. Every other trial starts
with old files. Exit status 1 if anything but an old or a new file is found.
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
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "notebooks"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "notebooks"))

from kill import Life
from running import is_one_sentence
from test_lessons import GOOD, HALF, HOSTILE, lesson
from writers import HIDDEN, OLD, outcome, print_counts

import build
import lesson_files
import lesson_rules
import lesson_store

SECONDS = re.compile(rb'"seconds": [\d.]+')
COMPLETE = HALF + "def gradient_law(chosen, rejected, dchosen, drejected):\n    return dchosen == -drejected\n"
RUNNING = GOOD.replace("numpy as np\n", "numpy as np\n\nfrom numpy_ref.check.cell import check\n", 1)
RUNNING = RUNNING.replace("takes 7 minutes", "takes about 7 minutes")
STUDENTS = {"ada": HALF, "bob": COMPLETE, "eve": HOSTILE.replace("    while True:\n        pass", "    return 0, 0")}


class Program(Life):
    """A script of notebooks/ with its arguments, in a forked process"""

    def status(self, package, argv):
        return importlib.import_module(package).main(list(argv)) or 0


def visible(folder):
    """{name: bytes} of every file below a folder, except temporary ones of killed writers

    A stored notebook holds how many seconds its run took, which is another number each time.
    """
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not HIDDEN.fullmatch(path.name))
    return {str(path.relative_to(folder)): SECONDS.sub(b"", path.read_bytes()) for path in files}


class Grading:
    """A class that is graded into grades.csv and feedback/"""

    def __init__(self, folder):
        self.room = folder / "class"
        self.room.mkdir()
        for name, source in STUDENTS.items():
            (self.room / f"{name}.py").write_text(source)

    def start(self, place, table="grades.csv"):
        into = ["--csv", str(place / table), "--feedback", str(place / f"feedback-{table}")]
        return Program("grade", str(self.room), "--lesson", "04", "--seconds", "10", "--seed", "1", *into)


class Building:
    """A course of one lesson, of which two notebooks are built"""

    def __init__(self, folder):
        self.lessons = folder / "lessons"
        self.lessons.mkdir()
        lesson(self.lessons, RUNNING)
        lesson_rules.VALUES = 0  # this lesson need not show any

    def start(self, place):
        build.ROOT = build.HERE = place
        build.EXERCISES, lesson_files.LESSONS, lesson_store.STORE = place / "exercises", self.lessons, place / "store"
        return Program("build")


def killed(work, folder, moments, rng):
    """Counts of what was found after a kill at each of the moments"""
    began, counts = time.monotonic(), Counter()
    whole = finished(work, folder)
    seconds = time.monotonic() - began
    for k in range(moments):
        place, number = folder / f"trial-{k}", (signal.SIGKILL, signal.SIGTERM)[k % 2]
        for name in whole if k % 4 in (0, 3) else ():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(OLD)
        place.mkdir(exist_ok=True)
        doomed = work.start(place)
        time.sleep(rng.uniform(0, 1.1 * seconds))
        os.kill(doomed.pid, number)
        ended, said = doomed.wait()
        assert ended in (0, -number) or number == signal.SIGTERM, (ended, said)  # nbclient has a handler of its own
        found = visible(place)
        wrong = [name for name, content in found.items() if content not in (OLD, whole[name])]
        assert not wrong, f"neither an old nor a new file: {wrong}"
        assert ended != 0 or found == whole
        counts["it was faster" if ended == 0 else f"killed, {sum(found[n] == whole[n] for n in found)} new files"] += 1
        shutil.rmtree(place)
    return counts


def finished(work, folder):
    """The files that an undisturbed run makes"""
    place = folder / "whole"
    place.mkdir()
    status, said = work.start(place).wait()
    assert status == 0, said
    return visible(place)


def at_once(work, folder, times):
    """Two graders of one class write into one table, or into two: each table and its feedback are whole"""
    counts, whole = Counter(), visible(folder / "whole")
    for k in range(times):
        place, same = folder / f"both-{k}", k % 2 == 0
        place.mkdir()
        names = ["grades.csv", "grades.csv" if same else "other.csv"]
        ends = [program.wait() for program in [work.start(place, name) for name in names]]
        statuses, found = [status for status, _ in ends], visible(place)
        for name in set(names):
            for old, content in whole.items():
                assert found.pop(old.replace("grades.csv", name)) == content, (name, old)
        assert not found, found.keys()
        refused = [said for status, said in ends if status]
        assert not refused or (same and statuses.count(2) == 1 and is_one_sentence(refused[0].splitlines()[-1])), ends
        counts[f"one table: {outcome(*statuses[::-1])}" if refused else "two tables: both are whole"] += 1
        shutil.rmtree(place)
    return counts


def run(moments, seed):
    """Prints what happened; the number of failures"""
    failures, rng = 0, np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as root:
        for name, kind in {"grade": Grading, "build": Building}.items():
            folder = Path(root, name)
            folder.mkdir()
            work = kind(folder)
            try:
                counts = killed(work, folder, moments, rng)
                counts += at_once(work, folder, moments) if name == "grade" else Counter()
            except AssertionError as error:
                counts, failures = Counter({f"FAILED: {error}"[:200]: 1}), failures + 1
            print_counts(name, counts)
    return failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=20, help="at which a run is killed, for either program")
    parser.add_argument("--seed", type=int, help="of the moments; drawn anew if left out")
    args = parser.parse_args()
    sys.exit(bool(run(args.moments, args.seed)))
