"""One source of preferences, a file or a Split, as tokens: read from the cache where they are there, else anew."""

import os
from collections import Counter
from itertools import chain
from typing import Any, NamedTuple

from ..errors import InputError
from .cache import cached, directory_for, identity, key_of
from .preference import LARGEST_ID
from .reader import Ids, Split, each_with_format, unit
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
