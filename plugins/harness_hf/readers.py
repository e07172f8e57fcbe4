"""What generation needs of a model: rows are read from their beginning, then token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_hf.logits import Logits
    from harness_hf.network import Network
    from harness_hf.rows import Row
    from harness_hf.slots import Header, Slots


class Reader(Protocol):
    """A model of any kind behind the calls that generation needs."""

    device: torch.device

    @property
    def sharing(self) -> Network | None:
        """What reads a header that rows can go on from; ``None`` where they cannot."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether key-value slots work; without, only :meth:`whole` is to be used."""
        ...

    @property
    def admits(self) -> bool:
        """Whether rows may stand beside others that have come farther; without, all that are read
        together have as many tokens of their own."""
        ...

    def read(self, rows: Sequence[Row], header: Header | None) -> tuple[Logits, Slots]:
        """Read all that is known of ``rows`` after ``header``: logits behind each, and slots that
        end together."""
        ...

    def whole(self, rows: Sequence[Row]) -> Logits:
        """Logits behind all that is known of each row, without slots."""
        ...

    def step(self, ids: torch.Tensor, slots: Slots) -> Logits:
        """Read one token of each row, ``ids`` [rows, 1], behind ``slots``."""
        ...


class DecoderReader:
    """A causal network: a row is its prompt and what was written behind it."""

    admits = True

    def __init__(self, network: Network) -> None:
        """Read by ``network``."""
        self.network = network
        self.device = network.device
        self.step = network.step

    @property
    def sharing(self) -> Network | None:
        """See :attr:`Reader.sharing`."""
        return self.network if self.network.shares else None

    @property
    def keeps(self) -> bool:
        """See :attr:`Network.keeps`."""
        return self.network.keeps

    def read(self, rows: Sequence[Row], header: Header | None) -> tuple[Logits, Slots]:
        """See :meth:`Reader.read`."""
        known = len(header.ids) if header else 0
        parts = [row.known[known:] for row in rows]
        ids, last = padded(parts, self.device)
        logits, slots = self.network.trunk(ids, last, header=header, keep=True)
        assert slots is not None
        slots.align([len(p) for p in parts])
        return logits, slots

    def whole(self, rows: Sequence[Row]) -> Logits:
        """See :meth:`Reader.whole`."""
        ids, last = padded([row.known for row in rows], self.device)
        logits, _ = self.network.trunk(ids, last, header=None, keep=False)
        return logits


def padded(
    rows: Sequence[tuple[int, ...]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows padded on the right [rows, width], and the flat position of the last token of each."""
    width = max(len(r) for r in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    last = torch.tensor([n * width + len(r) - 1 for n, r in enumerate(rows)])
    return ids.to(device), last.to(device)
