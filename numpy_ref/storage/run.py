"""A run's directory: what is written while a model trains. A kill loses only the steps since the last save.

    runs/train/metrics.jsonl            what was logged, one line after the other (log.py)
               latest                   the name of the newest complete checkpoint
               checkpoint-400/          the model, state.safetensors + state.json for --resume, and SHA256SUMS
               config.json, ...         the finished model, as the ecosystem loads it
               .lock                    held by the process that trains (lock.py)

`save` writes a checkpoint and `publish` the finished model. A checkpoint gets its name when it is complete and on the
disk; only then does `latest` point to it.
"""

import platform
import shlex
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..files import read_json, write_json, write_text, written_directory, written_into
from ..objectives import LEARNED_TIES
from ..tree import flatten, unflatten
from . import log as logs
from .checkpoint import ARCHITECTURES, load_model, newest, read_arrays, save_model, write_arrays
from .checksums import BY_HAND, SUMS, UNLISTED, seal, verify
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
    """The first free name; two runs that start at the same moment get two directories"""
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
    """InputError if the directory of a new run is a file, or holds anything but a lock"""
    if path.exists() and (not path.is_dir() or any(inside.name != LOCK for inside in path.iterdir())):
        what = "exists and is not empty" if path.is_dir() else "is a file"
        go_on = f", or go on with --resume {shlex.quote(str(path))}" if (path / "latest").is_file() else ""
        raise InputError(f"--output-dir {path}: {what}: choose another{go_on}")


@contextmanager
def _writing(run):
    """Turns a disk error into one sentence that says how to go on; earlier saves stay intact"""
    try:
        yield
    except OSError as error:
        where = shlex.quote(str(run))
        go_on = f"the last save is whole: make room and go on with --resume {where}"
        remedy = go_on if (run / "latest").is_file() else "nothing is saved yet: make room and train anew"
        raise InputError(f"{run}: cannot be written to ({error.strerror or error}): {remedy}") from None


def log(run, line):
    """Appends one line to metrics.jsonl"""
    with _writing(run):
        logs.append(run, line)


def save(run, step, learner, tokenizer, options, unlogged, *, write=None, best=None):
    """Writes the checkpoint of this step, then points `latest` to it, then removes the checkpoint before it

    write  the function that writes the model, default `write_model`
    best   the best evaluation so far (training/best.py)
    """
    weights, arrays = (
        learner.weights(),
        learner.state(),
    )  # a collective call: FSDP spreads the weights over the processes
    if not learner.writes:
        return
    name = f"checkpoint-{step}"
    state = {"step": step, "options": options, "machine": machine(learner), "unlogged": unlogged}
    if best is not None:
        state["best"] = best.state()
        arrays |= {f"best.{name}": array for name, array in best.weights.items()}
    with _writing(run):
        with written_directory(run / name, replace=True) as building:
            (write or write_model)(building, learner, weights, tokenizer)
            write_arrays(building / "state.safetensors", arrays)
            write_json(building / "state.json", state | {"logged": logs.summary(run)})
            seal(building)
        write_text(run / "latest", name)
    for old in run.glob("checkpoint-*"):
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)


def publish(directory, learner, tokenizer, write=None):
    """Writes the finished model into the run's directory; each file appears complete"""
    weights = learner.weights()
    if not learner.writes:
        return
    last = (SUMS, "model.safetensors", BY_HAND)  # weights last: with them a directory counts as a finished model
    with _writing(directory), written_into(directory, last) as building:
        (write or write_model)(building, learner, weights, tokenizer)
        seal(building)


def write_model(directory, learner, weights, tokenizer):
    """Writes a model of this project"""
    save_model(directory, unflatten(weights), learner.n_head, tokenizer, learner.learned_ties())


class Saved(NamedTuple):
    """The start of a resumed run: flattened weights, the optimiser's arrays, and the fields of state.json"""

    weights: dict
    n_head: int
    tokenizer: object
    arrays: dict
    step: int
    options: dict
    machine: dict
    unlogged: list
    logged: dict | None = None
    best: dict | None = None


def check_saved(run):
    """InputError unless the run's directory holds a save"""
    if not (run / "latest").is_file():
        raise InputError(f"{run}: holds no save to go on from: train again without --resume, into another --output-dir")


STATE = {"step": int, "options": dict, "machine": dict, "unlogged": list}


def read_state(run):
    """(the optimiser's arrays, the fields of state.json) of the newest save; InputError if a file of it is damaged"""
    check_saved(run)
    directory = newest(run)
    if not (directory / SUMS).is_file():
        raise InputError(f"{directory / SUMS}: there is no such file: the checkpoint is not whole")
    there = {path.name for path in directory.iterdir()} - set(UNLISTED)
    weights = BY_HAND if BY_HAND in there else "model.safetensors"
    verify(directory, sorted(there | {"config.json", weights, "state.json", "state.safetensors"}))
    arrays, state = read_arrays(directory / "state.safetensors"), _read_state(directory / "state.json")
    if state["logged"] is not None:  # version 0.1.0 did not write it
        logs.check(run, state["logged"])
    return arrays, state


def load_state(run, copies=("first", "second")):
    """The newest save of a model of this project, to go on from

    copies  the arrays that the command saves for every weight: both moments, and the reference's weights if it has one
    """
    arrays, state = read_state(run)
    if any(name.startswith("reference.") for name in arrays) != ("reference" in copies):
        other = "sft or train" if "reference" in copies else "dpo"
        raise InputError(f"--resume {run}: was made by {other}: resume it with that command")
    directory = newest(run)
    params, n_head, tokenizer = load_model(directory, tuple(ARCHITECTURES))
    weights = flatten(params)
    kinds = {name: (array.shape, array.dtype) for name, array in weights.items()}
    copies += ("best",) * any(name.startswith("best.") for name in arrays)
    wanted = {f"{copy}.{name}": kind for copy in copies for name, kind in kinds.items()}
    if state["options"].get("ties") in tuple(LEARNED_TIES):
        scalar = (), next(iter(weights.values())).dtype
        wanted |= {f"{copy}.raw_tie": scalar for copy in ("tie", "tie_first", "tie_second")}
        wanted |= {"best.tie.raw_tie": scalar} if "best" in copies else {}
    if {name: (array.shape, array.dtype) for name, array in arrays.items()} != wanted:
        raise InputError(
            f"{directory / 'state.safetensors'}: does not fit model.safetensors: the checkpoint is damaged"
        )
    return Saved(weights, n_head, tokenizer, arrays, **state)


def _read_state(path):
    """The fields of state.json, with their types checked; training/resume.py checks the options"""
    state = read_json(path)
    if not isinstance(state, dict) or any(type(state.get(name)) is not kind for name, kind in STATE.items()):
        raise InputError(f"{path}: does not hold {', '.join(STATE)}: the checkpoint is damaged")
    package = state["machine"].get("package")
    if state["step"] < 0 or not isinstance(package, str) or not package.isidentifier():
        raise InputError(f"{path}: the step is negative, or the package has no name: the checkpoint is damaged")
    match logged := state.get("logged"):
        case None | {"bytes": int(), "sha256": str()}:
            return {name: state[name] for name in STATE} | {"logged": logged, "best": state.get("best")}
    raise InputError(f"{path}: does not say what was logged before: the checkpoint is damaged")


def cut_back(run, step, logged):
    """Drops what was logged after the save that a resumed run starts from"""
    with _writing(run):
        logs.cut_back(run, step, logged)


def machine(learner):
    """Everything that bitwise equality depends on: the package, its threads, the versions and the processor"""
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
