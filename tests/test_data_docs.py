"""The page of tasks is whole: each task, its options, its stop rule and its metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_task_conformance import TASKS

from harness.plan import RunRequest, plan_task
from harness.plugins import Registered, Registry, load_registry
from harness.types import Generate, TaskSpec

HEADING = re.compile(r"^### `([^`]+)`\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def sections(root: Path) -> dict[str, str]:
    return dict(HEADING.findall((root / "docs" / "tasks.md").read_text(encoding="utf-8")))


def own(registry: Registry) -> list[Registered[TaskSpec]]:
    return [task for task in registry.tasks.values() if task.plugin.distribution == "harness"]


def test_the_page_explains_the_tasks_there_are_and_no_others(
    registry: Registry, sections: dict[str, str]
) -> None:
    assert set(sections) == {task.spec.name for task in own(registry)}


def test_every_option_is_named(registry: Registry, sections: dict[str, str]) -> None:
    missing = [
        f"{task.spec.name}: {option.name}"
        for task in own(registry)
        for option in task.spec.options
        if f"`{option.name}`" not in sections[task.spec.name]
    ]
    assert missing == []


@pytest.mark.parametrize("text", TASKS, ids=lambda text: text.split(",")[0].split("/")[-1])
def test_metrics_and_stop_rule_are_what_the_page_says(
    registry: Registry, sections: dict[str, str], shared: Path, text: str
) -> None:
    written = text.format(d=shared / "data")
    planned = plan_task(registry, written, frozenset({"generate"}), RunRequest())
    task, section = planned.build(), sections[planned.spec.spec.name]
    for metric in task.metrics:
        assert f"`{metric.name}`" in section
    request = next(iter(task.samples())).requests[0]
    if isinstance(request, Generate):
        found = ["`" + stop.replace("\n", "\\n") + "`" for stop in request.stop]
        stops = ", ".join(found) or "no string"
        assert f"**Stops** at {stops}, or after {request.max_tokens} tokens" in section
