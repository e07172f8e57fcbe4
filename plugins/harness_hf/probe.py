"""Find out, before the first request, how a model can be run, and which way is fastest.

Architectures differ in what they do with masks and positions, and remote code may do anything.
So each way is tried on a few random tokens against plain passes over one row without cache, mask
or padding, and the fastest way that agrees is used.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from harness.errors import DataError
from harness_hf.batching import LOG
from harness_hf.lean import LeanNetwork
from harness_hf.memory import free_bytes
from harness_hf.modules import MaskStyle, ModuleNetwork
from harness_hf.network import inference, read_header
from harness_hf.prefixed import has_prefix
from harness_hf.products import LAID_OUT
from harness_hf.taken import take_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness_hf.network import Network
    from harness_hf.parts import Decoder

LENGTHS = (9, 5, 7)
HEADER = 3
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
HALF_TOLERANCE = 0.15
WINDOWED = {"sliding_attention", "chunked_attention"}


def choose_network(
    model: Any, device: torch.device, *, most: int | None, lean: bool = True
) -> Network:
    """Return the fastest network that agrees with plain passes of ``model``.

    ``most`` is how many positions will be used; without ``lean`` its own modules compute, by the
    attention that they were loaded with. Raises :class:`harness.errors.DataError` for a
    model whose word about a token depends on those that follow.
    """
    plain = ModuleNetwork(model, device, most=most)
    with inference():
        rows = _random_rows(plain.embedded, device)
        expected = torch.cat([_plain(plain, row) for row in rows])
        _require_causal(plain, rows[0])
        decoder = take_apart(model, most=most) if lean and not has_prefix(model) else None
        if decoder is not None:
            fast = _agreeing(decoder, device, rows, expected)
            if fast is not None:
                return fast
            LOG.info("%s: the lean pass differs, using the modules", type(model).__name__)
        styles: tuple[MaskStyle, ...] = ("dense", "padding")
        if _has_window(model.config):
            styles = ("padding",)
        for style in styles:
            plain.mask_style = style
            if _agrees(plain, rows, expected, plain.dtype):
                return plain
        plain.mask_style = "none"
        LOG.info("%s takes no key-value slots: generation recomputes", type(model).__name__)
        plain.alone = not near(_padded(plain, rows), expected, plain.dtype)
        if plain.alone:
            LOG.info("%s reads a row otherwise in company: one by one", type(model).__name__)
    return plain


def agreeing_lean(read: Callable[[], Decoder], device: torch.device) -> LeanNetwork | None:
    """The lean pass over what ``read`` gives, whose weights never were in modules; ``None`` where
    it does not say of several rows what it says of each.

    Matrices are laid out in place, which takes no memory beyond their own; where that goes wrong
    they are read again.
    """
    network = LeanNetwork(read(), device)
    with inference():
        rows = _random_rows(network.embedded, device)
        expected = torch.cat([_plain(network, row) for row in rows])
        if _lays_out(network.decoder, device):
            done = _tried(network.decoder.lay_out)
            if done is not None and _agrees(network, rows, expected, done.dtype):
                return network
            del network, done  # before there are new ones
            network = LeanNetwork(read(), device)
        return network if _agrees(network, rows, expected, network.decoder.dtype) else None


def _agreeing(
    decoder: Decoder,
    device: torch.device,
    rows: Sequence[torch.Tensor],
    expected: torch.Tensor,
) -> LeanNetwork | None:
    """The fastest lean pass that ends ``rows`` with the ``expected`` logits, if one does."""
    laid_out = _laid_out(decoder, device)
    if laid_out is not None:
        fast = LeanNetwork(laid_out, device)
        if _agrees(fast, rows, expected, decoder.dtype):
            laid_out.let_go()
            return fast
    fast = LeanNetwork(decoder, device)
    return fast if _agrees(fast, rows, expected, decoder.dtype) else None


def one_by_one(model: Any, device: torch.device) -> Network:
    """Plain passes of ``model`` over one row at a time."""
    plain = ModuleNetwork(model, device)
    plain.mask_style = "none"
    plain.alone = True
    return plain


def _require_causal(network: ModuleNetwork, row: torch.Tensor) -> None:
    """Refuse models that look ahead, as encoders do; of them transformers loads some, too."""
    part = len(row) // 2
    place = torch.tensor([part - 1], device=network.device)
    whole, _ = network.trunk(row[None, :], place, header=None, keep=False)
    short = _plain(network, row[:part])
    # what is no number agrees with nothing, and is refused answer by answer
    if not bool(short.isfinite().all()) or near(whole.table(), short, network.dtype):
        return
    model = network.model
    raise DataError(
        f"hf: {model.name_or_path}: what this {type(model).__name__} says of a token changes with "
        "those that follow it, so it cannot continue a text.\n"
        "Use a causal model (an encoder such as BERT becomes one with is_decoder, if it was "
        "trained as one)."
    )


def _laid_out(decoder: Decoder, device: torch.device) -> Decoder | None:
    """``decoder`` with matrices laid out for the processor, where that is possible and, for the
    while that both layouts are held, memory allows it."""
    if not _lays_out(decoder, device):
        return None
    free = free_bytes("cpu")
    if free is not None and decoder.numbers * decoder.dtype.itemsize * 2 > free:
        return None
    return _tried(decoder.laid_out)


def _lays_out(decoder: Decoder, device: torch.device) -> bool:
    return device.type == "cpu" and decoder.dtype in LAID_OUT


def _tried(lay_out: Callable[[], Decoder]) -> Decoder | None:
    try:
        return lay_out()
    except Exception as error:  # a build of PyTorch without oneDNN, or with another one
        LOG.info("oneDNN lays out no weights here: %s", str(error).splitlines()[0])
        return None


def _has_window(config: Any) -> bool:
    """Whether some layers see a window only; their masks are the architecture's own business."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if kinds:
        return not WINDOWED.isdisjoint(kinds)
    return bool(getattr(text, "sliding_window", None) or getattr(text, "attention_types", None))


