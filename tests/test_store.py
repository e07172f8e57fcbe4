from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import toys

from harness.errors import DataError, SaveError
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


def test_what_is_pending_is_kept_when_an_exception_passes(tmp_path: Path) -> None:
    key = key_of(INFO, REQUEST)
    with pytest.raises(KeyboardInterrupt), ResponseStore(tmp_path / "s.sqlite") as store:
        store.put(key, INFO, REQUEST, Response(text="2"))
        raise KeyboardInterrupt
    with ResponseStore(tmp_path / "s.sqlite") as store:
        assert key in store.get([key])


def test_two_writers_do_not_lose_answers(tmp_path: Path) -> None:
    def write(part: int) -> None:
        with ResponseStore(tmp_path / "s.sqlite") as store:
            for i in range(50):
                request = Generate(prompt=f"{part}-{i}")
                store.put(key_of(INFO, request), INFO, request, Response(text="x"))
                store.flush()

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
