"""Reads a source of preferences, a file or a Split, as tokens: from the cache if it holds them."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from ..cli.options import Options, option
from ..cli.text import progress_bar
from ..errors import InputError
from .cache import cached, directory_for, identity, key_of
from .preference import LARGEST_ID
from .reader import Ids, Split, each_with_format, place, unit
from .row import RENAMED
from .tokenizer import Bytes, TokenIds, Tokenizer
from .tokens import Tokens, check_vocabulary, tokens_in_memory, write_tokens

ANY_IDS = TokenIds(
    LARGEST_ID + 1
)  # ids are read and kept without regard to the vocabulary, which is checked afterwards


class Read(NamedTuple):
    """The source that an option names, with its tokens"""

    option: str
    source: object  # a path or a Split
    tokens: Tokens
    note: str  # the line that says where the tokens are cached; "" if they are not


class Reader:
    """Opens a source and reads its first row, which shows whether it holds texts or token ids; `read` reads the rest"""

    def __init__(self, option, source, columns=None, cache_dir=None):
        self.option, self.source, self.columns, self.cache_dir = option, source, columns, cache_dir
        self.identity = None if isinstance(source, Split) else identity(source)
        self.progress = Progress(source)
        rows = each_with_format(source, columns, self.progress.at)
        self.first = next(rows)
        self.rows = chain([self.first], rows)

    def read(self, tokenizer=None, vocab_size=None):
        """(Read, tokenizer); default: Bytes for texts, TokenIds of vocab_size or of the largest id for token ids"""
        rows = self.rows if tokenizer else of_one_kind(self.source, self.rows)
        chosen = tokenizer or self._tokenizer(vocab_size)
        with_ids = isinstance(chosen, TokenIds)
        tokens, note = self._tokens(ANY_IDS if with_ids else chosen, rows)
        if with_ids:
            chosen = tokenizer or TokenIds(vocab_size or tokens.largest + 1)
            check_vocabulary(tokens, chosen.vocab_size, partial(place, self.source))
        return Read(self.option, self.source, tokens, note), chosen

    def _tokenizer(self, vocab_size):
        if isinstance(self.first[1].responses[0], Ids):
            return ANY_IDS
        if vocab_size:
            raise InputError(f"--vocab-size {vocab_size}: only for token ids, and the data are texts: leave it out")
        return Bytes()

    def _tokens(self, tokenizer, rows):
        """(Tokens in memory or from the cache, a line about the cache)"""
        directory, where = None, partial(place, self.source)
        if not isinstance(self.source, Split):
            directory = directory_for(self.source, self.cache_dir)
        key = directory and key_of(self.source, tokenizer, self.columns, self.cache_dir)
        if not key:
            with self.progress:
                return tokens_in_memory(tokenizer, rows, where), ""

        def write(files):
            with self.progress:
                found = write_tokens(tokenizer, rows, files, where)
            if identity(self.source) != self.identity:  # the key belongs to the old content
                changed = "was changed while it was read: start again when it is whole"
                raise InputError(f"{self.option} {self.source}: {changed}")
            return found

        tokens, new = cached(directory, key, tokenizer, write)
        return tokens, f"cache     {directory / key}: {'written' if new else 'read'}"


class Progress:
    """A progress bar over the bytes of a file or the rows of a table, shown after two seconds"""

    def __init__(self, source):
        self.source = source
        self.bar: Any = None

    def at(self, position):
        """Moves the bar to this position"""
        if self.bar is not None:
            self.bar.update(position - self.bar.n)

    def __enter__(self):
        how = {"unit": " rows"} if unit(self.source) == "row" else {"unit": "B", "total": os.stat(self.source).st_size}
        self.bar = progress_bar(desc=f"reading {self.source}", unit_scale=True, leave=True, **how)

    def __exit__(self, *_):
        self.bar.close()
        self.bar = None


def of_one_kind(source, rows):
    """The same rows; InputError with both counts if some responses are texts and others are token ids"""
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


def is_world(options):
    """Whether no data are named, so that the built-in world is used"""
    return options.data is None and options.dataset_name is None


def check_source(options):
    """InputError for options about data that contradict each other or would be ignored"""
    if options.data and options.dataset_name:
        raise InputError(f"--dataset-name {options.dataset_name}: there is --data {options.data} too: keep one")
    if options.eval_data and options.dataset_test_split:
        raise InputError(f"--dataset-test-split {options.dataset_test_split}: there is --eval-data too: keep one")
    for name in ("dataset_config", "dataset_test_split"):
        if getattr(options, name) and not options.dataset_name:
            named = "--" + name.replace("_", "-")
            raise InputError(
                f"{named} {getattr(options, name)}: there is no --dataset-name: name a dataset, or leave it out"
            )
    if is_world(options) and (columns(options) or options.vocab_size or options.eval_data):
        named = f"--{next(iter(columns(options)))}-column" if columns(options) else "--vocab-size"
        named = f"--eval-data {options.eval_data}" if options.eval_data else named
        raise InputError(f"{named}: the built-in world does not use it: name your own data with --data")


def _column(name):
    return option("data", None, f"the name of the column {name} in your data", metavar="NAME")


@dataclass(frozen=True)
class ColumnOptions(Options):
    """The options for data whose columns have other names"""

    prompt_column: str | None = _column("prompt")
    chosen_column: str | None = _column("chosen")
    rejected_column: str | None = _column("rejected")
    margin_column: str | None = _column("margin")
    responses_column: str | None = _column("responses")
    ranks_column: str | None = _column("ranks")
    scores_column: str | None = _column("scores")


def columns(options):
    """{"chosen": "winner", ...}: the options for columns with other names"""
    named = {name: getattr(options, f"{name}_column") for name in RENAMED}
    return {name: other for name, other in named.items() if other}


class Sources(NamedTuple):
    """Everything that a training reads"""

    data: Read
    held: Read | None
    tokenizer: Tokenizer
    dataset_sha256: str | None  # of the rows of a dataset, because it may change on the hub


def named_sources(options) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """(option, path or Split) of the training data and of the held-out data, which may be None"""
    train, held = ("--data", options.data), ("--eval-data", options.eval_data)
    if options.dataset_name:
        train = "--dataset-name", Split(options.dataset_name, options.dataset_config, options.dataset_train_split)
    if options.dataset_test_split:
        held = "--dataset-test-split", Split(options.dataset_name, options.dataset_config, options.dataset_test_split)
    return train, held


def read_sources(options, tokenizer=None):
    """The training data and the held-out data        -> Sources

    tokenizer: of an existing model; default: Bytes for texts, TokenIds of --vocab-size or of the largest id for token
    ids
    """
    train, held = named_sources(options)
    reader = Reader(*train, columns(options), options.cache_dir)
    held_reader = held[1] and Reader(*held, columns(options), options.cache_dir)  # fails early if there is no such file
    data, tokenizer = reader.read(tokenizer, options.vocab_size)
    held_out = held_reader.read(tokenizer)[0] if held_reader else None
    digest = digest_of_rows(options, data, held_out) if options.dataset_name else None
    return Sources(data, held_out, tokenizer, digest)


def digest_of_rows(options, data, held):
    """The SHA-256 of a dataset's rows; InputError if they differ from those of the run that is resumed"""
    digest = hashlib.sha256()
    for array in chain.from_iterable(read.tokens[:7] for read in (data, held) if read):
        digest.update(f"{array.dtype} {len(array)} ".encode() + array.tobytes())
    if options.dataset_sha256 not in (None, digest.hexdigest()):
        raise InputError(
            f"--dataset-name {options.dataset_name}: has changed since the run began: put the old rows back, or train "
            "anew"
        )
    return digest.hexdigest()
