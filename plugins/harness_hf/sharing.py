"""Which texts begin alike, so that their common beginnings are computed once.

Two levels are used. A header is what a whole task's prompts begin with (worked examples): its keys
and values are computed once for all rows. Within a task, the continuations of one context (the
choices of a question) become one row: a trunk and several branches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEAST_HEADER = 24
LEAST_TRUNK = 8
MOST_BRANCH_TOKENS = 512

Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Texts (their indices) that begin with the same ``header``, which may be empty."""

    header: Ids
    members: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Texts (their indices) whose first ``trunk`` tokens are the same."""

    trunk: int
    members: tuple[int, ...]


def common(one: Ids, other: Ids, *, start: int = 0) -> int:
    """How many leading ids are the same; ``start`` of them are known to be."""
    most = min(len(one), len(other))
    if one[start:most] == other[start:most]:
        return most
    low, high = start, most  # the first difference lies in [low, high)
    while low + 1 < high:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def clusters(
    texts: Sequence[Ids], *, limits: Sequence[int], worth: Callable[[Cluster], bool]
) -> list[Cluster]:
    """Group ``texts`` by what they begin with.

    ``limits`` says of each text how many leading tokens may be in a header: one less than its
    length where something of it must still be read. Texts without a common beginning of at least
    ``LEAST_HEADER`` tokens, or in a cluster that is not ``worth`` a header, share one cluster with
    an empty header. Clusters with a header come first, largest first.
    """
    heads: dict[Ids, list[int]] = {}
    for number, text in enumerate(texts):
        key = text[:LEAST_HEADER] if limits[number] >= LEAST_HEADER else ()
        heads.setdefault(key, []).append(number)
    rest = list(heads.pop((), []))
    found = []
    for key, members in heads.items():
        if len(members) == 1:
            rest.extend(members)
            continue
        low, high = (min(members, key=texts.__getitem__), max(members, key=texts.__getitem__))
        length = common(texts[low], texts[high], start=len(key))
        length = min([length, *(limits[m] for m in members)])
        cluster = Cluster(header=texts[low][:length], members=tuple(members))
        if worth(cluster):
            found.append(cluster)
        else:
            rest.extend(members)
    found.sort(key=lambda c: -len(c.members))
    return found + ([Cluster(header=(), members=tuple(sorted(rest)))] if rest else [])


def bundles(texts: Sequence[Ids], members: Sequence[int], *, header: int) -> list[Bundle]:
    """Put ``members`` with long common beginnings (after ``header`` tokens) together.

    In the order of the texts, a text joins its neighbours while that saves more tokens than
    it makes the others lose. A bundle of one has its whole text but the last token as trunk.
    """
    order = sorted(members, key=texts.__getitem__)
    found: list[Bundle] = []
    group: list[int] = []
    trunk = 0
    for number in order:
        text = texts[number]
        if group:
            shared = min(common(texts[group[0]], text, start=0), len(text) - 1)
            shared = min(shared, trunk)
            saved, before = (shared - header) * len(group), (trunk - header) * (len(group) - 1)
            extra = sum(len(texts[m]) - shared for m in group) + len(text) - shared
            if shared - header >= LEAST_TRUNK and saved > before and extra <= MOST_BRANCH_TOKENS:
                group.append(number)
                trunk = shared
                continue
            found.append(Bundle(trunk=trunk, members=tuple(group)))
        group, trunk = [number], len(text) - 1
    if group:
        found.append(Bundle(trunk=trunk, members=tuple(group)))
    return found
