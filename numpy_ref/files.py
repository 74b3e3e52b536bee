"""Files: written whole or not at all, read line by line, one writer at a time.

What is written has a temporary name in the same directory, which nobody can guess, until it is whole and on the disk;
then it is renamed. So a reader finds the old content or the new, and an exception, Ctrl-C or SIGTERM leaves nothing.
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

MAX_LINE = 2**24  # bytes: no person compares thousands of pages, but a small gzip can unpack to a line without end
MAX_BLANK = 2**20  # lines of white space, of which a gzip can hold a billion in a megabyte
# What a gzip file may unpack to: rows are held in memory, and gzip makes a thousand bytes of one. Texts pack 3 to 10
# times smaller, the same row over and over 100 times and more; small files may do as they like.
MAX_UNPACKED, MAX_RATIO = MAX_LINE, 100
# Names of what a model or a data set consists of, ours or one from the hub; what a command wrote there has another.
KEPT = re.compile(r"\.(safetensors|bin|gguf|model|arrow|parquet|py|jinja)$|config|token|vocab|merges|dataset|state")
MAX_JSON = 2**28  # bytes: json.loads needs some ten times as much memory


# ---------------------------------------------------------------- writing


@contextmanager
def written_whole(path, mode="w") -> Iterator[Any]:
    """A file that gets its name once it is whole: "w" replaces an old one, "x" refuses it; "wb" and "xb" for bytes

    Text is UTF-8 with \\n, half a surrogate pair written as its JSON escape; a name that ends in .gz is packed; "-" is
    the standard output. An existing file keeps its permissions, a link stays and its target is replaced, a device or a
    pipe is written to directly. Raises InputError as check_output does, OSError where the disk takes no more.
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
    """Where to make a file or directory, which is named path once it is whole; an old one is refused, or replaced"""
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
    """An empty directory to write into, which is named path once it is whole; an old one is refused, or replaced"""
    with built(path, replace) as building:
        building.mkdir()
        yield building


@contextmanager
def written_into(directory, last=()) -> Iterator[Path]:
    """An empty directory, whose files another one gets once all are whole, those that `last` names at the end"""
    Path(directory).mkdir(parents=True, exist_ok=True)
    with _unfinished(_beside(Path(directory, "files"))) as building, _names(directory, building):
        building.mkdir()
        yield building
        _flush_all(building)
        for path in sorted(building.iterdir(), key=lambda path: last.index(path.name) if path.name in last else -1):
            os.replace(path, Path(directory, path.name))
    _flush(Path(directory))


def write_text(path, text):
    """A text as a whole file; "-" is the standard output"""
    with written_whole(path) as file:
        file.write(text)


def write_json(path, value):
    """JSON that people can read, as a whole file; "-" is the standard output"""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def check_output(path, new=False):
    """InputError if a file cannot be written there: to be called before an hour is spent on its content"""
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
    """InputError if an output would replace an input, a file in one, another output or a file of a saved model"""
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
    """Whether both name one file, which need not exist; a device or a pipe may be named twice"""
    if os.path.exists(path) and os.path.exists(other):
        return os.path.isfile(path) and os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)


def _is_inside(path, directory):
    """Whether the file is one of the directory's own, or what a link in it leads to, as in a cache of the hub"""
    if not (os.path.isfile(path) and os.path.isdir(directory)):
        return False
    folder, place = Path(os.path.realpath(directory)), Path(os.path.realpath(Path(path).parent), Path(path).name)
    own = [place] if folder in place.parents else []
    return any(KEPT.search(name.name) and name.is_file() and name.samefile(path) for name in [*own, *folder.iterdir()])


def _lists(sums, name):
    return name == sums.name or name in sums.read_text(encoding="utf-8", errors="replace").split()


def is_stream(path):
    """Whether a device or a pipe stands there, also behind a link such as /dev/stdout, whose target has no name"""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _named_as_new(building, target):
    """Renames, but not onto a file that came meanwhile: a link can be made only where there is nothing"""
    try:
        os.link(building, target)
    except FileExistsError:
        raise InputError(f"{target}: another process has written it meanwhile: choose another name") from None
    except OSError:  # a file system without hard links
        check_output(target, new=True)
        os.replace(building, target)


