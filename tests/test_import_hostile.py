"""Files made to break an importer: each is refused, or made harmless, in words."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from hypothesis import given, settings
from hypothesis import strategies as st
from interchange import read, save, take, values

from harness.errors import DataError, HarnessError
from harness.results import RunDirectory
from harness_interchange import reading

HEADER: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {"task": "t", "model": "m", "config": {}},
    "results": {
        "completed_samples": 2,
        "scores": [
            {
                "name": "match",
                "scorer": "match",
                "metrics": {"accuracy": {"value": 0.5}, "stderr": {"value": 0.5}},
            }
        ],
    },
}
SAMPLES = [
    {"id": i, "epoch": 1, "input": "?", "target": "a", "scores": {"match": {"value": letter}}}
    for i, letter in enumerate("CI")
]
ENTRIES = {"header.json": HEADER} | {f"samples/{s['id']}_epoch_1.json": s for s in SAMPLES}


def archive(path: Path, entries: dict[str, Any], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, value in entries.items():
            file.writestr(name, value if isinstance(value, bytes) else json.dumps(value))
    return path


def zstandard_archive(path: Path, entries: dict[str, Any], *, flip: bool = False) -> Path:
    """A zip whose entries use method 93, written by hand: the standard library cannot."""
    zstandard = pytest.importorskip("zstandard")
    body, directory = io.BytesIO(), io.BytesIO()
    for name, value in entries.items():
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        packed = bytearray(zstandard.ZstdCompressor().compress(data))
        if flip:
            packed[len(packed) // 2] ^= 0xFF
        crc, label, at = zlib.crc32(data), name.encode(), body.tell()
        common = (0, 93, 0, 33, crc, len(packed), len(data), len(label), 0)
        body.write(struct.pack("<4s5H3I2H", b"PK\3\4", 63, *common) + label + packed)
        directory.write(
            struct.pack("<4s6H3I5H2I", b"PK\1\2", 63, 63, *common, 0, 0, 0, 0, at) + label
        )
    start, size = body.tell(), directory.tell()
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(entries), len(entries), size, start, 0)
    path.write_bytes(body.getvalue() + directory.getvalue() + end)
    return path


def refused(name: str, *paths: Path) -> str:
    """The error's message, of one to three lines."""
    with pytest.raises(DataError) as caught:
        read(name, *paths)
    message = str(caught.value)
    assert 1 <= len(message.splitlines()) <= 3
    return message


# --- archives ---------------------------------------------------------------------------------


def test_a_sound_archive_is_read_in_both_compressions(tmp_path: Path) -> None:
    deflated = take("inspect", tmp_path / "a", archive(tmp_path / "a.eval", ENTRIES))
    packed = take("inspect", tmp_path / "b", zstandard_archive(tmp_path / "b.eval", ENTRIES))
    assert values(deflated) == values(packed) == {("m", "t", "accuracy"): 0.5}
    assert packed[0].scores[0].ci == (0.0, 1.0)
    assert len(list(RunDirectory(tmp_path / "b").read_samples(packed[0]))) == 2


def test_without_the_package_a_zstandard_archive_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zstandard_archive(tmp_path / "b.eval", ENTRIES)
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    message = refused("inspect", path)
    assert "pip install 'harness[inspect]'" in message
    assert "inspect log convert --to json" in message


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(tmp_path: Path, share: float) -> None:
    whole = archive(tmp_path / "a.eval", ENTRIES).read_bytes()
    (tmp_path / "a.eval").write_bytes(whole[: int(len(whole) * share)])
    assert "no complete zip archive" in refused("inspect", tmp_path / "a.eval")


def test_a_damaged_entry_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.eval", ENTRIES)
    data = bytearray(path.read_bytes())
    data[60:70] = b"\xff" * 10
    path.write_bytes(data)
    assert "header.json is damaged" in refused("inspect", path)
    packed = zstandard_archive(tmp_path / "b.eval", ENTRIES, flip=True)
    assert "header.json is damaged" in refused("inspect", packed)


@pytest.mark.parametrize("pack", [archive, zstandard_archive])
def test_a_zip_bomb_is_stopped_while_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    monkeypatch.setattr(reading, "LIMITS", reading.Limits(file=1 << 20, line=1 << 20))
    path = pack(tmp_path / "bomb.eval", ENTRIES | {"samples/9_epoch_1.json": b" " * (64 << 20)})
    assert path.stat().st_size < 1 << 20
    assert "grows beyond" in refused("inspect", path)


def test_many_small_entries_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LIMITS", reading.Limits(file=1 << 16, line=1 << 16))
    sample = SAMPLES[0] | {"input": "x" * 9000}
    many = {f"samples/{i}_epoch_1.json": sample for i in range(20)}
    path = archive(tmp_path / "a.eval", {"header.json": HEADER} | many)
    assert "grows beyond" in refused("inspect", path)


@pytest.mark.parametrize("name", ["../x.json", "/etc/x.json", "samples/../../x", "C:/x", "..\\x"])
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.eval", ENTRIES | {name: b"{}"})
    assert "points outside the archive" in refused("inspect", path)


