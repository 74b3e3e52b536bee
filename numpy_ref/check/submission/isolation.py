"""Isolates the submission's process: it cannot exceed its memory, reach the network or change files outside its folder.

Only Linux has these limits. Elsewhere the process is separate and its folder private, but nothing more.
"""

import ctypes
import os
import signal
import sys

NEW_USER, NEW_NET, NEW_MOUNT, NEW_PID = 0x10000000, 0x40000000, 0x00020000, 0x20000000  # <linux/sched.h>
READ_ONLY, REMOUNT, BIND, PRIVATE = 1, 32, 4096, 16384 | 1 << 18  # <linux/mount.h>
KEPT = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
SYSTEM = b"/proc", b"/sys", b"/dev"  # they hold no user's files and stay as they are


def limit_memory(size):
    """Limits memory to `size` bytes above what is in use now, if the system has such a limit (Linux)"""
    try:
        import resource

        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + size, used + size))
    except (ImportError, OSError, ValueError):
        pass


def step_aside():
    """Continues in a child while this process only waits: a submission that kills its parent kills no other process"""
    if not hasattr(os, "fork") or (child := os.fork()) == 0:
        return
    for descriptor in (0, 1):
        os.close(descriptor)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    # process 1 of a namespace cannot end by a signal: it exits with 128 + signal, as a shell does
    os._exit(code if code >= 0 else 128 - code)


def own_pid():
    """The process's id as the rest of the system sees it"""
    try:
        return int(os.readlink("/proc/self"))
    except (OSError, ValueError):
        return os.getpid()


def close_doors(folder):
    """No network, no signals to other processes, no change of files outside `folder`; False if that is not possible"""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | NEW_NET | NEW_MOUNT | NEW_PID) != 0:
        return False
    try:
        for file, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{file}", "w") as out:
                out.write(line)
    except OSError:
        return False
    own = os.fsencode(folder)
    if libc.mount(None, b"/", None, PRIVATE, None) or libc.mount(own, own, None, BIND, None):
        return False
    for point, flags in _mounts():
        if point != own and not point.startswith(SYSTEM):
            libc.mount(None, point, None, REMOUNT | BIND | READ_ONLY | flags, None)
    os.chdir(folder)
    return not os.access("/", os.W_OK) or os.getuid() != 0


def _mounts():
    """[(mount point, the flags that a remount must keep)], the last mounted first"""
    with open("/proc/self/mountinfo", "rb") as file:
        fields = [line.split() for line in file]
    for field in reversed(fields):
        flags = sum(KEPT.get(word, 0) for word in field[5].decode().split(","))
        yield field[4].decode("unicode_escape").encode("latin-1"), flags
