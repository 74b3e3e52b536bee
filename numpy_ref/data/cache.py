"""Keeps the tokens of a large file on disk: the first start writes them, later starts map them into memory.

    ~/.cache/reward-by-hand/1f0c.../ids  start  length ...     the arrays
                                    tokens.json                the size of each array's file; written last
                            1f0c....lock                       held by the process that writes; others wait
                            sha256-77aa....json                a file's size, times and SHA-256

The directory's name is a digest of the file's content and of everything else that decides its tokens, including the
code that reads it. So an entry is never stale, and any entry may be deleted at any time. An entry is written under a
temporary name and renamed, so it is whole or absent. One that was damaged later is detected and written again.
"""

import hashlib
import json
import mmap
import os
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import lock, read_json, remove_left, write_json, written_directory
from .tokenizer import Bytes, TokenIds, Words
from .tokens import COLUMNS, Tokens, id_type

LARGE, LARGE_PACKED = 2**25, 2**22  # bytes: larger files are cached; .gz and .parquet unpack to about eight times
READS = 4096  # reads before memory is released; a read maps up to 64 KB, so at most 256 MB are held
# The modules whose code decides which tokens a file becomes; a test compares the list with the imports of `reader`.
MAKE_TOKENS = ("preference", "reader", "row", "ranked", "conversation", "parquet", "whole_files", "tokenizer", "tokens")
RECENT = 2 * 10**9  # ns: a file changed again within the clock's tick would look the same


def default_directory():
    """~/.cache/reward-by-hand, or where XDG_CACHE_HOME says"""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reward-by-hand"


def directory_for(path, cache_dir=None):
    """The cache directory for a file's tokens, or None if the file is small and its tokens stay in memory"""
    if cache_dir is not None:
        return Path(cache_dir)
    try:
        large = os.stat(path).st_size >= (LARGE_PACKED if Path(path).suffix in (".gz", ".parquet") else LARGE)
    except OSError:  # the reader reports it
        return None
    return default_directory() if large else None


def fingerprint(path, cache_dir=None):
    """The SHA-256 of a file; that of a large file is remembered while its size, times and inode stay the same"""
    directory, before = directory_for(path, cache_dir), identity(path)
    memo = directory and directory / f"sha256-{_digest(str(Path(path).resolve()))}.json"
    known = _read_json(memo) if memo else None
    if isinstance(known, dict) and before and known.get("identity") == before:
        return known["sha256"]
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if memo and before and before == identity(path) and time.time_ns() - max(before[1:3]) > RECENT:
        with suppress(OSError):  # remembering only saves time
            directory.mkdir(parents=True, exist_ok=True)
            write_json(memo, {"identity": before, "sha256": sha256})
    return sha256


def identity(path):
    """[size, mtime, ctime, inode], at least one of which changes with the content; None if there is no file

    Tools that restore a file can set mtime (last change of the content) back to an old date, but not ctime (last change
    of the inode).
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def key_of(path, tokenizer, columns=None, cache_dir=None):
    """A digest of everything that decides the tokens; None for a tokenizer without a fingerprint"""
    if isinstance(tokenizer, (Bytes, Words, TokenIds)):
        own = repr(TokenIds(0) if isinstance(tokenizer, TokenIds) else tokenizer)  # ids are the same in any vocabulary
    elif not (own := getattr(tokenizer, "fingerprint", "")):
        return None
    names = sorted((columns or {}).items())
    return _digest(fingerprint(path, cache_dir), Path(path).suffix, own, names, _code())[:32]


def _code():
    """A digest of the code that turns a file into tokens"""
    here = Path(__file__).parent
    return _digest(*((here / f"{module}.py").read_text(encoding="utf-8") for module in MAKE_TOKENS))


def _digest(*parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def cached(directory, key, tokenizer, write):
    """(Tokens, whether they were just written); write(files) appends to binary files by name, as write_tokens does"""
    place = directory / key
    if tokens := opened(place):
        return tokens, False
    with _writing(directory), lock(directory / f"{key}.lock", wait=True) as alone:
        if tokens := opened(place):  # another process wrote it while this one waited
            return tokens, False
        if alone:
            remove_left(place)
        _write(place, id_type(tokenizer), write)
        tokens = opened(place)
    if tokens is None:
        raise InputError(f"{place}: does not hold what was just written: give another --cache-dir")
    return tokens, True


def opened(place):
    """The Tokens of a cache entry, mapped into memory; None if they are missing or not whole"""
    about = _read_json(place / "tokens.json")
    try:
        for name in ("ids", *COLUMNS):
            if (place / name).stat().st_size != about["bytes"][name]:
                return None
        ids = Mapped(place / "ids", about["ids"])
        arrays = [np.asarray(np.memmap(place / name, dtype, "r")) for name, dtype in COLUMNS.items()]
        return Tokens._make([ids, *arrays, Counter(about["formats"]), about["largest"]])
    except (OSError, KeyError, TypeError, ValueError):
        return None


class Mapped:
    """An array in a file, read slice by slice; after every READS slices the memory pages that were read are released

    Otherwise they would count as this process's memory. The system still caches them, so reading them again is fast.
    """

    def __init__(self, path, dtype):
        with open(path, "rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.array, self.reads = np.frombuffer(self.map, dtype), 0

    def __getitem__(self, part):
        self.reads += 1
        if self.reads % READS == 0 and hasattr(mmap, "MADV_DONTNEED"):
            self.map.madvise(mmap.MADV_DONTNEED)
        return self.array[part]


class _Overtaken(Exception):
    """Another process wrote the entry first, on a file system without locks"""


def _write(place, ids, write):
    """Writes a new entry, also in place of a damaged one"""
    with suppress(_Overtaken), written_directory(place, replace=True) as building:
        with ExitStack() as stack:
            files = {name: stack.enter_context(open(building / name, "wb")) for name in ("ids", *COLUMNS)}
            formats, largest = write(files)
        sizes = {name: (building / name).stat().st_size for name in files}
        write_json(building / "tokens.json", {"ids": ids, "bytes": sizes, "formats": formats, "largest": largest})
        if opened(place):
            raise _Overtaken


def _read_json(path):
    try:
        return read_json(path)
    except InputError:
        return None


@contextmanager
def _writing(directory):
    """Makes the cache directory; InputError if it cannot be written"""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"--cache-dir {directory}: the tokens cannot be kept there ({error.strerror}): make room, or give another "
            "directory that you may write, with some four bytes for each byte of the data"
        ) from None
