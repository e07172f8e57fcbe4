"""The labels of a classification head, and how they answer to a task's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, UsageError, suggestion
from harness_hf.batching import LOG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness_hf.described import Described

GENERIC = re.compile(r"LABEL_\d+")
PREFIXED = re.compile(r"([BIESLU])[-_](.+)")
OUTSIDE = "O"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """A checkpoint's labels in the order of its logits. ``who`` names it in messages."""

    names: tuple[str, ...]
    who: str

    @classmethod
    def of(cls, described: Described) -> Labels:
        """Read ``id2label`` and apply the words that the option ``labels`` gives.

        Raises :class:`harness.errors.UsageError` where those name labels that are not there, and
        :class:`harness.errors.DataError` for a head that does not choose one label.
        """
        config, options = described.checkpoint.config, described.options
        who = f"{options.scheme}:{options.source}"
        names = _names(config, who)
        kind = config.get("problem_type")
        if len(names) < 2 or kind in ("regression", "multi_label_classification"):
            said = f"is made for {kind}" if kind else f"has the one label {names[0]}"
            raise DataError(
                f"{who} {said}: it chooses no label.\nUse a head of two labels or more."
            )
        words = dict(options.labels)
        known = {*names, *(_type(name) for name in names)}
        strange = next((label for label in words if label not in known), None)
        if strange is not None:
            raise UsageError(f"{who} has no label {strange!r}. {suggestion(strange, known)}")
        return cls(names=tuple(_renamed(name, words) for name in names), who=who)

    def tags(self, types: Sequence[str]) -> tuple[str, ...]:
        """The labels as tags for a task that looks for ``types`` (empty: for any).

        A label without ``B-``, ``I-`` or the like is read as ``I-``: neighbours of one type are
        then one entity. Raises :class:`harness.errors.UsageError` where a type is not among them.
        """
        if all(GENERIC.fullmatch(name) for name in self.names):
            raise UsageError(
                f"{self.who} calls its labels {self.names[0]} to {self.names[-1]}, which says no "
                "types.\nName them: labels=LABEL_0=O;LABEL_1=B-PER;..."
            )
        wanted = {kind.casefold(): kind for kind in types}
        found = [_tag(name, wanted) for name in self.names]
        own = dict.fromkeys(_type(tag) for tag in found if tag != OUTSIDE)
        missing = [kind for kind in types if kind not in own]
        if missing:
            raise UsageError(
                f"{self.who} finds {', '.join(own)}; the task looks for {', '.join(types)}, of "
                f"which it has no {', '.join(missing)}.\n"
                f"Where it means the same by other words: labels={next(iter(own))}={missing[0]};..."
            )
        return tuple(found)

    def order(self, labels: Sequence[Sequence[str]]) -> tuple[int, ...]:
        """For each of a task's ``labels`` the number of the logit that stands for it.

        Labels are matched by any of their names, without regard to case. ``LABEL_0`` and so on
        are taken in the task's order, which is said. Raises
        :class:`harness.errors.UsageError` where they do not match.
        """
        places = {name.casefold(): place for place, name in enumerate(self.names)}
        found = [
            next((places[n.casefold()] for n in names if n.casefold() in places), None)
            for names in labels
        ]
        chosen = [place for place in found if place is not None]
        if len(chosen) == len(labels) and len(set(chosen)) == len(chosen):
            return tuple(chosen)
        task = [names[0] for names in labels]
        if all(GENERIC.fullmatch(name) for name in self.names) and len(self.names) == len(labels):
            said = ", ".join(f"{a} = {b}" for a, b in zip(self.names, task, strict=True))
            LOG.warning("%s does not name its labels; in the task's order: %s", self.who, said)
            return tuple(range(len(labels)))
        missing = [name for name, place in zip(task, found, strict=True) if place is None]
        raise UsageError(
            f"{self.who} knows the labels {_list(self.names)}; the task asks for {_list(task)}"
            f"{f', of which it has no {_list(missing)}' if missing else ''}.\n"
            f"Where it means the same by other words: labels={self.names[0]}={task[0]};..."
        )


def _names(config: Mapping[str, Any], who: str) -> list[str]:
    """What ``config`` calls the logits, in their order."""
    stored, count = config.get("id2label"), config.get("num_labels") or 2
    try:
        if not isinstance(stored, dict) or not stored:
            return [f"LABEL_{number}" for number in range(int(count))]
        return [str(stored[key]) for key in sorted(stored, key=int)]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{who}: config.json numbers its labels (id2label, num_labels) by what are no numbers: "
            f"{error}.\nTake the config.json that the weights were saved with."
        ) from error


def _type(tag: str) -> str:
    match = PREFIXED.fullmatch(tag)
    return match[2] if match else tag


def _renamed(name: str, words: dict[str, str]) -> str:
    """By its whole name, else by its type."""
    if name in words:
        return words[name]
    match = PREFIXED.fullmatch(name)
    return f"{match[1]}-{words[match[2]]}" if match and match[2] in words else name


def _tag(name: str, wanted: dict[str, str]) -> str:
    """The label as a tag, its type spelt as the task spells it."""
    if name == OUTSIDE:
        return OUTSIDE
    match = PREFIXED.fullmatch(name)
    prefix, kind = (match[1], match[2]) if match else ("I", name)
    return f"{prefix}-{wanted.get(kind.casefold(), kind)}"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown}, ... ({len(names)})" if len(names) > 12 else shown