@contextmanager
def _layers(raw, packed, text):
    """What a caller writes to, above a binary file that stays open"""
    with ExitStack() as stack:
        file = stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0)) if packed else raw
        if text:
            file = io.TextIOWrapper(file, "utf-8", "backslashreplace", "\n")
            stack.callback(file.detach)  # flushes
        yield file


def _beside(path):
    """An unpredictable name in the same directory; of a long name the ends, for a name has at most 255 bytes"""
    return path.with_name(f".{_short(path.name)}.{secrets.token_hex(8)}.new")


def _short(name):
    return name if len(os.fsencode(name)) < 200 else name[:25] + name[-25:]


@contextmanager
def _names(path, building):
    """An OSError names the file that is meant, not its temporary name"""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(building)):
            error.filename, error.filename2 = str(path), None
        raise


def _flush(path):
    """To the disk, a directory's names where the system lets a directory be flushed"""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows asks for it
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_all(path):
    """A file, or a directory with all that is in it"""
    for each in [*path.rglob("*"), path]:
        _flush(each)


# ---------------------------------------------------------------- what an interrupted process leaves

UNFINISHED: dict[Path, int] = {}  # temporary names, and which process writes there


@contextmanager
def _unfinished(path):
    """Removes path at the end, if it still has that name; also where an exception or SIGTERM ends it"""
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
    """Removes what is unfinished, and ends as the signal would have ended the process"""
    for path in [path for path, process in UNFINISHED.items() if process == os.getpid()]:
        remove(path)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def remove(path):
    """A file, or a directory with all that is in it; what cannot be removed stays"""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_left(path):
    """Removes what killed writers of a file or directory left beside it; the caller must hold its lock"""
    for beside in path.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(_short(path.name))}\.[0-9a-f]{{16}}\.new", beside.name):
            remove(beside)


# ---------------------------------------------------------------- locks


@contextmanager
def lock(path, refusal="", wait=False) -> Iterator[bool]:
    """Holds the lock file `path`, which the system releases however the process ends; gives True

    If another process holds it: waits, or InputError that begins with `refusal`. Gives False if a file system has no
    locks.
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
    """Holds a lock beside path while it is made, which may take hours: a second writer is refused at its start"""
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
    """The content of a JSON file; anything damaged or missing is one sentence"""
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
    """(number from 1, its bytes) of each line that is not blank, of a plain or .gz file, never the whole file at once

    at is told now and then how many bytes of the file are read. InputError for anything that cannot be read to the end.
    """
    number = size = blank = 0
    with _opened(path, lambda: f"after line {number}") as (file, limit):
        while line := file.readline(MAX_LINE + 1):
            number, size, blank = number + 1, size + len(line), blank + line.isspace()
            if at and number % 256 == 0:
                at((getattr(file, "fileobj", None) or file).tell())  # of a gzip, in the packed file
            if len(line) > MAX_LINE or size > limit or blank > MAX_BLANK:
                raise InputError(f"{path}, line {number}: {_without_end(len(line), size, limit)}")
            if not line.isspace():
                yield number, line


def read_bytes(path) -> bytes:
    """The whole content of a plain or .gz file, with the same bound on what a .gz may unpack to"""
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
    """(a binary file, how many bytes it may have); InputError for what cannot be read, where() says how far it was"""
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
    """What is wrong with a file that would fill the memory or take for ever"""
    bound = "which keeps a bad file from filling the memory"
    if length > MAX_LINE:
        return f"the line is longer than {MAX_LINE} bytes (a bound {bound}): write one row a line"
    if size > limit:
        found = f"unpacks to more than {limit} bytes (a bound of {MAX_RATIO} times the file's size, {bound})"
        return f"{found}: if it is right, unpack it first"
    return f"more than {MAX_BLANK} blank lines: take them out"
