"""Key-value slots: whatever rows leave, join and grow, each keeps its own keys and values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from harness_hf.slots import TAIL, Header, Slots  # noqa: E402

CPU = torch.device("cpu")


class Book:
    """What the slots should hold: the numbers of each row's text after the header."""

    def __init__(self, header: list[float], apart: bool) -> None:
        self.known = header
        keys = torch.tensor(header)[None, :, None]
        self.header = (
            Header(ids=tuple(range(len(header))), keys=(keys,), values=(-keys,)) if header else None
        )
        self.apart = apart
        self.rows: list[list[float]] = []

    def read(self, rows: list[list[float]]) -> Slots:
        slots = Slots.over(self.header, len(rows), CPU, apart=self.apart)
        width = max(len(r) for r in rows)
        padded = torch.tensor([r + [float("nan")] * (width - len(r)) for r in rows])
        slots.write(0, padded[:, None, :, None], -padded[:, None, :, None])
        slots.advance(width)
        slots.align([len(r) for r in rows])
        return slots

    def check(self, slots: Slots) -> None:
        assert slots.rows == len(self.rows)
        bias = slots.bias(slots.length, torch.float32)
        keys, values = held(slots)
        for row, text in enumerate(self.rows):
            start = int(slots.starts[row])
            assert keys[row, 0, start:, 0].tolist() == text
            assert (-values[row, 0, start:, 0]).tolist() == text
            assert int(slots.next_positions()[row]) == len(self.known) + len(text)
            shown = (bias[row, 0, 0] == 0).nonzero().flatten().tolist()
            first = slots.base
            assert shown == [*range(first), *range(start, slots.length)]
            if not self.apart:
                assert slots.keys[0][row, 0, :first, 0].tolist() == self.known


def held(slots: Slots) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values [rows, 1, slots, 1] of the only layer, the tail's included."""
    sides = []
    for old, new in ((slots.keys, slots.new_keys), (slots.values, slots.new_values)):
        parts = [old[0][: slots.rows, :, : slots.length - slots.tail]]
        parts += [part[: slots.rows, :, : slots.tail] for part in new]
        sides.append(torch.cat(parts, dim=2))
    return sides[0], sides[1]


LENGTHS = st.lists(st.integers(1, 150), min_size=1, max_size=5)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(1, 90)),
        st.tuples(st.just("drop"), st.sets(st.integers(0, 9), min_size=1, max_size=4)),
        st.tuples(st.just("join"), LENGTHS),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(first=LENGTHS, moves=MOVES, header=st.integers(0, 3), apart=st.booleans())
def test_rows_keep_their_own(first: list[int], moves: Any, header: int, apart: bool) -> None:
    draw = torch.Generator().manual_seed(0)

    def text(length: int) -> list[float]:
        numbers: list[float] = torch.rand(length, generator=draw).tolist()
        return numbers

    book = Book(text(header), apart)
    book.rows = [text(n) for n in first]
    slots = book.read(book.rows)
    book.check(slots)
    for kind, what in moves:
        if kind == "step":
            for _ in range(what):
                new = torch.rand(slots.rows, generator=draw)
                given = new[:, None, None, None]
                seen = slots.add(0, given, -given)
                keys, values = (torch.cat(side, dim=2) for side in zip(*seen, strict=True))
                assert torch.equal(keys[:, 0, slots.length, 0], new)
                assert torch.equal(values[:, 0, slots.length, 0], -new)
                assert not keys[:, :, slots.length + 1 :].any()
                slots.advance(1)
                for row, number in zip(book.rows, new.tolist(), strict=True):
                    row.append(number)
        elif kind == "drop":
            dead = sorted(row for row in what if row < slots.rows)
            if not dead or len(dead) == slots.rows:
                continue
            order = slots.drop(dead)
            assert sorted([*order, *dead]) == list(range(len(book.rows)))
            book.rows = [book.rows[place] for place in order]
        else:
            more = [text(n) for n in what]
            slots.append(book.read(more))
            book.rows += more
        book.check(slots)


def test_masked_slots_are_never_nan() -> None:
    book = Book([], False)
    slots = book.read([[1.0] * 5, [2.0]])
    slots.append(book.read([[3.0] * 3]))
    slots.append(book.read([[4.0] * 9]))
    assert not slots.keys[0][: slots.rows, :, : slots.length].isnan().any()


@pytest.mark.parametrize("apart", [True, False])
def test_nothing_lies_between_rows_kept_apart_on_a_cpu(apart: bool) -> None:
    book = Book([1.0], apart)
    slots = book.read([[1.0] * 5, [2.0] * 3])
    for _ in range(TAIL):
        slots.add(0, torch.zeros(2, 1, 1, 1), torch.zeros(2, 1, 1, 1))
        slots.advance(1)
    assert (slots.keys[0].shape[2] == slots.length) == apart
    assert slots.tail == 0
