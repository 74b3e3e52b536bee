"""Where the data of `train` come from, as its options say, and which tokenizer they need."""

import hashlib

from .errors import InputError
from .preferences import Ids, Split, read_with_formats
from .preferences_rows import RENAMED
from .tokenizer import Bytes, TokenIds


def is_world(args):
    """No data were named"""
    return args.data is None and args.dataset_name is None


def check_source(args):
    """Options that would be ignored, or that contradict each other, are refused"""
    if args.data and args.dataset_name:
        raise InputError(f"--dataset-name {args.dataset_name}: there is --data {args.data} too: keep one")
    if args.eval_data and args.dataset_test_split:
        raise InputError(f"--dataset-test-split {args.dataset_test_split}: there is --eval-data too: keep one")
    for name in ("dataset_config", "dataset_test_split"):
        if getattr(args, name) and not args.dataset_name:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"{option} {getattr(args, name)}: there is no --dataset-name: name a dataset, or leave it out"
            )
    if is_world(args) and (columns(args) or args.vocab_size):
        option = f"--{next(iter(columns(args)))}-column" if columns(args) else "--vocab-size"
        raise InputError(f"{option}: the built-in world does not use it: name your own data with --data")


def add_column_arguments(group):
    """Other names for the columns"""
    for name in RENAMED:
        group.add_argument(f"--{name}-column", metavar="NAME", help=f"what your data call the column {name}")


def columns(args):
    """{"chosen": "winner", ...}: the columns that have other names"""
    named = {name: getattr(args, f"{name}_column") for name in RENAMED}
    return {name: other for name, other in named.items() if other}


def read_sources(args):
    """(option, source, what was read) of the training data, and the same or None of what is held out"""
    train, held = ("--data", args.data), ("--eval-data", args.eval_data)
    if args.dataset_name:
        train = "--dataset-name", Split(args.dataset_name, args.dataset_config, args.dataset_train_split)
    if args.dataset_test_split:
        held = "--dataset-test-split", Split(args.dataset_name, args.dataset_config, args.dataset_test_split)
    found = [(*named, read_with_formats(named[1], columns(args))) if named[1] else None for named in (train, held)]
    if args.dataset_name:
        args.dataset_sha256 = fingerprint_of_rows(args, [read and read[2][0] for read in found])
    return found


def fingerprint_of_rows(args, found):
    """A fingerprint of a dataset's rows, which a resumed run must find again: the hub's may change in between"""
    digest = hashlib.sha256(repr(found).encode("utf-8")).hexdigest()
    if args.dataset_sha256 not in (None, digest):
        raise InputError(
            f"--dataset-name {args.dataset_name}: has changed since the run began: put the old rows back, or train anew"
        )
    return digest


def tokenizer_for(args, preferences):
    """Bytes for texts and messages; for token ids, as many as --vocab-size or the largest of them asks for"""
    responses = [response for preference in preferences for response in preference.responses]
    ids = [response for response in responses if isinstance(response, Ids)]
    if 0 < len(ids) < len(responses):
        raise InputError(
            f"{args.data or args.dataset_name}: {len(ids)} of {len(responses)} responses are token ids and the others "
            "texts: a model reads one or the other: keep one kind"
        )
    if ids:
        return TokenIds(args.vocab_size or 1 + max(map(max, ids)))
    if args.vocab_size:
        raise InputError(f"--vocab-size {args.vocab_size}: only for token ids, and the data are texts: leave it out")
    return Bytes()
