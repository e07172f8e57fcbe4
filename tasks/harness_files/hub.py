"""Data sets of the hub whose columns are those that a task reads, each pinned to a commit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.types import HubFile

HUB: Mapping[str, tuple[HubFile, ...]] = MappingProxyType(
    {
        "squad": (
            HubFile(
                repository="rajpurkar/squad",
                revision="7b6d24c440a36b6815f21b70d25016731768db1f",
                path="plain_text/validation-00000-of-00001.parquet",
                columns=("id", "title", "context", "question", "answers"),
            ),
        ),
        "gsm8k": (
            HubFile(
                repository="openai/gsm8k",
                revision="e53f048856ff4f594e959d75785d2c2d37b678ee",
                path="main/test-00000-of-00001.parquet",
                columns=("question", "answer"),
            ),
            HubFile(
                repository="openai/gsm8k",
                revision="e53f048856ff4f594e959d75785d2c2d37b678ee",
                path="main/train-00000-of-00001.parquet",
                columns=("question", "answer"),
                option="shots_data",
            ),
        ),
        "humaneval": (
            HubFile(
                repository="openai/openai_humaneval",
                revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
                path="openai_humaneval/test-00000-of-00001.parquet",
                columns=("task_id", "prompt", "canonical_solution", "test", "entry_point"),
            ),
        ),
        "sst2": (
            HubFile(
                repository="nyu-mll/glue",
                revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
                path="sst2/validation-00000-of-00001.parquet",
                columns=("sentence", "label"),
            ),
        ),
        "boolq": (
            HubFile(
                repository="google/boolq",
                revision="35b264d03638db9f4ce671b711558bf7ff0f80d5",
                path="data/validation-00000-of-00001.parquet",
                columns=("question", "passage", "answer"),
            ),
        ),
    }
)
"""By task; the first file is what is asked, others serve the options they name."""
