"""The response store: every answer kept the moment it is known, found again by what was asked.

SQLite in WAL mode, one row per answer. The key is a digest of the model's identity, the settings
that may change its answers and the request, so no model is ever served another one's answer.
Values are JSON, never pickles. Only answers are stored; a failed request is asked again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.codec import from_json, to_json
from harness.errors import DataError, SaveError
from harness.types import ModelInfo, Request, Response

SCHEMA = 1
TABLES = """
CREATE TABLE IF NOT EXISTS models (
    id INTEGER PRIMARY KEY, identity TEXT NOT NULL, settings TEXT NOT NULL, name TEXT NOT NULL,
    UNIQUE (identity, settings));
CREATE TABLE IF NOT EXISTS responses (
    key BLOB PRIMARY KEY, model INTEGER NOT NULL REFERENCES models (id), kind TEXT NOT NULL,
    created REAL NOT NULL, request TEXT NOT NULL, response TEXT NOT NULL) WITHOUT ROWID;
"""
BUSY_SECONDS = 30.0
CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """What a store holds of one model under one set of settings. ``newest``: seconds since 1970."""

    name: str
    identity: str
    settings: str
    answers: int
    newest: float


class ResponseStore:
    """An open store. Use it as a context manager.

    Raises DataError when the file is not a store (or of another schema), SaveError when an answer
    cannot be written (no space, no permission, locked by another process for long).
    """

    def __init__(self, path: Path, *, busy: float = BUSY_SECONDS) -> None:
        """Open ``path``, making the file and its folder where they are missing.

        ``busy`` is how many seconds to wait for another process that holds the file.
        """
        self.path = path
        with self._saving():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=busy)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> ResponseStore:
        """The store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, also when an exception or Ctrl-C is on its way; every answer is kept already."""
        self._connection.close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Response]:
        """The stored answers among ``keys``; raises DataError for a row that cannot be read."""
        found: dict[bytes, Response] = {}
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            marks = ",".join("?" * len(chunk))
            for key, text in self._rows(
                f"SELECT key, response FROM responses WHERE key IN ({marks})", chunk
            ):
                found[key] = self._decode(key, text)
        return found

    def put(self, key: bytes, info: ModelInfo, request: Request, response: Response) -> None:
        """Keep one answer: once this returns, the process may die.

        A transaction for each costs 0.03 ms, and no other process waits for this one's next answer.
        """
        settings = _canonical(dict(sorted(info.settings.items())))
        with self._saving(), self._connection:
            try:
                self._insert(key, info, settings, request, response)
            except sqlite3.IntegrityError:  # its model is new, or another process pruned it
                self._connection.execute(
                    "INSERT INTO models (identity, settings, name) VALUES (?, ?, ?) "
                    "ON CONFLICT (identity, settings) DO UPDATE SET name = excluded.name",
                    (info.identity, settings, info.name),
                )
                self._insert(key, info, settings, request, response)

    def models(self) -> tuple[StoredModel, ...]:
        """What is stored, model by model."""
        rows = self._rows(
            "SELECT name, identity, settings, COUNT(*), MAX(created) FROM responses "
            "JOIN models ON models.id = model GROUP BY models.id ORDER BY name, identity",
            (),
        )
        return tuple(
            StoredModel(name=name, identity=identity, settings=settings, answers=n, newest=newest)
            for name, identity, settings, n, newest in rows
        )

    def prune(self, *, names: Sequence[str] = (), before: float | None = None) -> int:
        """Forget answers of the models ``names`` (none: all) given ``before`` that time.

        Returns how many are gone; the file shrinks accordingly.
        """
        marks = ",".join("?" * len(names))
        conditions = [f"name IN ({marks})"] if names else []
        values: list[object] = list(names)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        query = f"DELETE FROM responses WHERE model IN (SELECT id FROM models{where})"
        if before is not None:
            query += " AND created < ?"
            values.append(before)
        with self._saving():
            gone = self._connection.execute(query, values).rowcount
            self._connection.execute(
                "DELETE FROM models WHERE id NOT IN (SELECT model FROM responses)"
            )
            self._connection.commit()
            self._connection.execute("VACUUM")
        return gone

    def verify(self) -> Iterator[str]:
        """What is wrong with the file, in words: damage, unreadable rows, keys that do not fit."""
        for (finding,) in self._rows("PRAGMA integrity_check", ()):
            if finding != "ok":
                yield f"{self.path}: {finding}"
        for key, identity, settings, request, response in self._rows(
            "SELECT key, identity, settings, request, response FROM responses "
            "LEFT JOIN models ON models.id = model",
            (),
        ):
            try:
                self._decode(key, response)
                content = f"[{_canonical(identity)},{settings},{request}]"
            except DataError as error:
                yield str(error)
                continue
            if hashlib.sha256(content.encode()).digest() != key:
                yield f"{self._where(key)} was changed: its key does not fit what it holds."

    def _insert(
        self, key: bytes, info: ModelInfo, settings: str, request: Request, response: Response
    ) -> None:
        self._connection.execute(
            "INSERT INTO responses (key, model, kind, created, request, response) VALUES "
            "(?, (SELECT id FROM models WHERE identity = ? AND settings = ?), ?, ?, ?, ?) "
            "ON CONFLICT (key) DO NOTHING",
            (
                key,
                info.identity,
                settings,
                request.kind,
                time.time(),
                _dump(request),
                _dump(response),
            ),
        )

    def _prepare(self) -> None:
        with self._saving():
            version = self._read_version()
            if version == 0:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.executescript(TABLES)
                self._connection.execute(f"PRAGMA user_version={SCHEMA}")
                self._connection.commit()
            # NORMAL loses nothing when the process dies; a power cut may cost the last commits.
            self._connection.execute("PRAGMA synchronous=NORMAL")
        if version not in (0, SCHEMA):
            raise DataError(
                f"The response store {self.path} has schema {version}; this version of harness "
                f"reads schema {SCHEMA}.\nMove the file away, or use the version that wrote it."
            )

    def _read_version(self) -> int:
        try:
            return int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise self._damaged(error) from error

    def _rows(self, query: str, values: Iterable[object]) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(query, tuple(values))
        except sqlite3.DatabaseError as error:
            if _is_locked(error):
                raise self._unwritable(error) from error
            raise self._damaged(error) from error

    def _decode(self, key: bytes, text: str) -> Response:
        where = self._where(key)
        try:
            return from_json(Response, json.loads(text), where=where)
        except (ValueError, DataError) as error:
            found = str(error).splitlines()[0] if isinstance(error, DataError) else ""
            raise DataError(
                f"{found or f'{where} is not JSON: {error}.'}\nForget its model's answers by "
                f"`harness cache prune --store {self.path} -m MODEL`, or move the file away."
            ) from error

    def _where(self, key: bytes) -> str:
        return f"The row {key.hex()[:12]} of the response store {self.path}"

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path} cannot be read as a response store: {error}.\n"
            "Move the file away; answers will then be asked anew."
        )

    def _unwritable(self, error: Exception) -> SaveError:
        advice = "Make room or choose another directory (-o), then run the same command again: "
        if _is_locked(error):
            advice = "Another program holds it. When that is done, run the same command again: "
        return SaveError(
            f"The response store {self.path} cannot be written: {error}.\n"
            f"{advice}it goes on where it stopped."
        )

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """Translate what goes wrong while writing."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise self._unwritable(error) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error


def _is_locked(error: Exception) -> bool:
    """Whether SQLite waited for another process in vain."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def key_of(info: ModelInfo, request: Request) -> bytes:
    """The digest under which a model's answer to ``request`` is kept."""
    content = [info.identity, dict(sorted(info.settings.items())), to_json(request)]
    return hashlib.sha256(_canonical(content).encode()).digest()


def _dump(record: Request | Response) -> str:
    return _canonical(to_json(record))


def _canonical(data: object) -> str:
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
