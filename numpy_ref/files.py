"""Files: written whole or not at all, read line by line, one writer at a time.

A file is written under a random temporary name in the same directory and renamed when it is complete and on the disk.
So a reader finds the old content or the new, and an exception, Ctrl-C or SIGTERM leaves nothing behind.
"""

import errno
import gzip
import io
import json
import os
import re
import secrets
import shutil
import signal
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import InputError

MAX_LINE = 2**24  # bytes: no person compares thousands of pages, but a small gzip can unpack to an endless line
MAX_BLANK = 2**20  # blank lines; a gzip of one megabyte can hold a billion
# A gzip file may unpack to MAX_RATIO times its size, because rows are held in memory and one packed byte can become a
# thousand. Texts pack 3 to 10 times smaller, and only the same row over and over packs 100 times and more. Files that
# unpack to at most MAX_UNPACKED bytes are not limited.
MAX_UNPACKED, MAX_RATIO = MAX_LINE, 100
# Matches the file names of a model or a data set, ours or one from the hub, but not those of a command's results.
KEPT = re.compile(r"\.(safetensors|bin|gguf|model|arrow|parquet|py|jinja)$|config|token|vocab|merges|dataset|state")
MAX_JSON = 2**28  # bytes: json.loads needs some ten times as much memory


# ---------------------------------------------------------------- writing


@contextmanager
def written_whole(path, mode="w") -> Iterator[Any]:
    """Opens a file for writing that gets its name when it is complete

    mode  "w" replaces an old file, "x" refuses it; "wb" and "xb" are for bytes
    Text is UTF-8 with \\n; half of a surrogate pair is written as its JSON escape. A name that ends in .gz is packed.
    "-" is the standard output. An existing file keeps its permissions. A link stays, and its target is replaced. A
    device or a pipe is written to directly. Raises InputError as check_output does, and OSError if the disk is full.
    """
    text, new = "b" not in mode, "x" in mode
    if str(path) == "-":
        yield sys.stdout if text else sys.stdout.buffer
        return
    check_output(path, new)
    packed, target = Path(path).suffix.lower() == ".gz", Path(os.path.realpath(path))
    if is_stream(path):
        with _names(path, path), open(path, "wb") as raw, _layers(raw, packed, text) as file:
            yield file
        return
    with _unfinished(_beside(target)) as building, _names(path, building):
        with open(building, "xb") as raw:
            if target.exists():
                shutil.copymode(target, building)
            with _layers(raw, packed, text) as file:
                yield file
            raw.flush()
            os.fsync(raw.fileno())
        _named_as_new(building, target) if new else os.replace(building, target)
    _flush(target.parent)


