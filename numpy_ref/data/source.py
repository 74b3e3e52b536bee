"""One source of preferences, a file or a Split, as tokens: read from the cache where they are there, else anew."""

import hashlib
import os
from collections import Counter
from itertools import chain
from typing import Any, NamedTuple

from ..errors import InputError
from .cache import cached, directory_for, identity, key_of
from .preference import LARGEST_ID
from .reader import Ids, Split, each_with_format, unit
from .row import RENAMED
from .tokenizer import Bytes, TokenIds
from .tokens import Tokens, check_vocabulary, tokens_in_memory, write_tokens

ANY_IDS = TokenIds(
    LARGEST_ID + 1
)  # ids are read and kept without regard to the vocabulary, which is checked afterwards


class Read(NamedTuple):
    """What one option names, read"""

    option: str
    source: object  # a path or a Split
    tokens: Tokens
    note: str  # where the tokens are kept, if on the disk


class Reader:
    """Opens a source and looks at its first row, which tells texts from token ids; `read` then reads all"""

    def __init__(self, option, source, columns=None, cache_dir=None):
        self.option, self.source, self.columns, self.cache_dir = option, source, columns, cache_dir
        self.identity = None if isinstance(source, Split) else identity(source)
        self.progress = Progress(source)
        rows = each_with_format(source, columns, self.progress.at)
        self.first = next(rows)
        self.rows = chain([self.first], rows)

    def read(self, tokenizer=None, vocab_size=None):
        """(Read, tokenizer); where there is none yet: bytes for texts, for ids vocab_size or as many as they ask for"""
        rows = self.rows if tokenizer else of_one_kind(self.source, self.rows)
        chosen = tokenizer or self._tokenizer(vocab_size)
        with_ids = isinstance(chosen, TokenIds)
        tokens, note = self._tokens(ANY_IDS if with_ids else chosen, rows)
        if with_ids:
            chosen = tokenizer or TokenIds(vocab_size or tokens.largest + 1)
            check_vocabulary(tokens, chosen.vocab_size, f"{self.option} {self.source}")
        return Read(self.option, self.source, tokens, note), chosen

    def _tokenizer(self, vocab_size):
        if isinstance(self.first[1].responses[0], Ids):
            return ANY_IDS
        if vocab_size:
            raise InputError(f"--vocab-size {vocab_size}: only for token ids, and the data are texts: leave it out")
        return Bytes()

    def _tokens(self, tokenizer, rows):
        """(Tokens from memory or the cache, a line about the cache)"""
        name, directory = f"{self.option} {self.source}", None
        if not isinstance(self.source, Split):
            directory = directory_for(self.source, self.cache_dir)
        key = directory and key_of(self.source, tokenizer, self.columns, self.cache_dir)
        if not key:
            with self.progress:
                return tokens_in_memory(tokenizer, rows, name), ""

        def write(files):
            with self.progress:
                found = write_tokens(tokenizer, rows, files, name)
            if identity(self.source) != self.identity:  # or another content would stand under this one's key
                raise InputError(f"{name}: was changed while it was read: start again when it is whole")
            return found

        tokens, new = cached(directory, key, tokenizer, write)
        return tokens, f"cache     {directory / key}: {'written' if new else 'read'}"


class Progress:
    """A bar over the bytes of a file or the rows of a table, once that takes more than two seconds"""

    def __init__(self, source):
        self.source = source
        self.bar: Any = None

    def at(self, position):
        """So far the source is read"""
        if self.bar is not None:
            self.bar.update(position - self.bar.n)

    def __enter__(self):
        from tqdm import tqdm

        of_table = unit(self.source) == "row"
        how = {"unit": " rows"} if of_table else {"unit": "B", "total": os.stat(self.source).st_size}
        self.bar = tqdm(desc=f"reading {self.source}", delay=2, unit_scale=True, **how)

    def __exit__(self, *_):
        self.bar.close()
        self.bar = None


def of_one_kind(source, rows):
    """The same rows, all of which must hold texts or all token ids; after one that does not they are counted only"""
    kinds: Counter = Counter()
    for row in rows:
        kinds.update(isinstance(response, Ids) for response in row[1].responses)
        if len(kinds) == 1:
            yield row
    if len(kinds) > 1:
        raise InputError(
            f"{source}: {kinds[True]} of {kinds.total()} responses are token ids and the others "
            "texts: a model reads one or the other: keep one kind"
        )


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
