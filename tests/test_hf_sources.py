"""Rows of a decoder that look at texts: what joins and leaves takes its text along."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from harness_hf.sources import Source, SourceSlots  # noqa: E402

LAYERS, HEADS, SIZE = 2, 3, 4

Row = tuple[int, int, int]
"""A name that its numbers show, the tokens of its text, and those of its own."""


def numbers(rows: list[Row], *shape: int, sign: int = 1) -> Any:
    name = torch.tensor([float(row[0]) for row in rows]) * sign
    return name.view(-1, *[1] * (len(shape))).expand(-1, *shape).clone()


def slots_of(rows: list[Row]) -> SourceSlots:
    """As a decoder leaves them that has read as many tokens of every row as the longest has."""
    width, own = max(row[1] for row in rows), max(row[2] for row in rows)
    places = torch.arange(width)[None, :]
    lengths = torch.tensor([row[1] for row in rows])[:, None]
    slots = SourceSlots(
        Source(
            states=numbers(rows, width, SIZE),
            seen=(places < lengths).long(),
            lengths=tuple(row[1] for row in rows),
        )
    )
    parts = [numbers(rows, HEADS, width, SIZE, sign=sign) for sign in (1, -1) * LAYERS]
    for part in parts:  # beyond a text lies what nobody may look at
        part.masked_fill_((places >= lengths)[:, None, :, None], 99.0)
    slots.look_at(parts)
    for layer in range(LAYERS):
        slots.write(layer, *(numbers(rows, HEADS, own, SIZE, sign=sign) for sign in (1, -1)))
    slots.advance(own)
    slots.align([row[2] for row in rows])
    return slots


def check(slots: SourceSlots, rows: list[Row]) -> None:
    assert slots.source.lengths == tuple(row[1] for row in rows)
    width = max(row[1] for row in rows)
    assert slots.source.seen.shape == (len(rows), width)
    assert slots.source.seen.sum(1).tolist() == [row[1] for row in rows]
    assert (slots.length - slots.starts).tolist() == [row[2] for row in rows]
    for place, (name, text, own) in enumerate(rows):
        assert (slots.source.states[place, :text] == name).all()
        assert slots.source.seen[place, :text].all()
        for part, sign in zip(slots.across, (1, -1) * LAYERS, strict=True):
            assert part.shape == (len(rows), HEADS, width, SIZE)
            assert (part[place, :, :text] == name * sign).all()
        for layer in range(LAYERS):
            kept = slots.keys[layer][place, :, slots.length - own : slots.length]
            assert (kept == name).all()


@given(data=st.data())
def test_each_row_keeps_its_text(data: st.DataObject) -> None:
    names = iter(range(1, 1000))

    def drawn(most: int) -> list[Row]:
        sizes = st.tuples(st.integers(1, 6), st.integers(1, 5))
        found = data.draw(st.lists(sizes, min_size=1, max_size=most))
        return [(next(names), text, own) for text, own in found]

    rows = drawn(4)
    slots = slots_of(rows)
    check(slots, rows)
    for _ in range(data.draw(st.integers(1, 5))):
        if len(rows) > 1 and data.draw(st.booleans()):
            places = st.integers(0, len(rows) - 1)
            dead = data.draw(st.sets(places, min_size=1, max_size=len(rows) - 1))
            order = slots.drop(sorted(dead))
            rows = [rows[row] for row in order]
        else:
            new = drawn(3)
            room = data.draw(st.integers(0, 12))
            slots.append(slots_of(new), room=room)
            rows += new
        check(slots, rows)