def test_a_log_without_its_end_is_a_partial_run(tmp_path: Path) -> None:
    start = {"version": 2, "eval": HEADER["eval"]}
    entries = {k: v for k, v in ENTRIES.items() if k != "header.json"}
    path = archive(tmp_path / "a.eval", {"_journal/start.json": start} | entries)
    (record,) = take("inspect", tmp_path / "run", path)
    assert record.status == "partial"
    assert record.error is not None and "unfinished" in record.error
    assert [(s.metric.name, s.value) for s in record.scores] == [("match", 0.5)]


def test_an_archive_that_is_no_log_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.eval", {"readme.txt": b"hello"})
    assert "neither header.json nor _journal/start.json" in refused("inspect", path)


# --- wrong files ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lm-eval", "inspect", "lighteval", "evalscope", "olmes"])
@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"null", b"[]", b'{"a": 1}', b"\x00" * 99]
)
def test_what_is_no_result_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / "results_x.json"
    path.write_bytes(data)
    assert str(path) in refused(name, path)


def test_a_file_of_another_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(HEADER))
    assert f"`harness import inspect {path}`" in refused("lm-eval", path)
    path.write_text(json.dumps({"results": {}, "config": {}, "versions": {}}))
    assert f"`harness import lm-eval {path}`" in refused("inspect", path)
    path.write_text(json.dumps({"results": {}, "config_general": {}}))
    assert f"`harness import lighteval {path}`" in refused("lm-eval", path)


def test_lines_and_archives_given_as_results_are_told_apart_from_damage(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"doc_id": 0}\n{"doc_id": 1}\n')
    assert "more than one JSON value" in refused("lm-eval", path)
    log = archive(tmp_path / "a.eval", {"header.json": json.dumps(HEADER).encode()})
    assert f"`harness import inspect {log}`" in refused("lm-eval", log)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
SHAPES = {
    "lm-eval": ("results", "config", "configs", "versions", "n-samples", "higher_is_better"),
    "inspect": ("eval", "version", "results", "samples", "status"),
    "lighteval": ("config_general", "results", "versions", "summary_tasks"),
    "evalscope": ("dataset_name", "model_name", "metrics"),
    "olmes": ("task_name", "metrics", "model_config", "task_config"),
}


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_json_of_the_right_keys_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    document = {key: data.draw(json_values, label=key) for key in SHAPES[name]}
    path = folder / "results_x-metrics.json"
    path.write_text(json.dumps(document))
    try:
        save(name, read(name, path), folder / "run")
    except HarnessError as error:
        assert 1 <= len(str(error).splitlines()) <= 3


def test_a_gzip_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LIMITS", reading.Limits(file=1 << 20, line=1 << 20))
    stamp = "2026-01-01T00-00-00.0"
    (tmp_path / f"results_{stamp}.json").write_text(
        json.dumps({"results": {"t": {"acc,none": 0.5}}, "config": {}, "model_name": "m"})
    )
    with gzip.open(tmp_path / f"samples_t_{stamp}.jsonl.gz", "wb") as file:
        file.write(b" " * (32 << 20))
    assert "larger than" in refused("lm-eval", tmp_path)


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    stamp = "2026-01-01T00-00-00.0"
    (tmp_path / f"results_{stamp}.json").write_text(
        json.dumps({"results": {"t": {"acc,none": 0.5}}, "config": {}, "model_name": "m"})
    )
    packed = gzip.compress(b'{"doc_id": 0, "metrics": ["acc"], "acc": 1.0}\n' * 500)
    (tmp_path / f"samples_t_{stamp}.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    assert "Is it complete?" in refused("lm-eval", tmp_path)


# --- hostile names and texts ------------------------------------------------------------------


def lm_eval_file(folder: Path, model: str, task: str, value: Any = 0.5) -> Path:
    path = folder / "results_2026-01-01T00-00-00.0.json"
    document = {
        "results": {task: {"acc,none": value, "acc_stderr,none": 0.1}},
        "config": {},
        "model_name": model,
    }
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a\nb",
        "=cmd()",
        "<script>",
        "\x1b[2J",
        "\u202egnp",
        "x" * 500,
        "\ud800",
    ],
)
def test_hostile_names_stay_inside_the_run_and_off_the_terminal(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    (record,) = take("lm-eval", run, lm_eval_file(tmp_path, name, name))
    for text in (record.model.name, record.task, record.model.family):
        assert not set(text) & set("\n\x1b\u202e\ud800")
    files = {path.resolve() for path in tmp_path.rglob("*") if path.is_file()}
    assert all(tmp_path in path.parents for path in files)
    inside = {path.relative_to(run).parts[0] for path in files if run in path.parents}
    assert inside == {"cells", "index", "manifest.json", "samples"}


def test_a_score_written_as_nan_is_left_out(program: Program) -> None:
    lm_eval_file(program.folder, "m", "t", float("nan"))
    done = program("import", "lm-eval", ".", "-o", "run")
    assert done.returncode == 4
    assert "acc: not a number" in done.stdout
    shown = program("show", "run", "--json")
    assert shown.returncode == 4 and json.loads(shown.stdout)["scores"] == []


def test_lone_surrogates_in_samples_do_not_break_the_run(tmp_path: Path) -> None:
    sample = SAMPLES[0] | {"input": "half \ud83d"}
    path = archive(tmp_path / "a.eval", ENTRIES | {"samples/0_epoch_1.json": sample})
    (record,) = take("inspect", tmp_path / "run", path)
    first = next(RunDirectory(tmp_path / "run").read_samples(record))
    assert first.requests[0].prompt == "half \ufffd"  # type: ignore[union-attr]
