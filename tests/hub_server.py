"""A hub of data sets on loopback: files at any commit, branches, and faults on demand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from urllib.parse import unquote, urlsplit

from loopback import Loopback


@dataclass
class HubServer(Loopback):
    """Serves ``files``, by repository and path, at every commit asked for.

    A branch stands for ``commit``. ``status`` is answered instead of any file, where it is given;
    ``cut`` sends only so many bytes of a file. ``asked`` holds the paths of all requests.
    """

    files: Mapping[tuple[str, str], bytes]
    commit: str = "c" * 40
    status: int | None = None
    cut: int | None = None
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> HubServer:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                owner._answer(self, body=False)

            def do_GET(self) -> None:
                owner._answer(self, body=True)

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
        self.stop()

    def _answer(self, handler: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(handler.path).path)
        self.asked.append(path)
        commit, content = self._found(path)
        status = self.status or (404 if content is None else 200)
        content = b"" if content is None or status != 200 else content
        handler.send_response(status)
        if status == 404:
            handler.send_header("X-Error-Code", "EntryNotFound")
        handler.send_header("X-Repo-Commit", commit)
        handler.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if body:
            handler.wfile.write(content[: self.cut])
            handler.close_connection = self.cut is not None

    def _found(self, path: str) -> tuple[str, bytes | None]:
        """The commit that a request is about, and what it asks for."""
        for repository in {repository for repository, _ in self.files}:
            names = [name for one, name in self.files if one == repository]
            about = f"/api/datasets/{repository}"
            if path.startswith((f"{about}/revision/", f"{about}/tree/")):
                if "/tree/" in path:
                    listed = [
                        {"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in names
                    ]
                    return self.commit, json.dumps(listed).encode()
                siblings = [{"rfilename": name} for name in names]
                info = {"id": repository, "sha": self.commit, "siblings": siblings}
                return self.commit, json.dumps(info).encode()
            resolved = f"/datasets/{repository}/resolve/"
            if path.startswith(resolved):
                rest = path.removeprefix(resolved)
                for name in names:
                    if rest.endswith(f"/{name}"):
                        revision = rest.removesuffix(f"/{name}")
                        commit = revision if len(revision) == 40 else self.commit
                        return commit, self.files[repository, name]
        return self.commit, None
