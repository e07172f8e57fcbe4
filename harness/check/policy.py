"""The policy of a check: what counts as a regression. TOML, unknown keys refused."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.errors import UsageError, suggestion


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one kind of cell must hold; every criterion that is set is judged.

    task, model, metric
        shell-like patterns of the cells that the rule is for
    worst
        the score may not be worse than this, whatever the baseline is
    max_drop
        nor may it lose more than this many points against the baseline
    max_relative_drop
        nor more than this share of the baseline's score
    test, delta
        nor be worse by more than ``delta`` points with statistical confidence
    relevant
        the smallest loss that matters, in points: the test passes only where a larger one is
        excluded; ``None``: 2 % of the metric's range, or of the baseline's score
    negligible
        a loss of at most this many points is never a regression, however significant; ``None``: a
        tenth of ``relevant``
    """

    task: str = "*"
    model: str = "*"
    metric: str = "*"
    worst: float | None = None
    max_drop: float | None = None
    max_relative_drop: float | None = None
    test: bool = True
    delta: float = 0.0
    relevant: float | None = None
    negligible: float | None = None

    def covers(self, *, task: str, model: str, metric: str) -> bool:
        """Whether the rule is for this cell and metric."""
        return (
            _matches(task, self.task)
            and _matches(model, self.model)
            and _matches(metric, self.metric)
        )


@dataclass(frozen=True, kw_only=True)
class ScalingRule:
    """Which scaling gates apply: a new checkpoint against its family's prediction band, ``band``;
    a family's exponent against the baseline's, ``exponent``."""

    band: bool = True
    exponent: bool = True


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A whole policy; see :func:`read_policy` for its file.

    alpha
        chance of any false alarm over all tests of one check (Holm's correction)
    inconclusive
        whether an INCONCLUSIVE gate passes (exit code 0) or fails (exit code 1)
    missing
        what a cell of the baseline that the run lacks means: ``refuse`` (exit code 5) or ``skip``
    metrics
        the metrics that are judged; empty: all
    """

    alpha: float = 0.05
    inconclusive: str = "pass"
    missing: str = "refuse"
    metrics: tuple[str, ...] = ()
    default: Rule = Rule()
    rules: tuple[Rule, ...] = ()
    scaling: ScalingRule = ScalingRule()

    def rule(self, *, task: str, model: str, metric: str) -> Rule:
        """The first rule that covers the cell, else the default."""
        found = (r for r in self.rules if r.covers(task=task, model=model, metric=metric))
        return next(found, self.default)


CHOICES: Mapping[str, tuple[str, ...]] = {
    "inconclusive": ("pass", "fail"),
    "missing": ("refuse", "skip"),
}


def read_policy(path: Path) -> Policy:
    """Read a policy file; raises UsageError that names the file, the key and what was meant."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"The policy {path} cannot be read: {error}.\nIt must be a TOML file."
        ) from error
    reader = _Reader(path=path)
    keys = ("alpha", "default", "inconclusive", "metrics", "missing", "rules", "scaling")
    reader.require_known(data, keys, "")
    default = reader.rule(reader.table(data, "default"), Rule(), "default")
    rules = data.get("rules", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise reader.error("'rules' must be tables: write [[rules]]")
    return Policy(
        alpha=reader.number(data, "alpha", 0.05, low=0.0, high=0.5, strict=True) or 0.05,
        inconclusive=reader.choice(data, "inconclusive", "pass"),
        missing=reader.choice(data, "missing", "refuse"),
        metrics=reader.names(data, "metrics"),
        default=default,
        rules=tuple(
            reader.rule(rule, default, f"rules, number {number}")
            for number, rule in enumerate(rules, start=1)
        ),
        scaling=reader.scaling(reader.table(data, "scaling")),
    )


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Checks a policy's values; every error names the file."""

    path: Path

    def error(self, words: str) -> UsageError:
        return UsageError(f"The policy {self.path} is wrong: {words}.")

    def require_known(self, data: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in data:
            if key not in known:
                place = f" in [{where}]" if where else ""
                raise UsageError(
                    f"The policy {self.path} has an unknown key '{key}'{place}. "
                    f"{suggestion(key, known)}"
                )

    def table(self, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = data.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"'{key}' must be a table: write [{key}]")
        return value

    def rule(self, data: Mapping[str, Any], base: Rule, where: str) -> Rule:
        """A rule; what it leaves out is as in ``base``."""
        names = tuple(field.name for field in fields(Rule))
        self.require_known(data, names, where)
        values: dict[str, Any] = {}
        for name in ("task", "model", "metric"):
            value = data.get(name, getattr(base, name))
            if not isinstance(value, str):
                raise self.error(f"'{name}' in [{where}] must be text, not {value!r}")
            values[name] = value
        low = {"worst": None}
        for name in ("worst", "max_drop", "max_relative_drop", "delta", "relevant", "negligible"):
            values[name] = self.number(data, name, getattr(base, name), low=low.get(name, 0.0))
        values["test"] = self.flag(data, "test", base.test)
        return Rule(**values)

    def scaling(self, data: Mapping[str, Any]) -> ScalingRule:
        self.require_known(data, ("band", "exponent"), "scaling")
        return ScalingRule(
            band=self.flag(data, "band", True), exponent=self.flag(data, "exponent", True)
        )

    def number(
        self,
        data: Mapping[str, Any],
        key: str,
        otherwise: float | None,
        *,
        low: float | None = None,
        high: float | None = None,
        strict: bool = False,
    ) -> float | None:
        value = data.get(key, otherwise)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise self.error(f"'{key}' must be a number, not {value!r}")
        below = low is not None and (value <= low if strict else value < low)
        if below or (high is not None and value > high):
            least = f"{'above' if strict else 'at least'} {low:g}"
            most = "" if high is None else f" and at most {high:g}"
            raise self.error(f"'{key}' must be {least}{most}, not {value!r}")
        return float(value)

    def flag(self, data: Mapping[str, Any], key: str, otherwise: bool) -> bool:
        value = data.get(key, otherwise)
        if not isinstance(value, bool):
            raise self.error(f"'{key}' must be true or false, not {value!r}")
        return value

    def choice(self, data: Mapping[str, Any], key: str, otherwise: str) -> str:
        value = data.get(key, otherwise)
        if value not in CHOICES[key]:
            words = " or ".join(f'"{one}"' for one in CHOICES[key])
            raise self.error(f"'{key}' must be {words}, not {value!r}")
        return str(value)

    def names(self, data: Mapping[str, Any], key: str) -> tuple[str, ...]:
        value = data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.error(f"'{key}' must be a list of names, not {value!r}")
        return tuple(value)


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)
