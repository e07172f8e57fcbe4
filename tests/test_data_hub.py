"""``harness data fetch`` over HTTP, from a hub on loopback; and what runs without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Program
from hub_server import HubServer
from test_data import ROW, parquet

from harness_files.hub import HUB

pytest.importorskip("huggingface_hub")

EPRSTMT = [{"input": "如果不满意，则生成答案“负面”。很好", "output": "正面"}] * 2


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    squad = parquet(tmp_path / "squad.parquet", [ROW]).read_bytes()
    tatoeba = parquet(
        tmp_path / "tatoeba.parquet", [{"sentence1": "Ja.", "sentence2": "Yes.", "lang": "deu-eng"}]
    ).read_bytes()
    files = {(file.repository, file.path): squad for file in HUB["squad"]}
    files |= {(file.repository, file.path): lines(EPRSTMT) for file in HUB["eprstmt"]}
    files[HUB["tatoeba"][0].repository, "data/test-00000-of-00001.parquet"] = tatoeba
    with HubServer(files=files) as server:
        yield server


def environment(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.origin,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }


def test_a_pinned_data_set_is_fetched_once_and_then_asked_without_a_network(
    program: Program, hub: HubServer, tmp_path: Path
) -> None:
    settings = environment(hub, tmp_path)
    done = program("data", "fetch", "squad", **settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SHA-256") == 2 and "not pinned" not in done.stdout
    commit = HUB["squad"][0].revision
    assert any(f"/resolve/{commit}/{HUB['squad'][0].path}" in path for path in hub.asked)
    hub.asked.clear()
    assert program("data", "fetch", "squad", **settings).returncode == 0
    shown = program("tasks", "squad:hub,shots_data=hub", "--sample", "1", **settings)
    assert shown.returncode == 0 and "Question: Who sat?" in shown.stdout, shown.stderr
    assert hub.asked == []


def test_a_branch_is_locked_at_the_commit_it_stood_for(
    program: Program, hub: HubServer, tmp_path: Path
) -> None:
    settings = environment(hub, tmp_path)
    done = program("data", "fetch", "eprstmt", **settings)
    assert done.returncode == 0, done.stderr
    assert f"main locked at {hub.commit[:12]}: not pinned" in done.stdout
    hub.commit = "d" * 40
    hub.files = {}
    again = program("data", "fetch", "eprstmt", **settings)
    assert again.returncode == 0 and again.stdout == done.stdout
    listed = program.json("data", "list", **settings)["data"]
    states = {row["state"] for row in listed if row["task"] == "eprstmt"}
    assert states == {f"here, of {'c' * 12}"}


def test_a_name_with_a_star_finds_its_one_file(
    program: Program, hub: HubServer, tmp_path: Path
) -> None:
    done = program("data", "fetch", "tatoeba", **environment(hub, tmp_path))
    assert done.returncode == 0, done.stderr
    shown = program("tasks", "tatoeba:hub", "--sample", "1")
    assert "German: Ja." in shown.stdout


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("gone", "cannot be fetched"),
        ("down", "cannot be fetched"),
        ("cut", "cannot be fetched"),
        ("newer", "has no column 'correct_answers'"),
        ("page", "is no Parquet file"),
    ],
)
def test_what_a_hub_does_wrong_is_told_and_nothing_is_kept(
    program: Program, hub: HubServer, tmp_path: Path, fault: str, words: str
) -> None:
    (file,) = HUB["truthfulqa_gen"]
    row = {"question": "Why?", "best": "So", "incorrect_answers": ["No"]}
    content = parquet(tmp_path / "newer.parquet", [row]).read_bytes()
    hub.files = {
        (file.repository, "other.txt" if fault == "gone" else file.path): (
            b"<html>Log in</html>" if fault == "page" else content
        )
    }
    hub.status = 403 if fault == "down" else None
    hub.cut = 100 if fault == "cut" else None
    done = program("data", "fetch", "truthfulqa_gen", **environment(hub, tmp_path))
    assert done.returncode == 4
    assert words in done.stderr
    assert done.stderr.startswith("harness: ") and len(done.stderr.splitlines()) <= 3, done.stderr
    assert not list(tmp_path.glob("**/results/data/**/*.parquet"))


def test_offline_asks_no_hub(program: Program, hub: HubServer, tmp_path: Path) -> None:
    done = program("data", "fetch", "squad", "--offline", **environment(hub, tmp_path))
    assert done.returncode == 4 and "not in the hub's local cache" in done.stderr
    assert "Fetch it where there is a network" in done.stderr
    assert hub.asked == []
