"""Going on with a run: the options that it was started with, and what may differ now."""

import argparse
from pathlib import Path
from reprlib import repr as shortened

from ..cli.main import positive_int
from ..data.cache import fingerprint
from ..data.source import is_world
from ..errors import InputError


def recorded(args):
    """The options that a resumed run must have again, with a fingerprint of each data file"""
    options = {name: value for name, value in vars(args).items() if name not in NOT_RECORDED}
    for name in ("data", "eval_data"):
        if options.get(name):
            options[name] = str(Path(options[name]).resolve())
            options[f"{name}_sha256"] = fingerprint(options[name], args.cache_dir)
    if options.get("cache_dir"):
        options["cache_dir"] = str(Path(options["cache_dir"]).resolve())
    if options.get("dataset_name"):
        options["dataset_name"] = placed(options["dataset_name"])
    return options


def placed(name):
    """A local directory of a dataset from anywhere; an id of the hub as it is"""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


CHANGEABLE = {
    "logging_steps",
    "eval_steps",
    "save_steps",
    "threads",
    "device",
    "cache_dir",
}  # what does not change the model
CHANGEABLE |= {"gradient_accumulation_steps", "gradient_checkpointing", "fsdp"}  # but for rounding


def resumed(args, saved, side):
    """The options of the run that is resumed; one given again on the command line must not contradict them"""
    if saved.machine.get("package") != side:
        raise InputError(
            f"--resume {args.resume}: was trained by {saved.machine.get('package')}: resume it with that package"
        )
    if "output_dir" in args.given and Path(args.output_dir).resolve() != Path(args.resume).resolve():
        raise InputError(f"--output-dir {args.output_dir}: the run goes on in {args.resume}: leave it out")
    merged, options = vars(args).copy(), check_recorded(saved.options, args.parser, args.resume)
    merged["batch_size"] = options.get("batch_size", options.get("per_device_train_batch_size"))
    for name, given in vars(args).items():
        if name in ("data", "eval_data") and given:
            given = str(Path(given).resolve())
        if name == "dataset_name" and given:
            given = placed(given)
        if name not in args.given or name not in options:
            merged[name] = options.get(name, given)
        elif name not in CHANGEABLE and given != options[name]:
            option = "--" + name.replace("_", "-")
            began = f"out {option}" if options[name] is None else f" {options[name]}"
            raise InputError(
                f"{option} {given}: the run that is resumed was started with{began}: leave it out, or train anew"
            )
    for name in ("data", "eval_data"):
        path = options.get(name)
        if path and not Path(path).is_file():
            raise InputError(f"{path}: the file that the run was trained on is gone: put it back to go on")
        if path and fingerprint(path, merged["cache_dir"]) != options.get(f"{name}_sha256"):
            raise InputError(f"{path}: has changed since the run began: put the old file back, or train anew")
    return argparse.Namespace(**merged)


def check_fits(args, saved, total_steps):
    """What is read from a save as numbers must fit what is read from it as weights"""
    n_positions = len(saved.weights["body.pos.weight"]) if saved.weights else args.max_length  # a pretrained body's own
    if saved.step > total_steps or (args.max_length > n_positions and not is_world(args)):
        raise InputError(
            f"--resume {args.resume}: after step {saved.step} of {total_steps}, with {n_positions} positions for "
            f"--max-length {args.max_length}: the checkpoint is damaged"
        )


def warn_other_machine(then, now):
    """Bitwise equality with the uninterrupted run is promised for the same machine, versions and threads only"""
    differ = [f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]]
    if differ:
        print(f"warning   not bitwise the uninterrupted run: {', '.join(differ)}")


NOT_RECORDED = {"command", "run", "parser", "given", "resume", "output_dir"}  # which no save may answer for


def check_recorded(options, parser, run):
    """The options as the parser types them: a whole number for a fraction is one

    InputError for an option of another type, out of its range, or none that is recorded.
    """
    actions = {action.dest: action for action in parser._actions}  # argparse has no public list of them
    actions["batch_size"] = argparse.Action([], "batch_size", type=positive_int, default=0)
    size = options.get("batch_size", options.get("per_device_train_batch_size"))
    for name, value in (options | {"batch_size": size}).items():
        if name in NOT_RECORDED or (name in actions and not _could_be(value, actions[name])):
            raise InputError(
                f"--resume {run}: the save has {shortened(value)} for {shortened(name)}, which no command line gives: "
                "the checkpoint is damaged"
            )
    typed = {name: actions[name].type for name in options.keys() & actions.keys() if actions[name].type}
    return options | {n: as_type(str(options[n])) for n, as_type in typed.items() if options[n] is not None}


def _could_be(value, action):
    """Whether some text on the command line, or none, gives this value"""
    if value is None or isinstance(value, bool):
        return value is action.default or (isinstance(value, bool) and action.nargs == 0)
    if not isinstance(value, (str, int, float)):
        return False
    try:
        said = (action.type or str)(str(value))
    except (ValueError, OverflowError, argparse.ArgumentTypeError):
        return False
    return said == value and (action.choices is None or value in action.choices)
