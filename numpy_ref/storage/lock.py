"""A lock on a run's directory, which the system releases however the process ends."""

from contextlib import contextmanager

from ..files import lock, remove

LOCK = ".lock"  # stays in the directory, empty


@contextmanager
def alone(run, writes=True):
    """Holds run/.lock and removes unfinished files of a killed process; InputError if another process holds the lock

    A process with writes=False needs no lock. A file system without locks gives a warning.
    """
    if not writes:
        yield
        return
    with lock(run / LOCK, f"{run}: another process is training in this directory") as held:
        if held:
            for left in run.glob(".*.new"):
                remove(left)
        else:
            print(f"warning   {run}: this file system has no locks: start no second run in this directory")
        yield