def _random_rows(vocabulary: int, device: torch.device) -> list[torch.Tensor]:
    """Rows of different lengths that begin with the same ``HEADER`` tokens."""
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(vocabulary, (n,), generator=draw) for n in LENGTHS]
    for row in rows:
        row[:HEADER] = rows[0][:HEADER]
    return [row.to(device) for row in rows]


def _plain(network: Network, row: torch.Tensor) -> torch.Tensor:
    last = torch.tensor([len(row) - 1], device=network.device)
    logits, _ = network.trunk(row[None, :], last, header=None, keep=False)
    return logits.table()


def _agrees(
    network: Network, rows: Sequence[torch.Tensor], expected: torch.Tensor, dtype: torch.dtype
) -> bool:
    """Whether every way of reading ``rows`` ends with the ``expected`` logits."""
    ways = [_stepwise(0)]
    if network.shares:
        ways += [_stepwise(HEADER), _branching]
    if isinstance(network, LeanNetwork) and network.joins:
        ways.append(_joined)
    for way in ways:
        try:
            found = way(network, rows)
        except Exception:  # a way that an architecture does not know fails in any manner
            return False
        if not near(found, expected, dtype):
            return False
    return True


def near(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether logits are the same but for rounding; NaN is near nothing."""
    tolerance = TOLERANCE.get(dtype, HALF_TOLERANCE) * max(float(expected.std(correction=0)), 1e-6)
    return bool((found - expected).abs().max() <= tolerance)


def _padded(network: ModuleNetwork, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """The last logits of ``rows`` read side by side, padded on the right."""
    ids = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    ends = [number * ids.shape[1] + len(row) - 1 for number, row in enumerate(rows)]
    index = torch.tensor(ends, device=network.device)
    return network.trunk(ids, index, header=None, keep=False)[0].table()


def _stepwise(header_length: int) -> Any:
    """Read all but the last token of each row padded, then the last one from slots."""

    def way(network: Network, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        known = tuple(rows[0][:header_length].tolist())
        header = read_header(network, known) if known else None
        parts = [row[header_length:-1] for row in rows]
        ids = torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
        nothing = torch.zeros(1, dtype=torch.long, device=network.device)
        _, slots = network.trunk(ids, nothing, header=header, keep=True)
        assert slots is not None
        slots.align([len(p) for p in parts])
        last = torch.stack([row[-1:] for row in rows])
        return network.step(last, slots).table()

    return way


def _branches(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What is left of ``rows`` behind their common beginning: token ids [total], positions [total]
    and which of them each attends to [total, total]."""
    branches = [row[HEADER:] for row in rows]
    device = branches[0].device
    positions = torch.cat([torch.arange(HEADER, HEADER + len(b)) for b in branches])
    owners = torch.cat([torch.full((len(b),), number) for number, b in enumerate(branches)])
    seen = (owners[:, None] == owners[None, :]).tril()
    return torch.cat(branches), positions.to(device), seen.to(device)


def _ends(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Where each of the branches ends."""
    # added up on the host: MPS has added whole numbers wrongly
    ends = [end - 1 for end in accumulate(len(row) - HEADER for row in rows)]
    return torch.tensor(ends, device=rows[0].device)


def _branching(network: Network, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Read all rows as branches of one trunk, their common beginning."""
    header = read_header(network, tuple(rows[0][:1].tolist()))
    trunk = rows[0][None, 1:HEADER]
    nothing = torch.zeros(1, dtype=torch.long, device=network.device)
    _, slots = network.trunk(trunk, nothing, header=header, keep=True)
    assert slots is not None
    ids, positions, seen = _branches(rows)
    logits = network.branch(
        ids[None],
        _ends(rows),
        positions=positions[None],
        seen=functional.pad(seen, (HEADER - 1, 0), value=True)[None],
        slots=slots,
    )
    return logits.table()


def _joined(network: LeanNetwork, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """The same, trunk and branches in one pass."""
    header = read_header(network, tuple(rows[0][:1].tolist()))
    ids, positions, own = _branches(rows)
    before = HEADER - 1
    logits = network.together(
        torch.cat([rows[0][1:HEADER], ids])[None],
        _ends(rows) + before,
        positions=torch.cat([torch.arange(1, HEADER, device=network.device), positions])[None],
        seen=functional.pad(own, (before, 0), value=True)[None],
        header=header,
    )
    return logits.table()
