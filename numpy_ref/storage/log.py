"""metrics.jsonl, the log of a run. Each save holds a checksum of the lines before it."""

import hashlib
import json

from ..errors import InputError
from ..files import written_whole

LOG = "metrics.jsonl"


def append(run, line):
    """Appends one line; a kill may cut it off, and the next resume then removes it"""
    with open(run / LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def summary(run):
    """The size and SHA-256 of what is logged so far, for state.json"""
    content = _content(run)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def check(run, logged):
    """InputError unless the log still begins with the lines that it had when the save was made"""
    content = _content(run)[: logged["bytes"]]
    if len(content) != logged["bytes"] or hashlib.sha256(content).hexdigest() != logged["sha256"]:
        found = "begins otherwise than" if (run / LOG).is_file() else "is gone, but not"
        raise InputError(f"{run / LOG}: {found} when the save was made: put the old file back, or train anew")


def cut_back(run, step, logged):
    """Drops the lines logged after the save; saves of version 0.1.0 have no summary, so their steps decide"""
    content = _content(run)
    if logged:
        kept = content[: logged["bytes"]]
    else:
        lines = content.decode("utf-8", "replace").splitlines()
        kept = "".join(f"{line}\n" for line in lines if _step_of(line) <= step).encode()
    if kept != content:
        with written_whole(run / LOG, "wb") as file:
            file.write(kept)


def _content(run):
    return (run / LOG).read_bytes() if (run / LOG).is_file() else b""


def _step_of(line):
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):  # a line that the kill cut off, or that we did not write
        return float("inf")
    return step if type(step) is int else float("inf")
