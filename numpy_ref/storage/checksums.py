"""SHA256SUMS: the SHA-256 of every file of a save, in the format of `sha256sum -c SHA256SUMS`.

safetensors has no checksum, so a flipped bit in a weight would go unnoticed. A model without SHA256SUMS is read
unchecked, because another program may have written it; a save that a run resumes from must have the file.
"""

import hashlib
import re

from ..errors import InputError
from ..files import write_text

SUMS = "SHA256SUMS"
UNLISTED = (SUMS, "README.md")  # the README is for people, who may edit it
BY_HAND = "reward.safetensors"  # weights that only torch_impl.backbone reads
MODEL = ("config.json", "model.safetensors")  # a list without these is damaged
LINE = re.compile(r"([0-9a-f]{64})  ([\w-][\w.-]{,254})", re.ASCII)  # no file has a longer name


def seal(directory):
    """Writes SHA256SUMS over all files of the directory except the README; the last step of a save"""
    names = sorted(path.name for path in directory.iterdir() if path.is_file() and path.name not in UNLISTED)
    lines = (f"{sha256(directory / name)}  {name}\n" for name in names)
    write_text(directory / SUMS, "".join(lines))


def verify(directory, needed=MODEL):
    """InputError if a file that SHA256SUMS lists has changed or is missing; without SHA256SUMS nothing is checked"""
    path = directory / SUMS
    if not path.is_file():
        return
    sums = dict(_lines(path))
    for name in needed:
        if name not in sums:
            raise InputError(f"{path}: does not list {name}: the checkpoint is damaged")
    for name, expected in sums.items():
        if not (directory / name).is_file():
            raise InputError(f"{directory / name}: is missing, but {SUMS} lists it: the checkpoint is not whole")
        if sha256(directory / name) != expected:
            raise InputError(
                f"{directory / name}: is not what was saved, its SHA-256 is not the one in {SUMS}: copy it again; "
                f"if it was changed on purpose, write {SUMS} anew with sha256sum"
            )


def _lines(path):
    """(name, checksum) of every line"""
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n")
        lines = text.split("\n") if text else []  # splitlines() also splits at nine other characters
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}): the checkpoint is damaged") from None
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        if not match:
            raise InputError(f"{path}, line {number}: is no checksum and name: the checkpoint is damaged")
        yield match[2], match[1]


def sha256(path):
    """The SHA-256 of a file, read piece by piece"""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
