"""Damaged preference files, tables and checkpoints: each is read, or refused in one sentence.

    python tests/faults/fuzz.py                        100,000 cases; --cases N, --seed N, --seconds S
    python tests/faults/fuzz.py --seed 3 --only 17     one of them again

No traceback or control character may reach the screen. A file may take 5 seconds of processor time (an archive of two
million rows 60), and a process 1 GB more memory than it starts with. Children run 500 cases each under those limits.
Failing cases are written to --keep, where the fast tests read them ever after. Case i of a seed is always the same.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unicodedata
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import mutations

from numpy_ref import __main__ as numpy_main
from numpy_ref.cli.main import main as command
from numpy_ref.cli.text import table
from numpy_ref.data.reader import Ids, read_preferences
from numpy_ref.data.tokenizer import Bytes
from numpy_ref.data.tokens import encode
from numpy_ref.errors import InputError
from numpy_ref.storage.checkpoint import load_model
from numpy_ref.storage.checksums import seal
from numpy_ref.training import command as train_command

EXAMPLES = Path(__file__).resolve().parent / "examples"
FOLDER = b"@FOLDER@"  # in an example, in place of the path of the folder where it was made
SECONDS, SECONDS_OF_A_BOMB, MEMORY, CHUNK = 5, 60, 10**9, 500
TEXTS = [
    {"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "margin": 1.5},
    {"chosen": "The sky is blue.", "rejected": "The sky is green. 😀"},
    {"chosen": "\n\nHuman: why?\n\nAssistant: so", "rejected": "\n\nHuman: why?\n\nAssistant: no"},
]
USER, SO, NO = (
    {"role": role, "content": text} for role, text in [("user", "why?"), ("assistant", "so"), ("assistant", "no")]
)
CONVERSATIONS = [
    {"prompt": [USER], "chosen": [SO], "rejected": [NO]},
    {"chosen": [USER, SO], "rejected": [USER, {"role": "assistant", "content": [{"type": "text", "text": "no"}]}]},
]
IDS = [{"chosen_ids": [5, 17, 3], "rejected_ids": [5, 17, 9], "margin": 0.5}, {"chosen_ids": [1], "rejected_ids": [2]}]
LISTS = [
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"], "ranks": [2, 1, 2]},
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"], "scores": [0.5, 3, 0.5]},
    {"prompt": "sort b a", "answers": [{"answer": "b a", "rank": 2}, {"answer": "a b", "rank": 1}]},
    {"prompt": "sort b a", "chosen": ["a b", "a  b"], "rejected": ["b a", "a a"]},
]
TINY = (
    "--n-layer 1 --n-head 2 --n-embd 4 --per-device-train-batch-size 2 --max-length 16 --save-steps 3 --logging-steps 2"
)
KINDS = {"text": TEXTS[:1] * 3, "ids": IDS * 2}


PREFERENCES = [TEXTS, CONVERSATIONS, IDS, LISTS, TEXTS + LISTS + CONVERSATIONS]
TABLES = {  # of games, with the options of `fit`
    "winner,loser,count\nann,bob,7\nbob,ann,3\nbob,cem,6\ncem,ann,2\n": [],
    "a;b;wins_a;wins_b;ties\nann;bob;3;2;1\nbob;cem;4;1;0\ncem;ann;2;2;2\n": ["--ties", "davidson"],
    "model_a,model_b,winner\na,b,model_a\nb,a,model_a\na,b,tie\na,b,tie (bothbad)\n": ["--ties", "rao-kupper"],
    "winner\tloser\tsite\nann\tbob\tann\nbob\tann\tann\nbob\tcem\tneutral\ncem\tann\tcem\n": ["--home"],
    "ann,bob,cem\ncem,ann,bob\nbob,ann,cem\n": ["--rankings"],
}
NAMES = {  # names that a file may have, by a short word for each
    "rows": "rows",
    "latin": "caf\udce9",  # how Python spells a name that is not UTF-8
    "escape": "a\x1b[2Jb",
    "line": "x\ny",
    "long": "n" * 240,
}


def jsonl(rows):
    """One object a line"""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def array(rows):
    """One JSON array"""
    return json.dumps(rows, indent=1).encode()


def cells(rows):
    """A CSV file; a value that is no text is written as JSON"""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    for row in rows:
        writer.writerow({name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()})
    return out.getvalue().encode()


FORMS = {".jsonl": jsonl, ".json": array, ".csv": cells}


class Overtime(BaseException):
    """A case took too long"""


def quietly(*argv):
    """(exit status, stdout, the last line of stderr) of `python -m numpy_ref argv` in this process"""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()  # as a screen would have it
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = command("python -m numpy_ref", numpy_main.COMMANDS, list(argv))
    out.flush()
    return status, out.buffer.getvalue().decode(), err.getvalue().removesuffix("\n").rpartition("\n")[2]


def make_runs(folder):
    """A small run of each kind, saved after its third step of six, and its finished model"""
    loop = train_command.loop

    def few_steps(job):
        return loop(replace(job, total_steps=min(job.total_steps, job.start + 2)))

    for name, rows in KINDS.items():
        (folder / f"{name}.jsonl").write_bytes(jsonl(rows))
        argv = [*TINY.split(), "--data", str(folder / f"{name}.jsonl"), "--max-steps", "6"]
        place = folder / name
        train_command.loop = lambda job: loop(replace(job, total_steps=3)) or True
        status, _, line = quietly("train", *argv, "--output-dir", str(place))
        train_command.loop = few_steps  # a mutant may ask for a billion
        assert status == 130, line
        shutil.copytree(place / "checkpoint-3", folder / f"{name}-sealed")
        shutil.copytree(place / "checkpoint-3", folder / f"{name}-model")
        (folder / f"{name}-model" / "SHA256SUMS").unlink()


@contextlib.contextmanager
def a_file(folder, name, content):
    """The path of a file with this content; name: a word of NAMES and the ending"""
    stem, dot, ending = name.partition(".")
    path = folder / f"{NAMES.get(stem, stem)}{dot}{ending}"
    path.write_bytes(content)
    try:
        yield path
    finally:
        path.unlink()


def judge_preferences(folder, name, content):
    """A preference file is read, and encoded as in training"""
    try:
        with a_file(folder, name, content) as path:
            preferences = read_preferences(path)
        encode(Bytes(), [p for p in preferences if not isinstance(p.responses[0], Ids)], 1024)
    except InputError as error:
        return sentence(str(error))
    return "read"


def judge_report(folder, name, content):
    """What `report` shows of a preference file"""
    with a_file(folder, name, content) as path:
        return shown("report", str(path))


def judge_score(folder, name, content):
    """Scores a file's rows, and then some of its letters as a prompt with two responses"""
    with a_file(folder, name, content) as path:
        found = shown("score", "--model", str(folder / "text-model"), "--data", str(path))
    letters = content[:90].decode("utf-8", "surrogateescape").replace("\0", "").replace("-", "")
    texts = ["--prompt", letters[:7], letters[7:30], letters[30:] + "."]
    again = shown("score", "--model", str(folder / "text-model"), *texts)
    return again if again.startswith("FAILED") else found


