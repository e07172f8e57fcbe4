"""Runs made of given statistics, and translations of a known quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import metrics
from harness.cellstats import CellStats, made_stats
from harness.compare import Side
from harness.results import Manifest, PlannedCell, RunDirectory
from harness.types import (
    CellRecord,
    Counts,
    Metric,
    ModelInfo,
    Parameters,
    SampleRecord,
    Score,
)

ACC = metrics.accuracy().metric
BLEU = metrics.bleu().metric
F1 = metrics.entity_f1().metric
BPB = metrics.bits_per_byte().metric


def column(scores: Sequence[float]) -> np.ndarray:
    """Statistics of a mean: the score and one."""
    return np.stack([np.asarray(scores, dtype=float), np.ones(len(scores))], axis=1)


@dataclass(frozen=True, kw_only=True)
class ToyCell:
    """A cell by its statistics: ``stats[metric]`` is (n, k)."""

    stats: Mapping[Metric, np.ndarray]
    model: str = "toy"
    family: str = "toys"
    size: int = 1000
    task: str = "task"
    ids: Sequence[str] | None = None
    groups: Sequence[str | None] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        number = len(next(iter(self.stats.values()), ()))
        return list(self.ids) if self.ids is not None else [f"s{i}" for i in range(number)]

    @property
    def record(self) -> CellRecord:
        scores = tuple(
            Score(
                metric=metric,
                value=metrics.value(metric, rows),
                ci=(0.0, 0.0),
                n=len(rows),
                signature="toy",
            )
            for metric, rows in self.stats.items()
        )
        record = CellRecord(
            model=ModelInfo(
                name=self.model,
                family=self.family,
                identity=self.model,
                parameters=Parameters(total=self.size, non_embedding=self.size),
            ),
            task=self.task,
            status="complete",
            fingerprint="f00d",
            scores=scores,
            counts=Counts(samples=len(self.names)),
        )
        return replace(record, **self.fields)

    @property
    def cell_stats(self) -> CellStats:
        names = self.names
        tables = {
            metric.name: (range(len(rows)), rows.tolist())
            for metric, rows in self.stats.items()
            if len(rows)
        }
        return made_stats(names, self.groups, tables)


def side(*cells: ToyCell, label: str = "side") -> Side:
    found = {(cell.model, cell.task): cell.cell_stats for cell in cells}
    return Side(
        label=label,
        cells=tuple(cell.record for cell in cells),
        read=lambda record: found[record.model.name, record.task],
    )


def write_run(path: Path, *cells: ToyCell) -> Path:
    """The same on disk, as ``harness run`` leaves it."""
    directory = RunDirectory(path)
    directory.prepare()
    for cell in cells:
        kept = {metric.name: cell.cell_stats.by_sample(metric.name) for metric in cell.stats}
        groups = cell.groups if cell.groups is not None else [None] * len(cell.names)
        samples = [
            SampleRecord(
                id=name,
                requests=(),
                responses=(),
                reference="",
                stats={metric: rows[name] for metric, rows in kept.items() if name in rows},
                group=group,
            )
            for name, group in zip(cell.names, groups, strict=True)
        ]
        directory.write_cell(cell.record, samples)
    directory.write_manifest(
        Manifest(
            command=("harness",),
            settings={},
            cells=tuple(PlannedCell(model=cell.model, task=cell.task) for cell in cells),
            versions={},
            platform={},
            git_commit=None,
            started="2026-01-01T00:00:00+00:00",
            status="complete",
        )
    )
    return path


class Translations:
    """Sentences and translations of them that err on a given share of the words."""

    def __init__(self, number: int, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.scorer = metrics.bleu()
        weights = 1 / np.arange(1, 401)
        words = self.generator.choice(400, size=(number, 30), p=weights / weights.sum())
        lengths = self.generator.integers(6, 31, size=number)
        self.references = [
            [f"w{word}" for word in row[:length]]
            for row, length in zip(words, lengths, strict=True)
        ]
        # Some sentences are harder than others, for every system alike.
        self.difficulty = self.generator.beta(2, 2, size=number) * 2

    def spoilt(self, sentences: Sequence[Sequence[str]], share: float) -> list[list[str]]:
        """The sentences with about ``share`` of their words replaced."""
        return [
            [
                f"x{self.generator.integers(400)}" if hit else word
                for word, hit in zip(
                    sentence, self.generator.random(len(sentence)) < share * hard, strict=True
                )
            ]
            for sentence, hard in zip(sentences, self.difficulty, strict=True)
        ]

    def stats(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """(n, 10) statistics of BLEU."""
        return np.array(
            [
                self.scorer.stats(" ".join(hypothesis), " ".join(reference))
                for hypothesis, reference in zip(sentences, self.references, strict=True)
            ]
        )

    def lowered(
        self, sentences: Sequence[Sequence[str]], points: float
    ) -> tuple[np.ndarray, float]:
        """Statistics of the sentences spoilt further until BLEU is ``points`` lower, and by how
        much it is."""
        rows = self.stats(sentences)
        before = metrics.value(BLEU, rows)
        worse = self.stats(self.spoilt(sentences, 0.3))
        mixed = rows.copy()
        for i in self.generator.permutation(len(rows)):
            mixed[i] = worse[i]
            loss = before - metrics.value(BLEU, mixed)
            if loss >= points:
                return mixed, loss
        raise AssertionError("spoiling could not lower BLEU that far")
