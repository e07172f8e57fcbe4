from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import toys

from harness.cli import invoke
from harness.errors import DataError, SaveError
from harness.results import RunDirectory
from harness.store import ResponseStore, key_of
from harness.types import Generate, Loglikelihood, Response

INFO = toys.Adder(3).info
REQUEST = Generate(prompt="1+1=", max_tokens=3)


def test_an_answer_comes_back_after_closing(tmp_path: Path) -> None:
    answer = Response(text="2 ☃", tokens=1, truncated=True)
    key = key_of(INFO, REQUEST)
    with ResponseStore(tmp_path / "deep" / "s.sqlite") as store:
        store.put(key, INFO, REQUEST, answer)
    with ResponseStore(tmp_path / "deep" / "s.sqlite") as store:
        assert store.get([key, b"other"]) == {key: answer}


def test_the_key_tells_models_settings_and_requests_apart() -> None:
    other = replace(INFO, identity="another checkpoint")
    slower = replace(INFO, settings={"dtype": "float16"})
    renamed = replace(INFO, name="another name")
    keys = [
        key_of(INFO, REQUEST),
        key_of(other, REQUEST),
        key_of(slower, REQUEST),
        key_of(INFO, replace(REQUEST, max_tokens=4)),
        key_of(INFO, Loglikelihood(context="1+1=", continuation="")),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of(renamed, REQUEST) == keys[0]


def test_more_keys_than_one_query_takes(tmp_path: Path) -> None:
    requests = [Generate(prompt=str(i)) for i in range(1200)]
    with ResponseStore(tmp_path / "s.sqlite") as store:
        for i, request in enumerate(requests):
            store.put(key_of(INFO, request), INFO, request, Response(text=str(i)))
        found = store.get([key_of(INFO, request) for request in requests])
    assert [found[key_of(INFO, r)].text for r in requests] == [str(i) for i in range(1200)]


def test_an_answer_is_there_for_others_the_moment_it_is_put(tmp_path: Path) -> None:
    key = key_of(INFO, REQUEST)
    with ResponseStore(tmp_path / "s.sqlite") as store:
        store.put(key, INFO, REQUEST, Response(text="2"))
        with ResponseStore(tmp_path / "s.sqlite", busy=0) as other:  # and nobody is kept waiting
            assert key in other.get([key])
            second = Generate(prompt="2+2=")
            other.put(key_of(INFO, second), INFO, second, Response(text="4"))


def test_a_model_pruned_by_another_process_is_named_again(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "s.sqlite") as store:
        store.put(key_of(INFO, REQUEST), INFO, REQUEST, Response(text="2"))
        with ResponseStore(tmp_path / "s.sqlite") as other:
            assert other.prune() == 1
        store.put(key_of(INFO, REQUEST), INFO, REQUEST, Response(text="2"))
        assert [(m.name, m.answers) for m in store.models()] == [("adder", 1)]
        assert list(store.verify()) == []


WRITER = """
import sys
from pathlib import Path
from harness.results import RunDirectory
from harness.store import ResponseStore, key_of
from harness.types import Generate, ModelInfo, Response
info = ModelInfo(name="m", family="f", identity="i")
with ResponseStore(Path(sys.argv[1])) as store:
    for i in range(200):
        request = Generate(prompt=f"{sys.argv[2]}-{i}")
        store.put(key_of(info, request), info, request, Response(text="x"))
"""


def test_several_processes_write_one_store(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(part)]) for part in range(4)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
    with ResponseStore(path) as store:
        assert [m.answers for m in store.models()] == [800]
        assert list(store.verify()) == []


def test_a_file_that_another_program_holds_is_said_to_be_held(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with ResponseStore(path, busy=0.01) as store, holding(path) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(SaveError, match=r"(?s)is locked.*Another program holds it"):
            store.put(key_of(INFO, REQUEST), INFO, REQUEST, Response(text="2"))
    with holding(path) as holder:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SaveError, match="Another program holds it"):
            ResponseStore(path, busy=0.01)


