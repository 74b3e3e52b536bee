"""One process writes into a run's directory: a lock which the kernel takes back however that process ends."""

import os
from contextlib import contextmanager

from ..errors import InputError

LOCK = ".lock"  # stays behind, empty: to remove it is to let two processes hold two files of one name


@contextmanager
def alone(run, writes=True):
    """Holds run/.lock, or InputError if another process does; a process that writes nothing (writes=False) needs none

    flock is bound to the open file, so a killed process leaves nothing to clean up. Windows has no flock: two runs in
    one directory are not noticed there. Nor are they where a file system has no locks, and that is said.
    """
    descriptor = _locked(run) if writes else None
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(run):
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(run / LOCK, os.O_RDWR | os.O_CREAT, 0o666)  # for writing: NFS asks for it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(
            f"{run}: another process is training in this directory (it holds {run / LOCK}): wait for its end or end it"
        ) from None
    except OSError as error:
        print(f"warning   {run}: no lock to be had ({error.strerror}): start no second run in this directory")
    return descriptor
