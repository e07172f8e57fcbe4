"""What the child process gives up before it runs a program. Standard library only.

Each barrier is the kernel's where there is one (namespaces, another user, Landlock, resource
limits), and an audit hook of the interpreter stands behind them. Missing barriers are named, so
that the caller can say what holds: nothing here pretends.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

NEW_USER, NEW_NET, NEW_PID, NEW_IPC = 0x10000000, 0x40000000, 0x20000000, 0x08000000
NO_NEW_PRIVILEGES, PARENT_DEATH_SIGNAL = 38, 1
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ = 0b1101
"""Landlock rights: execute, read files, read folders."""
FILE_READ, FILE_ALL = 0b0101, 0b0111
RIGHTS_BY_VERSION = ((5, 15), (3, 14), (2, 13), (1, 12))
"""From which version of Landlock on which right, by its bit, is the last one there is."""

READABLE = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
PRELOADED = """
abc array ast base64 binascii bisect calendar cmath collections collections.abc contextlib copy csv
dataclasses datetime _strptime decimal difflib enum fractions functools hashlib heapq html io
itertools json keyword locale math numbers operator pprint queue random re shutil signal socket
statistics string struct subprocess tempfile textwrap threading time timeit traceback types typing
unicodedata urllib.parse uuid warnings weakref zlib
"""
"""What programs of this kind import."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def isolate(announce: Callable[[int], None]) -> list[str]:
    """Leave the network and the processes of others; names what could not be left.

    Forks: the first process says the second's number through ``announce``, waits for it and
    passes on how it ended; only the second returns.
    """
    if sys.platform != "linux":
        return ["network", "processes"]
    libc, uid, gid = _libc(), os.getuid(), os.getgid()
    user = 0 if uid == 0 else NEW_USER
    missing: list[str] = []
    if libc.unshare(user | NEW_NET | NEW_PID | NEW_IPC) == 0:
        if user:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    else:
        missing = ["network", "processes"]
    told, tell = os.pipe()
    child = os.fork()
    if child:
        announce(child)
        os.write(tell, b"!")
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    os.read(told, 1)  # nothing of the program runs before its process can be named
    os.close(told)
    os.close(tell)
    _die_with_parent(libc)
    return missing


def _die_with_parent(libc: ctypes.CDLL) -> None:
    libc.prctl(PARENT_DEATH_SIGNAL, 9, 0, 0, 0)


def limit(seconds: float, memory: int, file_bytes: int, processes: int) -> list[str]:
    """Limits of this process and its children; ``memory`` and files in bytes."""
    missing: list[str] = []
    for name, what, most in (
        ("time", resource.RLIMIT_CPU, int(seconds) + 1),
        ("files", resource.RLIMIT_FSIZE, file_bytes),
        ("files", resource.RLIMIT_NOFILE, 64),
        ("files", resource.RLIMIT_CORE, 0),
        ("processes", resource.RLIMIT_NPROC, processes),
        ("memory", resource.RLIMIT_AS, memory),
    ):
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError):  # macOS knows no limit of memory
            missing.append(name)
    return missing


def drop_privileges(folder: str, user: int) -> list[str]:
    """Become ``user``, who owns nothing but ``folder``, where this process is root's.

    A user's processes are counted over the whole machine, so each child needs one of its own.
    """
    if os.getuid() != 0:
        return []
    if not _reachable(sys.base_prefix):
        # The interpreter lies in a folder of root's alone: what it may need must be there before.
        for name in PRELOADED.split():
            import_module(name)
    try:
        os.chown(folder, user, user)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    except OSError:
        return ["user"]
    if sys.platform == "linux":
        _die_with_parent(_libc())  # the kernel forgets it when the user changes
    return []


def _reachable(path: str) -> bool:
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (Path(path), *Path(path).parents))


def restrict_files(folder: str) -> list[str]:
    """Allow writing in ``folder`` alone, and reading there and in the interpreter's folders."""
    if sys.platform != "linux":
        return ["files"]
    libc = _libc()
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    version = libc.syscall(LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return ["files"]
    last = next(bit for known, bit in RIGHTS_BY_VERSION if version >= known)
    everything = (1 << (last + 1)) - 1
    handled = ctypes.c_uint64(everything)
    rules = libc.syscall(LANDLOCK_CREATE, ctypes.byref(handled), 8, 0)
    if rules < 0:
        return ["files"]
    _allow(libc, rules, (folder,), everything, everything)
    _allow(libc, rules, (*READABLE, sys.base_prefix, sys.prefix), READ, FILE_READ)
    _allow(libc, rules, DEVICES, FILE_ALL, FILE_ALL)
    return [] if libc.syscall(LANDLOCK_RESTRICT, rules, 0) == 0 else ["files"]


def _allow(libc: ctypes.CDLL, rules: int, paths: Sequence[str], folders: int, files: int) -> None:
    for path in paths:
        try:
            opened = os.open(path, getattr(os, "O_PATH", 0))
        except OSError:
            continue
        rights = folders if os.path.isdir(path) else files  # noqa: PTH112
        libc.syscall(LANDLOCK_ADD, rules, 1, struct.pack("=Qi", rights, opened), 0)
        os.close(opened)


def audit(folder: str) -> Callable[[str, tuple[object, ...]], None]:
    """A hook that refuses sockets, and files opened for writing outside ``folder``."""
    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    moves = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link"}
    moves |= {"os.symlink", "os.chmod", "os.chown", "shutil.rmtree", "shutil.move"}

    def inside(path: object) -> bool:
        if not isinstance(path, str | bytes):
            return True
        real = os.path.realpath(os.fsdecode(path))
        return real == folder or real.startswith(folder + os.sep) or real in DEVICES

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith("socket."):
            raise PermissionError("sockets are not allowed here")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & changing:
            if not inside(arguments[0]):
                raise PermissionError("writing is allowed in the own folder alone")
        elif event in moves and not all(inside(path) for path in arguments[:2]):
            raise PermissionError("changes are allowed in the own folder alone")

    return hook
