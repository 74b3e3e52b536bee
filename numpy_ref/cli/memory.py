"""How much memory is free: checked before large arrays are made, so that the user gets a message and not a kill."""

from pathlib import Path

from ..errors import InputError

MEMINFO, GROUP, GROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def check(needed, what, remedy):
    """InputError if `what` needs more bytes than are free"""
    available = free()
    if needed > available:
        raise InputError(f"{what} needs {shown(needed)} of memory, and {shown(available)} are free: {remedy}")


def free():
    """Bytes that this process can still allocate: the smaller of free memory and the rest of its control group's limit

    Infinite if the system does not report it.
    """
    return min([_available(), *_left_in_groups()])


def _available():
    for line in _text(MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return float("inf")


def _left_in_groups():
    """Limit minus use of this process's control group and of each group above it, in version 1 and in version 2"""
    for line in _text(GROUP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = GROUPS / controllers
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        place = root / path.lstrip("/")
        for group in [place, *place.parents]:
            limit, used = (_text(group / name).strip() for name in names)
            if limit.isdigit() and used.isdigit():
                yield max(0, int(limit) - int(used))
            if group == root:
                break


def _text(path):
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def shown(size):
    """A number of bytes for people, such as 4.7 GB"""
    return f"{size / 1e9:,.1f} GB" if size < 10**18 else "more than a billion GB"
