"""metrics.jsonl: what a run logged, one line after the other. A save vouches for the lines before it."""

import hashlib
import json

from ..errors import InputError
from ..files import written_whole

LOG = "metrics.jsonl"


def append(run, line):
    """One line more; a kill may cut it off, which the next resume takes away"""
    with open(run / LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def summary(run):
    """The size and SHA-256 of what is logged so far, for state.json"""
    content = _content(run)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def check(run, logged):
    """InputError unless the log begins with what the save vouches for"""
    content = _content(run)[: logged["bytes"]]
    if len(content) != logged["bytes"] or hashlib.sha256(content).hexdigest() != logged["sha256"]:
        found = "begins otherwise than" if (run / LOG).is_file() else "is gone, but not"
        raise InputError(f"{run / LOG}: {found} when the save was made: put the old file back, or train anew")


def cut_back(run, step, logged):
    """Drops what was logged after the save; version 0.1.0 wrote no summary, so there the steps decide"""
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
    except (ValueError, KeyError, TypeError, RecursionError):  # a line that the kill cut off, or that is none of ours
        return float("inf")
    return step if type(step) is int else float("inf")
