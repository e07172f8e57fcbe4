"""Checkpoints to start training from, by folder, by name and by id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plugins import load_registry
from harness.starts import find_starts


def checkpoint(folder: Path, size: int, **record: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"x" * size)
    if record:
        (folder / "harness_model.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_a_folder_of_checkpoints_stands_for_all_of_them_by_size(tmp_path: Path) -> None:
    for name, size in (("tiny-large", 30), ("tiny-small", 10), (".tiny-half", 20)):
        checkpoint(tmp_path / "models" / name, size)
    starts = find_starts(load_registry(), [str(tmp_path)])
    assert [(start.name, start.family) for start in starts] == [
        ("tiny-small", "tiny"),
        ("tiny-large", "tiny"),
    ]


def test_what_a_checkpoint_says_of_itself_counts_before_its_folders_name(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", 1, name="bert-1k", family="bert")
    (start,) = find_starts(load_registry(), [f"hf:{folder}"])
    assert (start.name, start.family, start.folder) == ("bert-1k", "bert", folder)
    (start,) = find_starts(load_registry(), [str(folder)], family="mine")
    assert start.family == "mine"


def test_one_checkpoint_named_twice_is_taken_once(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", 1)
    (start,) = find_starts(load_registry(), [str(folder), f"hf:{folder}"])
    assert start.name == start.family == "a"


def test_models_that_come_as_checkpoints_go_by_their_names() -> None:
    pytest.importorskip("torch")
    starts = find_starts(load_registry(), ["nano-{1k,3k}"])
    assert [(start.name, start.family) for start in starts] == [
        ("nano-1k", "nano"),
        ("nano-3k", "nano"),
    ]
    assert all((start.folder / "config.json").is_file() for start in starts)


def test_an_id_of_the_hub_is_left_to_the_trainer() -> None:
    (start,) = find_starts(load_registry(), ["hf:some-lab/bert-tiny"])
    assert (start.folder, start.name) == (Path("some-lab/bert-tiny"), "bert-tiny")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nano-1q", "Did you mean 'nano-1m' or 'nano-1k'"),
        ("nope:x", "Unknown model 'nope'"),
        (".", "no checkpoint is in ."),
    ],
)
def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        find_starts(load_registry(), [text])
