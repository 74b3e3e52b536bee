"""Grades a class: python notebooks/grade.py SUBMISSIONS_DIR --csv grades.csv

SUBMISSIONS_DIR holds one notebook for each student (ada.ipynb) or one folder (ada/04_gradient_regimes.ipynb, ...).
A point is given for every property of an exercise that holds. `python -m numpy_ref check` judges each submission in a
process of its own, with limits on time and memory. The table and a feedback file for each student are written anew
each time. How to teach with it: notebooks/guide/teaching.md.
"""

import argparse
import csv
import io
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from lesson_files import read_lesson, sources
from lesson_rules import CHECK, EXERCISE
from numpy_ref.check.cell import full_marks
from numpy_ref.check.command import check_file
from numpy_ref.check.source import read_blocks
from numpy_ref.check.text import score, text
from numpy_ref.cli.main import positive
from numpy_ref.cli.text import counted
from numpy_ref.errors import InputError
from numpy_ref.files import check_only_written, check_output, claimed, write_text

GUIDE = "notebooks/guide/teaching.md"
EMPTY = "an empty notebook: it holds no code at all; ask for the file again"
UNTOUCHED = "handed in as it was given out: no exercise has been begun"


class Exercise(NamedTuple):
    lesson: str  # the stem of its notebook
    number: str  # 4.1
    title: str
    name: str  # of the function

    @property
    def points(self):
        return full_marks(self.name)


def exercises(only):
    """The exercises of these lessons, in order"""
    found = []
    for path in sources(only):
        cells = read_lesson(path).cells
        for place, cell in enumerate(cells):
            if cell.source.startswith("### Exercise"):
                line, name = cell.source.splitlines()[0], CHECK.fullmatch(cells[place + 2].source)[1]
                found.append(Exercise(path.stem, EXERCISE.match(line)[1], line.split(" · ")[-1], name))
    if not found:
        raise InputError(f"--lesson {' '.join(only or [])}: no exercise there; name a lesson that has some")
    return found


def submissions(folder):
    """{student: file or folder}, by name"""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder that holds the submissions")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")) or not (path.is_dir() or path.suffix in (".ipynb", ".py")):
            continue
        student = path.name if path.is_dir() else path.stem
        if student in found:
            raise InputError(f"{path} and {found[student]}: two submissions of one student; keep one of them")
        found[student] = path
    if not found:
        raise InputError(f"{folder}: no submission; expected NAME.ipynb or NAME/ for each student")
    return found


def file_of(path, lesson):
    """The submission itself, or in a student's folder the notebook of this lesson"""
    return path / f"{lesson}.ipynb" if path.is_dir() else path


def grade_one(path, wanted, seconds, seed=0):
    """([(lesson, result)], notes) of one student's submission; a file that cannot be read is a note and no points"""
    found, notes = [], []
    for lesson in dict.fromkeys(exercise.lesson for exercise in wanted):
        file, names = file_of(path, lesson), [exercise.name for exercise in wanted if exercise.lesson == lesson]
        try:
            results, said = check_file(file, names, seconds, seed) if holds_code(file) else ([], [f"{file}: {EMPTY}"])
        except InputError as error:
            results, said = [], [str(error)]
        if untouched(results):
            said = [f"{file}: {UNTOUCHED}", *said]
        found += [(lesson, result) for result in sorted(results, key=lambda result: names.index(result.function))]
        notes += [note for note in said if note not in notes and "raised NameError" not in note]
    return found, notes


def holds_code(file):
    return any(source.strip() for _, source in read_blocks(file))


def untouched(results):
    """Whether every function still is the stub that was handed out"""
    failed = [result.sentence for result in results if result.status == "failed"]
    return bool(failed) and all("is not written yet" in sentence for sentence in failed)


def results_of(exercise, results):
    return [result for lesson, result in results if (lesson, result.function) == (exercise.lesson, exercise.name)]


def feedback(student, wanted, results, notes):
    """The feedback file of a student, as text"""
    of, points = sum(exercise.points for exercise in wanted), score([result for _, result in results])
    lines = [f"{student}: {points} of {of} points", *(f"note: {note}" for note in notes)]
    for exercise in wanted:
        own = results_of(exercise, results)
        lines += ["", f"Exercise {exercise.number}, {exercise.title}"]
        lines.append(text(own, []).rpartition("\n")[0] if own else f"{exercise.name}: 0 of {exercise.points} points")
    return "\n".join(lines) + "\n"


def row(student, wanted, results, notes):
    points = [score(results_of(exercise, results)) for exercise in wanted]
    total, of = sum(points), sum(exercise.points for exercise in wanted)
    return [plain(student), *points, total, of, f"{100 * total / of:.1f}", plain("; ".join(notes))]


def plain(words):
    """The words in a form that no spreadsheet takes for a formula"""
    words = " ".join(words.split())
    return "'" + words if words.startswith(("=", "+", "-", "@")) else words


def grade(args):
    wanted, found = exercises(args.lesson), submissions(args.submissions)
    check_only_written([args.csv], found.values())
    seed = secrets.randbelow(10**6) if args.seed is None else args.seed
    folder = args.feedback or args.csv.parent / "feedback"
    folder.mkdir(parents=True, exist_ok=True)
    check_output(args.csv)
    with claimed(args.csv):
        rows = graded(args, wanted, found, folder, seed)
        heads = [f"{exercise.number} {exercise.name} (of {exercise.points})" for exercise in wanted]
        table = io.StringIO(newline="")
        csv.writer(table).writerows([["student", *heads, "points", "of", "percent", "notes"], *rows])
        write_text(args.csv, table.getvalue())
    print(f"{counted(len(rows), 'submission')}: {args.csv}, and a file for each student in {folder}; seed {seed}")
    print(f"What the points mean, and what to say about the usual mistakes: {GUIDE}")


def graded(args, wanted, found, folder, seed):
    """Writes the feedback of each student; returns the rows of the table"""
    rows = []
    with ThreadPoolExecutor(args.jobs) as pool:
        every = pool.map(lambda path: grade_one(path, wanted, args.seconds, seed), found.values())
        bar = tqdm(zip(found, every, strict=True), total=len(found), unit="student", disable=None)
        for student, (results, notes) in bar:
            write_text(folder / f"{student}.txt", feedback(student, wanted, results, notes))
            rows.append(row(student, wanted, results, notes))
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "submissions", type=Path, metavar="SUBMISSIONS_DIR", help="NAME.ipynb or NAME/ for each student"
    )
    parser.add_argument("--csv", type=Path, default=Path("grades.csv"), help="the table of points (grades.csv)")
    parser.add_argument(
        "--feedback", type=Path, metavar="DIR", help="folder of feedback files (feedback/ beside the table)"
    )
    parser.add_argument("--lesson", nargs="+", metavar="NN", help="grade only the exercises of these lessons (all)")
    parser.add_argument("--seconds", type=positive, default=20.0, help="time limit for each exercise (20)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="students graded at the same time (1)")
    parser.add_argument(
        "--seed", type=int, help="random seed of the inputs, printed at the end (a new one for each class)"
    )
    args = parser.parse_args(argv)
    try:
        grade(args)
    except InputError as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ngrade: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