@contextmanager
def built(path, replace=False) -> Iterator[Path]:
    """Gives a temporary name for a file or directory and renames it to `path` when it is complete

    replace  whether an old file or directory of that name is replaced, or refused with InputError
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(_beside(path)) as building, _names(path, building):
        yield building
        _flush_all(building)
        if replace:
            remove(path)
        elif os.path.lexists(path):
            raise InputError(f"{path}: exists already: choose another name, or take the old one away")
        os.rename(building, path)
    _flush(path.parent)


@contextmanager
def written_directory(path, replace=False) -> Iterator[Path]:
    """Gives an empty temporary directory and renames it to `path` when it is complete; replace as in `built`"""
    with built(path, replace) as building:
        building.mkdir()
        yield building


@contextmanager
def written_into(directory, last=()) -> Iterator[Path]:
    """Gives an empty temporary directory and moves its files into `directory` when all of them are complete

    The files named in `last` are moved at the end, in this order.
    """
    Path(directory).mkdir(parents=True, exist_ok=True)
    with _unfinished(_beside(Path(directory, "files"))) as building, _names(directory, building):
        building.mkdir()
        yield building
        _flush_all(building)
        for path in sorted(building.iterdir(), key=lambda path: last.index(path.name) if path.name in last else -1):
            os.replace(path, Path(directory, path.name))
    _flush(Path(directory))


def write_text(path, text):
    """Writes a text to a file, whole or not at all; "-" is the standard output"""
    with written_whole(path) as file:
        file.write(text)


def write_json(path, value):
    """Writes indented JSON to a file, whole or not at all; "-" is the standard output"""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def check_output(path, new=False):
    """InputError if a file cannot be written there; commands call it before they spend an hour on the content"""
    path = Path(path)
    if str(path) == "-" or (is_stream(path) and os.access(path, os.W_OK)):
        return
    if new and os.path.lexists(path):
        raise InputError(f"{path}: exists already: choose another name, or take the old file away")
    parent = Path(os.path.realpath(path)).parent
    if not parent.is_dir():
        raise InputError(f"{path}: there is no directory {parent if path.is_symlink() else path.parent}: make it first")
    if path.is_dir():
        raise InputError(f"{path}: is a directory: give the name of a file in it")
    if not os.access(path if path.exists() else parent, os.W_OK):
        raise InputError(f"{path}: may not be written: choose another place, or change its permissions")


def check_only_written(outputs, inputs):
    """InputError if an output would replace an input, a file of an input, another output or a file of a saved model"""
    others = [path for path in inputs if str(path) != "-"]
    for path in (path for path in outputs if str(path) != "-"):
        for other in others:
            if _same_file(path, other):
                raise InputError(f"{path}: is the same file as {other}, which this command uses too: give another name")
            if _is_inside(path, other):
                raise InputError(f"{path}: is a file of {other}, which this command reads: give another name")
        sums = Path(os.path.realpath(path)).with_name("SHA256SUMS")
        if sums.is_file() and Path(path).exists() and _lists(sums, os.path.basename(os.path.realpath(path))):
            raise InputError(f"{path}: belongs to the saved model beside {sums.name}: give another name")
        others.append(path)


def _same_file(path, other):
    """Whether both paths name the same file, which need not exist; a device or a pipe may be named twice"""
    if os.path.exists(path) and os.path.exists(other):
        return os.path.isfile(path) and os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)


def _is_inside(path, directory):
    """Whether the path is a file of the model or data set in the directory, or the target of a link there"""
    if not (os.path.isfile(path) and os.path.isdir(directory)):
        return False
    folder, place = Path(os.path.realpath(directory)), Path(os.path.realpath(Path(path).parent), Path(path).name)
    own = [place] if folder in place.parents else []
    return any(KEPT.search(name.name) and name.is_file() and name.samefile(path) for name in [*own, *folder.iterdir()])


def _lists(sums, name):
    return name == sums.name or name in sums.read_text(encoding="utf-8", errors="replace").split()


def is_stream(path):
    """Whether the path is a device or a pipe, also through a link such as /dev/stdout, whose target has no name"""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _named_as_new(building, target):
    """Renames, but never over a file that another process has made meanwhile: os.link fails if the name exists"""
    try:
        os.link(building, target)
    except FileExistsError:
        raise InputError(f"{target}: another process has written it meanwhile: choose another name") from None
    except OSError:  # a file system without hard links
        check_output(target, new=True)
        os.replace(building, target)


@contextmanager
def _layers(raw, packed, text):
    """Puts gzip and text layers on a binary file, which stays open afterwards"""
    with ExitStack() as stack:
        file = stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0)) if packed else raw
        if text:
            file = io.TextIOWrapper(file, "utf-8", "backslashreplace", "\n")
            stack.callback(file.detach)  # flushes
        yield file


def _beside(path):
    """A random temporary name in the same directory; a long name is shortened, because names have at most 255 bytes"""
    return path.with_name(f".{_short(path.name)}.{secrets.token_hex(8)}.new")


def _short(name):
    return name if len(os.fsencode(name)) < 200 else name[:25] + name[-25:]


@contextmanager
def _names(path, building):
    """Makes an OSError name `path`, not the temporary name `building`"""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(building)):
            error.filename, error.filename2 = str(path), None
        raise


def _flush(path):
    """Flushes a file to the disk; for a directory, the list of its names, if the system allows it"""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows needs O_RDWR
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_all(path):
    """Flushes a file, or a directory and everything in it"""
    for each in [*path.rglob("*"), path]:
        _flush(each)


# ---------------------------------------------------------------- what an interrupted process leaves

UNFINISHED: dict[Path, int] = {}  # {temporary name: the process that writes it}


@contextmanager
def _unfinished(path):
    """Removes the path at the end if it still exists, also after an exception or SIGTERM"""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    try:
        UNFINISHED[path] = os.getpid()
        if ours:
            signal.signal(signal.SIGTERM, _terminated)
        yield path
    finally:
        remove(path)
        UNFINISHED.pop(path, None)
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminated(number, _frame):
    """Removes the unfinished files of this process, then lets the signal end it"""
    for path in [path for path, process in UNFINISHED.items() if process == os.getpid()]:
        remove(path)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def remove(path):
    """Removes a file, or a directory and everything in it; errors are ignored"""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_left(path):
    """Removes the temporary files that killed writers of `path` left beside it; the caller must hold its lock"""
    for beside in path.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(_short(path.name))}\.[0-9a-f]{{16}}\.new", beside.name):
            remove(beside)


# ---------------------------------------------------------------- locks


@contextmanager
def lock(path, refusal="", wait=False) -> Iterator[bool]:
    """Locks the file `path` and gives True; the system releases the lock however the process ends

    If another process holds the lock, waits, or raises an InputError that begins with `refusal`. Gives False if the
    file system has no locks.
    """
    from filelock import FileLock, Timeout

    held = FileLock(path, timeout=-1 if wait else 0)
    try:
        held.acquire()
    except Timeout:
        raise InputError(f"{refusal} (it holds {path}): wait for its end or end it") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        yield False
        return
    try:
        yield True
    finally:
        held.release()


@contextmanager
def claimed(path):
    """Holds a lock beside the path while it is made, which may take hours; a second writer is refused at its start"""
    path = Path(path)
    if str(path) == "-" or not path.parent.is_dir():
        yield
        return
    held = path.with_name(f".{_short(path.name)}.lock")
    with lock(held, f"{path}: another process is writing it") as alone, _unfinished(held):  # removed while it is held
        if alone:
            remove_left(path)
        yield


# ---------------------------------------------------------------- reading


def check_input(path):
    """InputError for a pipe or a device, which cannot be read twice or has no end; a missing file passes"""
    if is_stream(path):
        raise InputError(f"{path}: is a pipe or a device: write what it gives to a file, and name that")


def read_json(path, of="the checkpoint"):
    """The content of a JSON file; InputError if it is damaged or missing"""
    path = Path(path)
    check_input(path)
    try:
        if path.stat().st_size > MAX_JSON:
            raise InputError(f"{path}: larger than {MAX_JSON} bytes: {of} is damaged")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file: {of} is not whole") from None
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable JSON ({error}): {of} is damaged") from None


def lines(path, at=None) -> Iterator[tuple[int, bytes]]:
    """Yields (number from 1, bytes) of each line of a plain or .gz file that is not blank; never reads it all at once

    at: is called now and then with the number of bytes read so far. InputError if the file cannot be read to its end.
    """
    number = size = blank = 0
    with _opened(path, lambda: f"after line {number}") as (file, limit):
        while line := file.readline(MAX_LINE + 1):
            number, size, blank = number + 1, size + len(line), blank + line.isspace()
            if at and number % 256 == 0:
                at((getattr(file, "fileobj", None) or file).tell())  # for a gzip, the place in the packed file
            if len(line) > MAX_LINE or size > limit or blank > MAX_BLANK:
                raise InputError(f"{path}, line {number}: {_without_end(len(line), size, limit)}")
            if not line.isspace():
                yield number, line


def read_bytes(path) -> bytes:
    """The whole content of a plain or .gz file, with the same limit on the unpacked size of a .gz"""
    with _opened(path, lambda: "in the middle") as (file, limit):
        content = file.read() if limit == float("inf") else file.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{path}: {_without_end(0, len(content), limit)}")
    return content


def first_bytes(path, n=4096) -> bytes:
    """The beginning of a plain or .gz file"""
    with _opened(path, lambda: "at its beginning") as (file, _):
        return file.read(n)


@contextmanager
def _opened(path, where):
    """Yields (a binary file, the most bytes it may hold); an InputError says with where() how far it could be read"""
    check_input(path)
    packed = Path(path).suffix.lower() == ".gz"
    try:
        limit = max(MAX_UNPACKED, MAX_RATIO * os.path.getsize(path)) if packed else float("inf")
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            yield file, limit
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file: check the name") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a directory: name a file in it") from None
    except EOFError:
        raise InputError(f"{path}: the gzip data end early, {where()}: copy or download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}: damaged gzip data {where()} ({error}): copy it again, or drop .gz if it is plain text"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give a file that you may read") from None


def _without_end(length, size, limit):
    """The message about a file that would fill the memory or take for ever to read"""
    bound = "which keeps a bad file from filling the memory"
    if length > MAX_LINE:
        return f"the line is longer than {MAX_LINE} bytes (a bound {bound}): write one row a line"
    if size > limit:
        found = f"unpacks to more than {limit} bytes (a bound of {MAX_RATIO} times the file's size, {bound})"
        return f"{found}: if it is right, unpack it first"
    return f"more than {MAX_BLANK} blank lines: take them out"
