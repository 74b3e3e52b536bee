"""One process writes into a run's directory: a lock that the system takes back however that process ends."""

from contextlib import contextmanager

from ..files import lock, remove

LOCK = ".lock"  # stays in the directory, empty


@contextmanager
def alone(run, writes=True):
    """Holds run/.lock and removes what a killed process left half written; InputError if another process holds it

    A process that writes nothing (writes=False) needs no lock. Where a file system has none, that is said.
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
