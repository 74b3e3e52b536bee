"""A run's directory: what is written while a model trains, so that a kill at any moment loses no more than one save.

    runs/train/metrics.jsonl            what was logged, a line a time
               latest                   the name of the newest whole checkpoint
               checkpoint-400/          the model, state.safetensors + state.json for --resume, and SHA256SUMS
               config.json, ...         the finished model, as the ecosystem loads it
               .lock                    held by the process that trains (lock.py)

A checkpoint is written into a folder beside its place, flushed, renamed, and only then pointed to.
"""

import json
import os
import platform
import shlex
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..objectives import LEARNED_TIES
from ..tree import flatten, unflatten
from .checkpoint import (
    ARCHITECTURES,
    load_model,
    newest,
    read_arrays,
    read_json,
    replace_whole,
    save_model,
    write_arrays,
    write_json,
)
from .checksums import SUMS, seal, verify
from .lock import LOCK


def new_run(name, default):
    """Makes the run's directory: `name`, which must not hold anything yet, or runs/<default>, -2, -3, ..."""
    try:
        if name is None:
            return _next_free(Path("runs"), default)
        path = Path(name)
        check_empty(path)
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--output-dir {name or 'runs'}: cannot be made ({error.strerror}): choose a place that you may write"
        ) from None
    return path


def _next_free(runs, default):
    """Of two runs that start at the same moment each makes its own"""
    runs.mkdir(exist_ok=True)
    for i in range(1, 10_000):
        path = runs / (default if i == 1 else f"{default}-{i}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise InputError(f"--output-dir: {runs} holds 9,999 runs: name a new directory")


def check_empty(path):
    """InputError if a directory for a new run holds anything, but for a lock, or is a file"""
    if path.exists() and (not path.is_dir() or any(inside.name != LOCK for inside in path.iterdir())):
        what = "exists and is not empty" if path.is_dir() else "is a file"
        go_on = f", or go on with --resume {shlex.quote(str(path))}" if (path / "latest").is_file() else ""
        raise InputError(f"--output-dir {path}: {what}: choose another{go_on}")


@contextmanager
def _writing(run):
    """A disk that takes no more is one sentence; what was saved before stays as it is"""
    try:
        yield
    except OSError as error:
        where = shlex.quote(str(run))
        go_on = f"the last save is whole: make room and go on with --resume {where}"
        remedy = go_on if (run / "latest").is_file() else "nothing is saved yet: make room and train anew"
        raise InputError(f"{run}: cannot be written to ({error.strerror or error}): {remedy}") from None


@contextmanager
def _new_folder(path):
    """An empty folder to write a save into; what could not be written whole is removed, which also makes room"""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
        seal(path)
        for written in [*path.iterdir(), path]:
            _flush(written)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise


def log(run, line):
    """Appends one line to metrics.jsonl"""
    with _writing(run), open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def save(run, step, learner, tokenizer, options, unlogged):
    """A whole checkpoint of this step, then the pointer to it; the one before it is removed last"""
    weights, arrays = learner.weights(), learner.state()  # by every process of a job: weights may be spread over them
    if not learner.writes:
        return
    name = f"checkpoint-{step}"
    state = {"step": step, "options": options, "machine": machine(learner), "unlogged": unlogged}
    with _writing(run):
        with _new_folder(run / f".{name}.new") as building:
            write_model(building, learner, weights, tokenizer)
            write_arrays(building / "state.safetensors", arrays)
            write_json(building / "state.json", state)
        shutil.rmtree(run / name, ignore_errors=True)
        os.rename(building, run / name)
        replace_whole(run / "latest", name)
    for old in run.glob("checkpoint-*"):
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)


def publish(directory, learner, tokenizer):
    """The finished model as the directory's own files, each whole from the moment that it is there"""
    weights = learner.weights()
    if not learner.writes:
        return
    with _writing(directory):
        with _new_folder(directory / ".model.new") as building:
            write_model(building, learner, weights, tokenizer)
        last = [SUMS, "model.safetensors"]  # the weights are what is looked for
        for path in sorted(building.iterdir(), key=lambda path: (path.name in last, path.name == last[1])):
            os.replace(path, directory / path.name)
        building.rmdir()


