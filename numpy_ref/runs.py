"""A run's directory: what is written while a model trains, so that a kill at any moment loses no more than one save.

    runs/train/metrics.jsonl            what was logged, a line a time
               latest                   the name of the newest whole checkpoint
               checkpoint-400/          the model, and state.safetensors + state.json for --resume
               config.json, ...         the finished model, as the ecosystem loads it

A checkpoint is written into a folder beside its place, flushed, renamed, and only then pointed to.
"""

import json
import os
import platform
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

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
from .errors import InputError
from .objectives import LEARNED_TIES
from .tree import flatten, unflatten


def new_run(name, default):
    """Makes the run's directory: `name`, which must not hold anything yet, or runs/<default>, -2, -3, ..."""
    if name is None:
        paths = (Path("runs", default if i == 1 else f"{default}-{i}") for i in range(1, 10_000))
        path = next(path for path in paths if not path.exists())
    else:
        path = Path(name)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            what = "exists and is not empty" if path.is_dir() else "is a file"
            go_on = f", or go on with --resume {shlex.quote(name)}" if (path / "latest").is_file() else ""
            raise InputError(f"--output-dir {path}: {what}: choose another{go_on}")
    try:
        path.mkdir(parents=True, exist_ok=name is not None)
    except OSError as error:
        raise InputError(
            f"--output-dir {path}: cannot be made ({error.strerror}): choose a place that you may write"
        ) from None
    return path


def log(run, line):
    """Appends one line to metrics.jsonl"""
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def save(run, step, learner, tokenizer, options, unlogged):
    """A whole checkpoint of this step, then the pointer to it; the one before it is removed last"""
    weights, arrays = learner.weights(), learner.state()  # by every process of a job: weights may be spread over them
    if not learner.writes:
        return
    name = f"checkpoint-{step}"
    building = run / f".{name}.new"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    write_model(building, learner, weights, tokenizer)
    write_arrays(building / "state.safetensors", arrays)
    state = {"step": step, "options": options, "machine": machine(learner), "unlogged": unlogged}
    write_json(building / "state.json", state)
    for path in [*building.iterdir(), building]:
        _flush(path)
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
    building = directory / ".model.new"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    write_model(building, learner, weights, tokenizer)
    for path in sorted(building.iterdir(), key=lambda path: path.name == "model.safetensors"):  # last: it is looked for
        _flush(path)
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


def read_state(run):
    """(the optimiser's arrays, what state.json says) of the newest save"""
    if not (run / "latest").is_file():
        raise InputError(f"{run}: holds no save to go on from: train again without --resume, into another --output-dir")
    directory = newest(run)
    state, arrays = read_json(directory / "state.json"), read_arrays(directory / "state.safetensors")
    kinds = {"step": int, "options": dict, "machine": dict, "unlogged": list}
    if not isinstance(state, dict) or any(type(state.get(name)) is not kind for name, kind in kinds.items()):
        raise InputError(f"{directory / 'state.json'}: does not hold {', '.join(kinds)}: the checkpoint is damaged")
    return arrays, {name: state[name] for name in kinds}


def load_state(run):
    """The newest save of a model of this project, to go on from"""
    arrays, state = read_state(run)
    directory = newest(run)
    params, n_head, tokenizer = load_model(directory, tuple(ARCHITECTURES))
    weights = flatten(params)
    wanted = {f"{moment}.{name}": array.shape for moment in ("first", "second") for name, array in weights.items()}
    if state["options"].get("ties") in LEARNED_TIES:
        wanted |= dict.fromkeys(("tie.raw_tie", "tie_first.raw_tie", "tie_second.raw_tie"), ())
    if {name: array.shape for name, array in arrays.items()} != wanted:
        raise InputError(
            f"{directory / 'state.safetensors'}: does not fit model.safetensors: the checkpoint is damaged"
        )
    return Saved(weights, n_head, tokenizer, arrays, **state)


def cut_back(run, step):
    """Drops what was logged after the step that a resumed run starts from"""
    path = run / "metrics.jsonl"
    if path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        replace_whole(path, "".join(f"{line}\n" for line in lines if _step_of(line) <= step))


def _step_of(line):
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # a line that the kill cut off
        return float("inf")


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