def judge_table(folder, name, content):
    """Strengths from a table of games: "2/rows.csv" takes the options of the third of TABLES"""
    number, _, name = name.partition("/")
    with a_file(folder, name, content) as path:
        return shown("fit", *list(TABLES.values())[int(number)], str(path))


def shown(*argv):
    """The outcome of a command that prints to the screen"""
    status, out, line = quietly(*argv)
    if status == 2:
        return sentence(line)
    if any(letter != "\n" and unicodedata.category(letter) in ("Cc", "Cs") for letter in out):
        return f"FAILED: a control character on the screen: {out[:300]!a}"
    return "read" if status in (0, 1) else f"FAILED: status {status}"


def judge_model(folder, name, content, original="model"):
    """A changed file in a model directory without checksums, such as "text/config.json" """
    kind, _, name = name.partition("/")
    place = folder / "case"
    shutil.copytree(folder / f"{kind}-{original}", place)
    changed = (place / name).read_bytes() != content
    (place / name).write_bytes(content)
    try:
        load_model(place)
    except InputError as error:
        return sentence(str(error))
    finally:
        shutil.rmtree(place)
    return f"FAILED: a changed {name} went unnoticed" if changed and original == "sealed" else "read"


def judge_sealed(folder, name, content):
    """The same with checksums, which must reveal the change; SHA256SUMS itself may have changed without effect"""
    found = judge_model(folder, name, content, "sealed")
    return "read" if found.startswith("FAILED: a changed SHA256SUMS") else found


