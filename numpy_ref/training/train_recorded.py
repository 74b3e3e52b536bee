"""The options that a save holds, checked like a command line: each must be what the parser could have made."""

import argparse
from reprlib import repr as shortened

from ..cli.main import positive_int
from ..errors import InputError

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
