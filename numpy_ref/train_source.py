"""Where the data of `train` come from, as its options say, and which tokenizer they need."""

import hashlib
import os
from collections import Counter
from itertools import chain
from typing import NamedTuple

from .errors import InputError
from .preferences import Ids, Split, each_with_format, unit
from .preferences_rows import RENAMED
from .token_cache import cached, directory_for, identity, key_of
from .token_rows import Tokens, as_they_are, check_vocabulary, tokens_in_memory, write_tokens
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


class Read(NamedTuple):
    """What one option names, read"""

    option: str
    source: object  # a path or a Split
    tokens: Tokens
    note: str  # where the tokens are kept, if on the disk


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
    rows = _Rows(*train, args)
    held_rows = _Rows(*held, args) if held[1] else None  # a first row of both, before the rest of one is read
    data, tokenizer = rows.read(tokenizer)
    held_out = held_rows and held_rows.read(tokenizer)[0]
    if args.dataset_name:
        args.dataset_sha256 = fingerprint_of_rows(args, [read and read.tokens for read in (data, held_out)])
    return data, held_out, tokenizer


class _Rows:
    """The rows of a source, of which the first is looked at beforehand: it tells texts from token ids"""

    def __init__(self, option, source, args):
        self.option, self.source, self.args = option, source, args
        self.at = lambda _position: None
        rows = each_with_format(source, columns(args), lambda position: self.at(position))
        self.first = next(rows)
        self.rows = chain([self.first], rows)

    def read(self, tokenizer):
        """(Read, the tokenizer, which the rows choose if there is none yet)"""
        chosen = tokenizer or tokenizer_for(self.args, self.first[1])
        with_ids = isinstance(chosen, TokenIds)
        tokens, note = self._tokens(as_they_are() if with_ids else chosen, mixed=tokenizer is not None)
        if with_ids:
            chosen = tokenizer or TokenIds(self.args.vocab_size or tokens.largest + 1)
            check_vocabulary(tokens, chosen.vocab_size, f"{self.option} {self.source}")
        return Read(self.option, self.source, tokens, note), chosen

    def _tokens(self, tokenizer, mixed):
        """(Tokens from memory or the cache, a line about the cache)"""
        name = f"{self.option} {self.source}"
        rows = self.rows if mixed else of_one_kind(self.source, self.rows)
        if isinstance(self.source, Split):
            with _progress(self):
                return tokens_in_memory(tokenizer, rows, name), ""
        directory, before = directory_for(self.source, self.args.cache_dir), identity(self.source)
        key = directory and key_of(self.source, tokenizer, columns(self.args), self.args.cache_dir)

        def write(files):
            with _progress(self):
                found = write_tokens(tokenizer, rows, files, name)
            if identity(self.source)[:2] != before[:2]:
                raise InputError(f"{name}: was changed while it was read: start again when it is whole")
            return found

        if not key:
            with _progress(self):
                return tokens_in_memory(tokenizer, rows, name), ""
        tokens, new = cached(directory, key, tokenizer, write)
        return tokens, f"cache     {directory / key}: {'written' if new else 'read'}"


def _progress(rows):
    """A bar over the bytes of a file or the rows of a table, once that takes more than two seconds"""
    from tqdm import tqdm

    of_table = unit(rows.source) == "row"
    how = {"unit": " rows"} if of_table else {"unit": "B", "total": os.stat(rows.source).st_size}
    bar = tqdm(desc=f"reading {rows.source}", delay=2, unit_scale=True, **how)
    rows.at = lambda position: bar.update(position - bar.n)
    return bar


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


def tokenizer_for(args, first):
    """Bytes for texts and messages; for token ids, as many as --vocab-size says"""
    if isinstance(first.responses[0], Ids):
        return as_they_are(args.vocab_size)
    if args.vocab_size:
        raise InputError(f"--vocab-size {args.vocab_size}: only for token ids, and the data are texts: leave it out")
    return Bytes()