def judge_resume(folder, name, content, sealed=True):
    """Resumes a run with a changed file, such as "text/checkpoint-3/state.json", and new checksums if `sealed`"""
    kind, _, name = name.partition("/")
    place = folder / "case"
    shutil.copytree(folder / kind, place)
    changed = (place / name).read_bytes() != content
    (place / name).write_bytes(content)
    if sealed and "SHA256SUMS" not in name:
        seal(place / "checkpoint-3")
    try:
        status, _, line = quietly("train", "--resume", str(place))
    finally:
        shutil.rmtree(place)
    if status == 2:
        return sentence(line)
    if not sealed and changed and "checkpoint-3/" in name:
        return f"FAILED: a changed {name} went unnoticed"
    return "read"


def judge_unsealed(folder, name, content):
    """The same with the old checksums, which must reveal the change"""
    return judge_resume(folder, name, content, sealed=False)


JUDGES = {
    "preferences": judge_preferences,
    "report": judge_report,
    "score": judge_score,
    "table": judge_table,
    "model": judge_model,
    "sealed": judge_sealed,
    "resume": judge_resume,
    "unsealed": judge_unsealed,
}
SHARES = [0.45, 0.05, 0.05, 0.1, 0.13, 0.02, 0.15, 0.05]


def sentence(text):
    """ "refused" if it is one printable line"""
    return "refused" if text.isprintable() and 10 < len(text) < 1500 else f"FAILED: not a sentence: {text[:300]!a}"


def case(folder, seed, i):
    """(kind, name, bytes) of case i"""
    swelling = list(mutations.bombs()) if i < 6 else []
    if swelling:
        return "preferences", "bomb.jsonl.gz", swelling[i][1]
    rng = np.random.default_rng([seed, i])
    kind = list(JUDGES)[rng.choice(len(JUDGES), p=SHARES)]
    stem = "rows" if rng.random() < 0.9 else [*NAMES][rng.integers(len(NAMES))]
    packed = ["", ".gz"][rng.integers(2)]
    if kind == "table":
        number = rng.integers(len(TABLES))
        return kind, f"{number}/{stem}.csv{packed}", mutations.mutated(rng, f".csv{packed}", [*TABLES][number].encode())
    if kind in ("preferences", "report", "score"):
        ending = [".jsonl", ".jsonl", ".json", ".csv"][rng.integers(4)]
        content = FORMS[ending](PREFERENCES[rng.integers(len(PREFERENCES))])
        return kind, f"{stem}{ending}{packed}", mutations.mutated(rng, ending + packed, content)
    run = ["text", "ids"][rng.integers(2)]
    place = folder / (f"{run}-{kind}" if kind in ("model", "sealed") else run)
    files = sorted(p for p in place.rglob("*") if p.is_file() and p.name not in (".lock", "tokenizer_config.json"))
    if kind == "unsealed":
        files = [p for p in files if "checkpoint" in p.parent.name]
    path = files[rng.integers(len(files))]
    content = path.read_bytes()
    while content == path.read_bytes():
        content = mutations.mutated(rng, path.name, content)
    return kind, f"{run}/{path.relative_to(place)}", content


def outcome(folder, kind, name, content):
    """ "read", "refused" or "FAILED: ..." """

    def overtime(*_):
        raise Overtime

    signal.signal(signal.SIGPROF, overtime)
    seconds = SECONDS_OF_A_BOMB if name.startswith("bomb") else SECONDS
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return JUDGES[kind](folder, name, content)
    except Overtime:
        return f"FAILED: more than {seconds} s"
    except MemoryError:
        return "FAILED: more than 1 GB"
    except Exception:
        return f"FAILED: {traceback.format_exc()}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextlib.contextmanager
