"""Data sets of the hub whose columns the tasks read, each pinned to a commit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.types import HubFile


def _files(
    repository: str, revision: str, columns: str, asked: str, examples: str = ""
) -> tuple[HubFile, ...]:
    """The file that is asked, and one of worked examples where there is one; both in Parquet."""
    return tuple(
        HubFile(
            repository=repository,
            revision=revision,
            path=f"{part}-00000-of-00001.parquet",
            columns=tuple(columns.split()),
            option=option,
        )
        for part, option in ((asked, "data"), (examples, "shots_data"))
        if part
    )


def _arc(kind: str) -> tuple[HubFile, ...]:
    revision = "210d026faf9955653af8916fad021475a3f00453"
    columns = "question choices answerKey"
    return _files("allenai/ai2_arc", revision, columns, f"{kind}/test", f"{kind}/train")


HUB: Mapping[str, tuple[HubFile, ...]] = MappingProxyType(
    {
        "arc_challenge": _arc("ARC-Challenge"),
        "arc_easy": _arc("ARC-Easy"),
        "boolq": _files(
            "google/boolq",
            "35b264d03638db9f4ce671b711558bf7ff0f80d5",
            "question passage answer",
            "data/validation",
            "data/train",
        ),
        "commonsense_qa": _files(
            "tau/commonsense_qa",
            "94630fe30dad47192a8546eb75f094926d47e155",
            "question choices answerKey",
            "data/validation",
            "data/train",
        ),
        "gsm8k": _files(
            "openai/gsm8k",
            "e53f048856ff4f594e959d75785d2c2d37b678ee",
            "question answer",
            "main/test",
            "main/train",
        ),
        "hellaswag": _files(
            "Rowan/hellaswag",
            "218ec52e09a7e7462a5400043bb9a69a41d06b76",
            "activity_label ctx_a ctx_b endings label",
            "data/validation",
            "data/train",
        ),
        "humaneval": _files(
            "openai/openai_humaneval",
            "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
            "task_id prompt canonical_solution test entry_point",
            "openai_humaneval/test",
        ),
        "openbookqa": _files(
            "allenai/openbookqa",
            "388097ea7776314e93a529163e0fea805b8a6454",
            "question_stem choices answerKey",
            "main/test",
            "main/train",
        ),
        "squad": _files(
            "rajpurkar/squad",
            "7b6d24c440a36b6815f21b70d25016731768db1f",
            "id title context question answers",
            "plain_text/validation",
            "plain_text/train",
        ),
        "sst2": _files(
            "nyu-mll/glue",
            "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
            "sentence label",
            "sst2/validation",
            "sst2/train",
        ),
        "winogrande": _files(
            "allenai/winogrande",
            "01e74176c63542e6b0bcb004dcdea22d94fb67b5",
            "sentence option1 option2 answer",
            "winogrande_xl/validation",
            "winogrande_xl/train",
        ),
    }
)
"""By task: the file that is asked, then that of worked examples."""
