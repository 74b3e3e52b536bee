"""Resuming a run: the options it was started with, and which of them may change."""

from dataclasses import replace
from pathlib import Path
from reprlib import repr as shortened

from ..cli.options import word
from ..data.cache import fingerprint
from ..data.source import is_world
from ..errors import InputError

FILES = ("data", "eval_data")


def recorded(options):
    """{name: value} of the options that a resumed run needs again, as state.json records them"""
    placed_options = placed(options)
    return {name: getattr(placed_options, name) for name in options.names("recorded")}


def with_fingerprints(options):
    """The options with the SHA-256 of each data file"""
    found = {f"{name}_sha256": fingerprint(path, options.cache_dir) for name, path in _files(options).items()}
    return replace(options, **found)


def _files(options):
    return {name: path for name in FILES if (path := getattr(options, name))}


def placed(options):
    """The options with absolute paths; the id of a hub dataset stays as it is"""
    named = {name: getattr(options, name) for name in (*FILES, "cache_dir", "dataset_name")}
    is_path = {name: path for name, path in named.items() if path and (name != "dataset_name" or Path(path).is_dir())}
    return replace(options, **{name: str(Path(path).resolve()) for name, path in is_path.items()})


def resumed(options, saved, side):
    """The options of the resumed run; InputError if the command line contradicts one of them"""
    if saved.machine.get("package") != side:
        raise InputError(
            f"--resume {options.resume}: was trained by {saved.machine.get('package')}: resume it with that package"
        )
    if "output_dir" in options.given and Path(options.output_dir).resolve() != Path(options.resume).resolve():
        raise InputError(f"--output-dir {options.output_dir}: the run goes on in {options.resume}: leave it out")
    began, now = of_record(type(options), saved.options, options.resume), placed(options)
    again = options.given & options.names("recorded").keys()
    changed = {name: getattr(now, name) for name in again if getattr(now, name) != getattr(began, name)}
    for name in sorted(changed.keys() - options.names("changeable").keys()):
        before = getattr(began, name)
        before = f"out {word(name)}" if before is None else f" {before}"
        raise InputError(
            f"{word(name)} {changed[name]}: the run that is resumed was started with{before}: leave it out, or train "
            "anew"
        )
    merged = replace(began, resume=options.resume, given=options.given, **changed)
    check_files(merged)
    return merged


def check_files(options):
    """InputError if a data file is gone or has changed since the run began"""
    for name, path in _files(options).items():
        if not Path(path).is_file():
            raise InputError(f"{path}: the file that the run was trained on is gone: put it back to go on")
        if fingerprint(path, options.cache_dir) != getattr(options, f"{name}_sha256"):
            raise InputError(f"{path}: has changed since the run began: put the old file back, or train anew")


def of_record(kind, record, run):
    """The recorded options; InputError for a value that no command line can give

    Saves of version 0.1.0 lack the batch size and every newer option.
    """
    record = {"batch_size": record.get("per_device_train_batch_size")} | record
    options = {name: value for name, value in record.items() if name in kind.names()}
    sound = options if _as_recorded(kind, options) else ()
    for name, value in record.items():
        if name not in kind.names("recorded") or not (name in sound or _could_be(kind, name, value)):
            raise InputError(
                f"--resume {run}: the save has {shortened(value)} for {shortened(name)}, which no command line gives: "
                "the checkpoint is damaged"
            )
    found = {name: value for name, value in record.items() if name not in options}
    return replace(kind.of(options), given=frozenset(), **found)


def _could_be(kind, name, value):
    """Whether a command line can give this value, or a run can determine it"""
    if name == "batch_size":
        return type(value) is int and value > 0
    if name not in kind.names():
        return value is None or isinstance(value, str)
    return _as_recorded(kind, {name: value})


def _as_recorded(kind, options):
    """Whether a command line with these options gives just these values; one parser for all is faster than many"""
    try:
        made = kind.of(options)
    except (InputError, OverflowError):
        return False
    return all(getattr(made, name) == value for name, value in options.items())


def check_fits(options, saved, total_steps):
    """InputError if the step of a save is beyond the last one, or it has too few positions for --max-length"""
    n_positions = (
        len(saved.weights["body.pos.weight"]) if saved.weights else options.max_length
    )  # a pretrained body has no weights in the save
    if saved.step > total_steps or (options.max_length > n_positions and not is_world(options)):
        raise InputError(
            f"--resume {options.resume}: after step {saved.step} of {total_steps}, with {n_positions} positions for "
            f"--max-length {options.max_length}: the checkpoint is damaged"
        )


def warn_other_machine(then, now):
    """Warns if machine, versions or threads changed: the run is then no longer bitwise equal to an uninterrupted one"""
    differ = [f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]]
    if differ:
        print(f"warning   not bitwise the uninterrupted run: {', '.join(differ)}")