def workshop():
    """A folder with the runs that cases are made from"""
    fsync, loop = os.fsync, train_command.loop
    os.fsync = lambda _: None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            make_runs(Path(folder))
            yield Path(folder)
        finally:
            os.fsync, train_command.loop = fsync, loop


def limit_memory():
    """Limits memory to what this process has now, and 1 GB"""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))


def work(seed, first, last, keep):
    """Runs cases in this process; writes a line of JSON before and after each"""
    with workshop() as folder:
        limit_memory()
        for i in range(first, last):
            kind, name, content = case(folder, seed, i)
            print(json.dumps([i, kind, None]), flush=True)
            found = outcome(folder, kind, name, content)
            if found.startswith("FAILED") and keep:
                keep_example(Path(keep), kind, name, content.replace(str(folder).encode(), FOLDER))
            print(json.dumps([i, kind, found]), flush=True)


def keep_example(folder, kind, name, content):
    """Writes the bytes under a name that says how they are judged"""
    label = f"{kind}--{name.replace('/', '--')}--{hashlib.sha256(content).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / label).write_bytes(content)


def replay(folder, path):
    """The outcome of a kept example"""
    kind, *name, _ = path.name.split("--")
    return outcome(folder, kind, "/".join(name), path.read_bytes().replace(FOLDER, str(folder).encode()))


def chunk(seed, first, last, keep):
    """(i, kind, outcome) of cases first .. last, in children; if one dies, its case has failed and a new one goes on"""
    while first < last:
        argv = [sys.executable, __file__, "--seed", str(seed), "--worker", str(first), str(last), "--keep", str(keep)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        child = subprocess.run(argv, env=environment, capture_output=True, text=True)
        printed = [json.loads(line) for line in child.stdout.splitlines()]
        yield from (line for line in printed if line[2])
        if not printed:
            raise RuntimeError(child.stderr)
        first = printed[-1][0] + 1
        if not printed[-1][2]:
            yield [*printed[-1][:2], f"FAILED: the process ended with status {child.returncode}: {child.stderr[-300:]}"]


def run(start, cases, seed, seconds, keep):
    """Prints the table; the exit status"""
    began, counts, failures, done = time.monotonic(), Counter(), [], 0
    for first in range(start, start + cases, CHUNK):
        if time.monotonic() - began > seconds:
            break
        for i, kind, found in chunk(seed, first, min(first + CHUNK, start + cases), keep):
            counts[kind, found.split(":")[0]] += 1
            done += 1
            if found.startswith("FAILED"):
                failures.append((i, kind, found))
    rows = [["files", "cases", "read", "refused", "failed"]]
    for kind in JUDGES:
        numbers = [counts[kind, found] for found in ("read", "refused", "FAILED")]
        rows.append([kind, *(f"{n:,}" for n in (sum(numbers), *numbers))])
    print(*table(rows), sep="\n")
    print(f"seed {seed}: {done:,} cases in {time.monotonic() - began:.0f} s, {len(failures)} failed")
    for i, kind, found in failures[:20]:
        print(f"\n--seed {seed} --only {i} ({kind})\n{found}")
    return bool(failures)


def arguments():
    """The command line"""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument(
        "--first", type=int, default=0, help="the number of the first case; 0 to 5 are archives that swell"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no further cases after these")
    parser.add_argument("--only", type=int, help="this case alone, with its bytes")
    parser.add_argument("--keep", default=str(EXAMPLES), help="where files that fail are written")
    parser.add_argument("--worker", type=int, nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    if args.worker:
        work(args.seed, *args.worker, args.keep)
    elif args.only is not None:
        with workshop() as folder:
            found = case(folder, args.seed, args.only)
            print(found[0], found[1], found[2][:2000], outcome(folder, *found), sep="\n")
    else:
        sys.exit(run(args.first, args.cases, args.seed, args.seconds, args.keep))
