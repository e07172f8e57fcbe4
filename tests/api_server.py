"""A server on loopback that speaks OpenAI's protocol, and can be told what to do wrong."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from loopback import Loopback

Body = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens instead of an answer: a status with headers and a body, or, by ``kind``, a
    connection reset, half an answer, an answer of other bytes, or none until the server ends."""

    kind: str = "status"
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b'{"error": {"message": "overheated"}}'


RESET = Fault(kind="reset")
HALF = Fault(kind="half")
STALL = Fault(kind="stall")
GARBAGE = Fault(kind="other", content=b'{"choices": [{"te')
WEB_PAGE = Fault(kind="other", content=b"<!DOCTYPE html><title>Welcome</title>")
EMPTY_CHOICES = Fault(kind="other", content=b'{"choices": [], "usage": null}')
UNFINISHED = Fault(
    kind="other", content=b'{"choices": [{"text": "half of it", "finish_reason": null}]}'
)


def too_many(seconds: str = "0.01") -> Fault:
    content = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
    return Fault(status=429, headers={"Retry-After": seconds}, content=content)


def prompt_of(body: Body) -> str:
    if "messages" in body:
        return str(body["messages"][-1]["content"])
    return str(body["prompt"])


def parrot(prompt: str) -> str:
    """An answer that no other prompt has."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


def parroting(body: Body) -> Mapping[str, Any]:
    prompt = prompt_of(body)
    usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": 3}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if "messages" in body:
        choice["message"] = {"role": "assistant", "content": parrot(prompt)}
    else:
        choice["text"] = parrot(prompt)
    return {"choices": [choice], "usage": usage}


@dataclass
class ApiServer(Loopback):
    """Answers with ``answer`` whatever ``fault`` lets through; remembers what it was asked.

    ``fault`` gets the number of the attempt at this prompt, from 0, and the body.
    """

    answer: Callable[[Body], Mapping[str, Any]] = parroting
    fault: Callable[[int, Body], Fault | None] = lambda attempt, body: None
    bodies: list[Body] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    most: int = 0

    def __enter__(self) -> ApiServer:
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._now = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                owner._handle(self, json.loads(content))

            def log_message(self, *args: object) -> None:
                pass

        self.start(Handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self.stop()

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    def _handle(self, handler: BaseHTTPRequestHandler, body: Body) -> None:
        prompt = prompt_of(body)
        with self._lock:
            attempt = self.attempts[prompt]
            self.attempts[prompt] += 1
            self.bodies.append(body)
            self.keys.append(handler.headers.get("Authorization", ""))
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            fault = self.fault(attempt, body)
            if fault is None:
                content = json.dumps(self.answer(body)).encode()
                # Counted before it is sent: the client may be done before this thread goes on.
                with self._lock:
                    self.served[prompt] += 1
                _send(handler, 200, {}, content)
            else:
                self._fail(handler, fault, body)
        finally:
            with self._lock:
                self._now -= 1

    def _fail(self, handler: BaseHTTPRequestHandler, fault: Fault, body: Body) -> None:
        match fault.kind:
            case "status":
                _send(handler, fault.status, fault.headers, fault.content)
            case "other":
                _send(handler, 200, fault.headers, fault.content)
            case "half":
                content = json.dumps(self.answer(body)).encode()
                _send(handler, 200, {"Content-Length": str(len(content) * 2)}, content)
                handler.close_connection = True
            case "reset":
                linger = struct.pack("ii", 1, 0)  # closing then sends RST
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                handler.close_connection = True
                handler.wfile.close()
                handler.rfile.close()
                handler.connection.close()
            case "stall":
                self.over.wait(60)
                handler.close_connection = True


def _send(
    handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], content: bytes
) -> None:
    handler.send_response(status)
    for name, value in {
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        **headers,
    }.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)
    handler.wfile.flush()