def holding(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def test_two_writers_do_not_lose_answers(tmp_path: Path) -> None:
    def write(part: int) -> None:
        with ResponseStore(tmp_path / "s.sqlite") as store:
            for i in range(50):
                request = Generate(prompt=f"{part}-{i}")
                store.put(key_of(INFO, request), INFO, request, Response(text="x"))

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = [key_of(INFO, Generate(prompt=f"{p}-{i}")) for p in range(4) for i in range(50)]
    with ResponseStore(tmp_path / "s.sqlite") as store:
        assert len(store.get(keys)) == 200


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_text("not a database, but long enough to look like one" * 30)
    with pytest.raises(DataError, match=r"s\.sqlite cannot be read as a response store"):
        ResponseStore(path)


def test_another_schema_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    ResponseStore(path).__exit__(None, None, None)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(DataError, match="schema 99"):
        ResponseStore(path)


@pytest.mark.parametrize("text", ["{", '{"colour": 1}', "[]"])
def test_a_corrupted_row_is_named(tmp_path: Path, text: str) -> None:
    path, key = tmp_path / "s.sqlite", key_of(INFO, REQUEST)
    with ResponseStore(path) as store:
        store.put(key, INFO, REQUEST, Response(text="2"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE responses SET response = ?", (text,))
    with ResponseStore(path) as store, pytest.raises(DataError, match=key.hex()[:12]):
        store.get([key])


def test_a_full_disk_is_a_save_error(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "s.sqlite") as store:
        # A database that may not grow is what SQLite sees of a full disk.
        store._connection.execute("PRAGMA max_page_count=4")
        request = Generate(prompt="x" * 100_000)
        with pytest.raises(SaveError, match="full"):
            store.put(key_of(INFO, request), INFO, request, Response(text="2"))


def test_a_place_that_cannot_be_written_is_a_save_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot be written"):
        ResponseStore(tmp_path / "file" / "s.sqlite")


def test_a_directory_without_permission_is_a_save_error() -> None:
    with tempfile.TemporaryDirectory() as made:  # pytest's own folder is closed to others
        Path(made).chmod(0o755)
        folder = Path(made) / "locked"
        with ResponseStore(folder / "old.sqlite") as store:
            store.put(key_of(INFO, REQUEST), INFO, REQUEST, Response(text="2"))
        (folder / "old.sqlite").chmod(0o444)
        folder.chmod(0o555)
        with as_nobody():
            for name in ("new.sqlite", "old.sqlite"):
                with (
                    pytest.raises(
                        SaveError, match="cannot be written: .*(readonly|unable to open)"
                    ),
                    ResponseStore(folder / name) as store,
                ):
                    store.put(b"k" * 32, INFO, REQUEST, Response(text="2"))
            with pytest.raises(SaveError, match="cannot be saved at .*locked"):
                RunDirectory(folder).prepare()
        folder.chmod(0o755)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the powers of root, for whom no permission is missing."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_pages_overwritten_in_the_middle_are_found_and_told(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    requests = [Generate(prompt=f"{i}" * 50) for i in range(400)]
    with ResponseStore(path) as store:
        for request in requests:
            store.put(key_of(INFO, request), INFO, request, Response(text="x"))
    content = bytearray(path.read_bytes())
    content[8192:60000] = b"\xa5" * (60000 - 8192)
    path.write_bytes(content)
    with (
        ResponseStore(path) as store,
        pytest.raises(DataError, match=r"(?s)cannot be read as a response store.*Move"),
    ):
        store.get([key_of(INFO, request) for request in requests])
    assert invoke(["cache", "verify", "--store", str(path)]) == 4


def test_what_is_stored_is_listed_by_model(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "s.sqlite") as store:
        for info in (INFO, replace(INFO, name="b", identity="other")):
            store.put(key_of(info, REQUEST), info, REQUEST, Response(text="2"))
        assert [(m.name, m.answers) for m in store.models()] == [("adder", 1), ("b", 1)]
        assert list(store.verify()) == []


def test_pruning_forgets_what_was_named_and_no_more(tmp_path: Path) -> None:
    other = replace(INFO, name="b", identity="other")
    with ResponseStore(tmp_path / "s.sqlite") as store:
        for info in (INFO, other):
            store.put(key_of(info, REQUEST), info, REQUEST, Response(text="2"))
        assert store.prune(names=["b"], before=0.0) == 0
        assert store.prune(names=["b"]) == 1
        assert list(store.get([key_of(INFO, REQUEST), key_of(other, REQUEST)])) == [
            key_of(INFO, REQUEST)
        ]
        store.put(key_of(other, REQUEST), other, REQUEST, Response(text="2"))
        assert store.prune() == 2
        assert store.models() == ()


def test_verify_finds_a_changed_answer_and_a_moved_one(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    requests = [Generate(prompt=str(i)) for i in range(3)]
    with ResponseStore(path) as store:
        for request in requests:
            store.put(key_of(INFO, request), INFO, request, Response(text="x"))
    with sqlite3.connect(path) as connection:
        keys = [key_of(INFO, request) for request in requests]
        connection.execute("UPDATE responses SET response = '{' WHERE key = ?", (keys[0],))
        connection.execute("UPDATE responses SET request = '{}' WHERE key = ?", (keys[1],))
    with ResponseStore(path) as store:
        findings = list(store.verify())
    assert len(findings) == 2
    assert any("is not JSON" in f and keys[0].hex()[:12] in f for f in findings)
    assert any("key does not fit" in f and keys[1].hex()[:12] in f for f in findings)
