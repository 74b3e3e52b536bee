"""A command's options as one frozen dataclass, which makes its parser, its records and its keyword arguments in Python.

@dataclass(frozen=True)
class Mine(Options):
    seed: int = option("run", 0, "random seed", type=natural)

Mine.add_arguments(parser)          argparse: --seed, with its help, its type and its default
Mine.parsed(parser.parse_args())    what was given on a command line
Mine.of({"seed": 3})                the same checks and messages for values from Python or from a file
"""

import argparse
import os
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from ..errors import InputError


def option(group, default, help, *, recorded=True, changeable=False, **argument) -> Any:  # noqa: A002  as argparse has it
    """A field of Options that is an option on the command line; `argument` goes to argparse: type, choices, metavar

    recorded    whether a resumed run needs it again
    changeable  whether a resumed run may change it: it affects the model by rounding at most
    """
    argument = {"help": help, "default": default, **argument}
    if default is False:
        argument["action"] = "store_true"
    about = {"group": group, "recorded": recorded, "changeable": changeable, "argument": argument}
    return field(default=default, metadata=about)


def found() -> Any:
    """A field that is not an option: the run determines and records it"""
    return field(default=None, metadata={"recorded": True, "changeable": False})


@dataclass(frozen=True)
class Options:
    """The base of all options; `given` names those that the user gave, even with the default value"""

    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    @classmethod
    def names(cls, attribute="argument"):
        """{name: field} of the options, or of the fields whose metadata have another attribute set"""
        return {f.name: f for f in fields(cls) if f.metadata.get(attribute)}

    @classmethod
    def add_arguments(cls, parser):
        """Adds every option to the parser, group by group"""
        groups: dict = {}
        for name, about in cls.names().items():
            group = about.metadata["group"]
            if group not in groups:
                groups[group] = parser.add_argument_group(group)
            groups[group].add_argument(word(name), **about.metadata["argument"])

    @classmethod
    def parsed(cls, namespace):
        """The options of an argparse namespace"""
        values = {name: getattr(namespace, name) for name in cls.names()}
        return cls(given=frozenset(namespace.given) & values.keys(), **values)

    @classmethod
    def of(cls, values):
        """The options that a command line with these {name: value} would give; InputError if it would be refused"""
        parser = _Raising(allow_abbrev=False, add_help=False)
        cls.add_arguments(parser)
        for name in values:
            if name not in cls.names():
                raise InputError(unknown([word(name)], map(word, cls.names())))
        namespace = parser.parse_args([text for item in values.items() for text in cls._words(*item)])
        namespace.given = values.keys()
        return cls.parsed(namespace)

    @classmethod
    def _words(cls, name, value):
        """The words of a command line for this option: none for a default"""
        default = cls.names()[name].default
        if value is default and (value is None or value is False):
            return []
        if default is False and value is True:
            return [word(name)]
        if isinstance(value, list | tuple) and "nargs" in cls.names()[name].metadata["argument"]:
            return [word(name), *map(str, value)]
        if isinstance(value, bool) or (not isinstance(value, str | os.PathLike) and not hasattr(value, "__float__")):
            raise InputError(f"argument {word(name)}: {value!r} is not a value that it takes")
        return [f"{word(name)}={value}"]


class _Raising(argparse.ArgumentParser):
    def error(self, message):
        raise InputError(message)


def word(name):
    """max_length -> --max-length"""
    return "--" + name.replace("_", "-")


def unknown(given, options):
    """The message for unknown words on a command line, with the nearest option"""
    first = next((text.split("=")[0] for text in given if text.startswith("--")), None)
    likeness = first and nearest(first, list(options))
    return f"unrecognized arguments: {' '.join(given)}" + (f": did you mean {likeness}?" if likeness else "")


def nearest(given, options):
    """The nearest option, or None        --lr -> --learning-rate, --epochs -> --num-train-epochs"""
    asked = given.strip("-").replace("_", "-").lower()
    by_initials = [other for other in options if "".join(part[:1] for part in other.split("-")) == asked]
    by_part = [other for other in options if len(asked) > 2 and asked in other]
    close, less_close = (get_close_matches(f"--{asked}", options, n=1, cutoff=cutoff) for cutoff in (0.8, 0.6))
    return next(iter([*by_initials, *close, *by_part, *less_close]), None)
