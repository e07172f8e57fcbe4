"""Programs written by a model, run one at a time in a child process with little in its reach.

The child has an emptied environment, a temporary folder of its own, no network, limits of time,
memory, output, file size and processes, and another user where we are root. This keeps careless
and most malicious programs from doing harm; it is no virtual machine. Run models that you do not
trust on a machine that you can throw away.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["passed", "failed", "timeout", "output", "unstarted"]

START_SECONDS = 60.0
"""The most that starting the interpreter may take, which is not the program's fault."""

FIRST_USER, USERS = 60100, 4096
"""Numbers of users that no system gives to anybody; a program is one of them where we are root."""

PIECE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use: wall seconds, bytes of memory, output and each file, processes."""

    seconds: float = 3.0
    memory: int = 1 << 29
    output: int = 1 << 20
    file_bytes: int = 10_000_000
    processes: int = 8


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a program ended. ``missing`` names barriers that this machine does not have."""

    status: Status
    detail: str = ""
    missing: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it ran to its end without an exception."""
        return self.status == "passed"


def run_program(program: str, limits: Limits = Limits(), *, hook: bool = True) -> Outcome:
    """Run ``program``, Python source, to its end or to a limit.

    ``hook`` also puts the interpreter's own barriers up, behind the kernel's. Never raises for
    what the program does.
    """
    with tempfile.TemporaryDirectory(prefix="harness-code-", ignore_cleanup_errors=True) as made:
        folder = os.path.realpath(made)
        source = Path(folder) / "program.py"
        source.write_text(program, encoding="utf-8", errors="backslashreplace")
        reading, writing = os.pipe()
        token = secrets.token_hex(16)
        settings = _settings(folder, writing, token, limits, hook)
        script = str(Path(__file__).parent / "child.py")
        try:
            child = subprocess.Popen(
                # -I and -S: no environment variables, no site packages, nothing of the folder.
                [sys.executable, "-I", "-S", "-B", script, str(settings)],
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writing, settings),
                start_new_session=True,
            )
        finally:
            os.close(writing)
            os.close(settings)
        try:
            return _Watch(child, reading, token, limits).outcome()
        finally:
            os.close(reading)


def prove(program: str, limits: Limits = Limits()) -> Outcome:
    """Run ``program``, and one that passes once more with a last line that fails.

    What passes then, too, did not come to its end either time: it speaks for itself, and has
    failed. A program shares its interpreter with what reports on it, so it can find out how.
    """
    outcome = run_program(program, limits)
    if not outcome.passed:
        return outcome
    nonce = secrets.token_hex(8)
    again = run_program(f"{program}\nraise AssertionError({nonce!r})\n", limits)
    if not again.passed:
        return outcome
    said = "it says that it passed, also where its last line fails"
    return replace(outcome, status="failed", detail=said)


def _settings(folder: str, result: int, token: str, limits: Limits, hook: bool) -> int:
    """A pipe that holds what the child is to know; on no command line, where a program reads it."""
    settings = {
        "package": str(Path(__file__).parent),
        "folder": folder,
        "result": result,
        "token": token,
        "hook": hook,
        "user": FIRST_USER + int(token, 16) % USERS,
        "limits": [limits.seconds, limits.memory, limits.file_bytes, limits.processes],
    }
    reading, writing = os.pipe()
    os.write(writing, json.dumps(settings).encode())
    os.close(writing)
    return reading


class _Watch:
    """Reads what the child says until it ends or goes too far, then ends all of it."""

    def __init__(
        self, child: subprocess.Popen[bytes], result: int, token: str, limits: Limits
    ) -> None:
        self.child, self.result, self.token, self.limits = child, result, token, limits
        self.said, self.written = b"", 0
        self.heard: dict[str, object] = {}
        self.deadline = time.monotonic() + START_SECONDS

    def outcome(self) -> Outcome:
        """Wait for the end, and say how it came."""
        assert self.child.stdout is not None
        with selectors.DefaultSelector() as selector, self.child.stdout as output:
            selector.register(self.result, selectors.EVENT_READ)
            selector.register(output, selectors.EVENT_READ)
            try:
                status = self._listen(selector)
            finally:
                self._end()
        return self._read(status)

    def _listen(self, selector: selectors.BaseSelector) -> Status | None:
        """A limit that was passed; None where the child came to an end of its own."""
        started = False
        while (left := self.deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                piece = os.read(key.fd, PIECE)
                if key.fd == self.result:
                    self._hear(piece)
                    if not piece or {"passed", "failed"} & self.heard.keys():
                        return None
                elif piece:
                    self.written += len(piece)
                else:
                    selector.unregister(key.fileobj)
            if self.written > self.limits.output:
                return "output"
            if not started and "ready" in self.heard:
                started = True
                self.deadline = time.monotonic() + self.limits.seconds
        return "timeout" if started else "unstarted"

    def _hear(self, piece: bytes) -> None:
        """Take in whole lines; what was said first stands, for the program can write here too."""
        *lines, self.said = (self.said + piece).split(b"\n")
        for line in lines:
            with suppress(ValueError, RecursionError):
                answer = json.loads(line)
                if isinstance(answer, dict):
                    self.heard = answer | self.heard
        self.said = self.said[:PIECE]

    def _end(self) -> None:
        """Kill the child and whatever it started."""
        process = self.heard.get("process")
        with suppress(ProcessLookupError, PermissionError):
            # The first process of its own world of processes: all others end with it.
            if isinstance(process, int) and self.child.poll() is None:
                os.kill(process, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.kill()
        self.child.wait()

    def _read(self, status: Status | None) -> Outcome:
        ready = self.heard.get("ready")
        if not isinstance(ready, list) or status == "unstarted":
            return Outcome(status="unstarted", detail=f"exit code {self.child.returncode}")
        missing = tuple(map(str, ready))
        if status is None and self.heard.get("passed") == self.token:
            return Outcome(status="passed", missing=missing)
        detail = str(self.heard.get("failed", "it ended without a word"))
        return Outcome(status=status or "failed", detail="" if status else detail, missing=missing)
