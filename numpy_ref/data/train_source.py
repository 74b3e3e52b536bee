"""Where the data of `train` come from, as its options say."""

import hashlib
from itertools import chain

from ..errors import InputError
from .reader import Split
from .row import RENAMED
from .source import Reader


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


def read_sources(args, tokenizer=None):
    """(training data as Read, held-out data as Read or None, tokenizer)

    tokenizer: of a model that stands already; else bytes for texts, and for token ids as many as --vocab-size or the
    largest of them asks for
    """
    train, held = ("--data", args.data), ("--eval-data", args.eval_data)
    if args.dataset_name:
        train = "--dataset-name", Split(args.dataset_name, args.dataset_config, args.dataset_train_split)
    if args.dataset_test_split:
        held = "--dataset-test-split", Split(args.dataset_name, args.dataset_config, args.dataset_test_split)
    reader = Reader(*train, columns(args), args.cache_dir)
    held_reader = held[1] and Reader(*held, columns(args), args.cache_dir)  # a first row of both, before all of one
    data, tokenizer = reader.read(tokenizer, args.vocab_size)
    held_out = held_reader and held_reader.read(tokenizer)[0]
    if args.dataset_name:
        args.dataset_sha256 = fingerprint_of_rows(args, [read and read.tokens for read in (data, held_out)])
    return data, held_out, tokenizer


def fingerprint_of_rows(args, found):
    """A fingerprint of a dataset's rows, which a resumed run must find again: the hub's may change in between"""
    digest = hashlib.sha256()
    for array in chain.from_iterable(tokens[:7] for tokens in found if tokens):
        digest.update(f"{array.dtype} {len(array)} ".encode() + array.tobytes())
    if args.dataset_sha256 not in (None, digest.hexdigest()):
        raise InputError(
            f"--dataset-name {args.dataset_name}: has changed since the run began: put the old rows back, or train anew"
        )
    return digest.hexdigest()