def write_model(directory, learner, weights, tokenizer):
    """A learner of pretrained models writes its own files; the others share one format"""
    if hasattr(learner, "save_model"):
        learner.save_model(directory, tokenizer, weights)
    else:
        save_model(directory, unflatten(weights), learner.n_head, tokenizer, learner.learned_ties())


class Saved(NamedTuple):
    """What a run goes on from: flattened weights, the optimiser's arrays, and what state.json says"""

    weights: dict
    n_head: int
    tokenizer: object
    arrays: dict
    step: int
    options: dict
    machine: dict
    unlogged: list


def check_saved(run):
    """InputError unless the run's directory holds a save"""
    if not (run / "latest").is_file():
        raise InputError(f"{run}: holds no save to go on from: train again without --resume, into another --output-dir")


STATE = {"step": int, "options": dict, "machine": dict, "unlogged": list}


def read_state(run):
    """(the optimiser's arrays, what state.json says) of the newest save, whole"""
    check_saved(run)
    directory = newest(run)
    if not (directory / SUMS).is_file():
        raise InputError(f"{directory / SUMS}: there is no such file: the checkpoint is not whole")
    there = {path.name for path in directory.iterdir()} - {SUMS}
    verify(directory, sorted(there | {"config.json", "model.safetensors", "state.json", "state.safetensors"}))
    return read_arrays(directory / "state.safetensors"), _read_state(directory / "state.json")


def load_state(run, copies=("first", "second")):
    """The newest save of a model of this project, to go on from

    copies  what the command saves for every weight: both moments, and the reference's weights if it has one
    """
    arrays, state = read_state(run)
    if any(name.startswith("reference.") for name in arrays) != ("reference" in copies):
        other = "sft or train" if "reference" in copies else "dpo"
        raise InputError(f"--resume {run}: was made by {other}: resume it with that command")
    directory = newest(run)
    params, n_head, tokenizer = load_model(directory, tuple(ARCHITECTURES))
    weights = flatten(params)
    kinds = {name: (array.shape, array.dtype) for name, array in weights.items()}
    wanted = {f"{copy}.{name}": kind for copy in copies for name, kind in kinds.items()}
    if state["options"].get("ties") in tuple(LEARNED_TIES):
        scalar = (), next(iter(weights.values())).dtype
        wanted |= dict.fromkeys(("tie.raw_tie", "tie_first.raw_tie", "tie_second.raw_tie"), scalar)
    if {name: (array.shape, array.dtype) for name, array in arrays.items()} != wanted:
        raise InputError(
            f"{directory / 'state.safetensors'}: does not fit model.safetensors: the checkpoint is damaged"
        )
    return Saved(weights, n_head, tokenizer, arrays, **state)


def _read_state(path):
    """The four parts of state.json, each of its kind; what the options may be, training/resume.py says"""
    state = read_json(path)
    if not isinstance(state, dict) or any(type(state.get(name)) is not kind for name, kind in STATE.items()):
        raise InputError(f"{path}: does not hold {', '.join(STATE)}: the checkpoint is damaged")
    package = state["machine"].get("package")
    if state["step"] < 0 or not isinstance(package, str) or not package.isidentifier():
        raise InputError(f"{path}: the step is negative, or the package has no name: the checkpoint is damaged")
    return {name: state[name] for name in STATE}


def cut_back(run, step):
    """Drops what was logged after the step that a resumed run starts from"""
    path = run / "metrics.jsonl"
    if path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        with _writing(run):
            replace_whole(path, "".join(f"{line}\n" for line in lines if _step_of(line) <= step))


def _step_of(line):
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):  # a line that the kill cut off, or that is none of ours
        return float("inf")
    return step if type(step) is int else float("inf")


def machine(learner):
    """What bitwise equality depends on: the package, its threads, the versions and the processor"""
    return {
        "package": learner.side,
        **learner.versions(),
        "python": platform.python_version(),
        "cpu": processor(),
    }


def processor():
    """The processor's name, as far as the system tells"""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
