"""The sizes of a family: given in full, or found by a rule; and the learning rate of each.

The rule grows depth and width together: width is a multiple of 4 (from 64 on, of 8; from 256 on,
of 64), there are ``max(2, round(2 log2(width / 16)))`` layers, heads are about a quarter of the
width wide, from 8 to 64, and the MLP is 8/3 (Llama) or 4 times (BERT) as wide as the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from harness.errors import UsageError
from harness.pretraining import FamilyOptions, Number, Objective, PretrainRequest, SizeOptions
from harness.wording import short

NORM_EPSILON = 1e-5
LONG_CONTEXT = 512
SPACING = 3.0  # between neighbours, where no least size is given
WIDEST = 16_384


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One size of the family. ``hidden`` is the width of the MLP, a batch has ``batch_rows``."""

    name: str
    objective: Objective
    width: int
    layers: int
    heads: int
    hidden: int
    vocabulary: int
    context: int
    batch_rows: int
    rates: tuple[float, float]  # peaks: matrices under Muon, all else
    dtype: Number

    @property
    def rope_base(self) -> float:
        """Base of the rotary embedding: 10,000 as usual, less for contexts of few tokens."""
        return 1000.0 if self.context <= LONG_CONTEXT else 10_000.0

    @property
    def embedding(self) -> int:
        """Parameters of the embeddings of tokens and, for BERT, of positions and text types."""
        learnt = 0 if self.objective == "causal" else self.context + 2
        return (self.vocabulary + learnt) * self.width

    @property
    def non_embedding(self) -> int:
        """Parameters outside the embeddings; the output projection is the tied embedding."""
        return non_embedding(self.objective, self.width, self.layers, self.hidden, self.vocabulary)

    @property
    def total(self) -> int:
        """All parameters."""
        return self.non_embedding + self.embedding


def non_embedding(
    objective: Objective, width: int, layers: int, hidden: int, vocabulary: int
) -> int:
    """Parameters outside the embeddings of a Llama or of a BERT with its training heads."""
    if objective == "causal":
        return layers * (4 * width**2 + 3 * width * hidden + 2 * width) + width
    layer = 4 * (width**2 + width) + 2 * width * hidden + hidden + width + 4 * width
    heads = width**2 + 3 * width + vocabulary  # transform, its norm, the output's bias
    if objective == "mlm+nsp":
        heads += width**2 + width + 2 * width + 2  # pooler and pair classifier
    return layers * layer + 2 * width + heads


def shapes_of(request: PretrainRequest, vocabulary: int) -> tuple[Shape, ...]:
    """The family's sizes, smallest first. Raises UsageError for a family that cannot be."""
    family, training = request.family, request.training
    given = family.shapes or tuple(_ruled(family, request.objective, vocabulary))
    _check(given)
    row = training.row or family.context
    made = []
    for one in given:
        shape = Shape(
            name=one.name,
            objective=request.objective,
            width=one.width,
            layers=one.layers,
            heads=one.heads,
            hidden=one.hidden,
            vocabulary=vocabulary,
            context=family.context,
            batch_rows=one.batch_rows or max(1, training.batch_tokens // row),
            rates=_rates(one, training.rate),
            dtype=one.dtype or training.dtype,
        )
        made.append(shape)
    return tuple(made)


def ruled_rate(shape: Shape, tokens: int) -> float:
    """Peak learning rate 0.3118 C^-0.125 of Bi et al. 2024 (arXiv:2401.02954, section 3.1).

    C is 6 times the parameters outside the embeddings times the training tokens. The rule is of
    causal models; masked ones take a quarter of it, since a BERT normalises behind each block and
    bears less: 64 wide, 150 steps at 0.011 came to 5.16 nats, at 0.0015 to 4.63.
    """
    share = 1.0 if shape.objective == "causal" else 0.25
    return float(share * 0.3118 * (6.0 * shape.non_embedding * tokens) ** -0.125)


def width_rule(objective: Objective, width: int) -> SizeOptions:
    """The size of some width, by the rule above; without a name."""
    wished = min(64, max(8, width / 4))
    heads = [size for size in range(2, min(width, 128) + 1, 2) if width % size == 0]
    head = min(heads, key=lambda size: (abs(size - wished), size))
    hidden = 4 * width if objective != "causal" else 8 * math.ceil(width / 3)
    return SizeOptions(
        name="",
        width=width,
        layers=max(2, round(2 * math.log2(width / 16))),
        heads=width // head,
        hidden=hidden,
    )


def _ruled(family: FamilyOptions, objective: Objective, vocabulary: int) -> Iterator[SizeOptions]:
    """Sizes at equal ratios up to the largest: for each the width whose count is nearest."""

    def count(size: SizeOptions) -> int:
        return non_embedding(objective, size.width, size.layers, size.hidden, vocabulary)

    widths = [*range(8, 64, 4), *range(64, 256, 8), *range(256, WIDEST + 1, 64)]
    every = ((count(size), size) for size in (width_rule(objective, w) for w in widths))
    known = [
        each
        for each in takewhile(lambda each: each[0] <= family.most, every)
        if each[0] >= (family.least or 0)
    ]
    if not 1 <= family.sizes <= len(known):
        smallest = count(width_rule(objective, widths[0]))
        raise UsageError(
            f"The rule has {len(known)} sizes from {family.least or smallest:,.0f} to "
            f"{family.most:,.0f} parameters outside the embeddings, and {family.sizes} are asked "
            f"for; the smallest of all has {smallest:,}.\n"
            "Give --max-params a larger number, or ask for fewer --sizes."
        )
    least = max(family.least or family.most / SPACING ** (family.sizes - 1), known[0][0])
    chosen = _spread(known, least, family.most, family.sizes)
    for number, size in chosen:
        yield SizeOptions(
            name=f"{family.name}-{short(number).lower()}",
            width=size.width,
            layers=size.layers,
            heads=size.heads,
            hidden=size.hidden,
        )


_Counted = tuple[int, SizeOptions]


def _spread(known: list[_Counted], least: float, most: float, sizes: int) -> list[_Counted]:
    """So many of ``known``, each the nearest to its place at equal ratios, no two the same."""
    ratio = (most / least) ** (1 / max(1, sizes - 1))
    chosen: list[_Counted] = []
    first = 0
    for number in range(sizes):
        wished = most / ratio ** (sizes - 1 - number)
        left = range(first, len(known) - (sizes - 1 - number))
        place = min(left, key=lambda at: abs(math.log(known[at][0] / wished)))
        chosen.append(known[place])
        first = place + 1
    return chosen


def _rates(size: SizeOptions, rate: float | None) -> tuple[float, float]:
    """0 stands for the rule, which needs the number of tokens."""
    if not size.rates:
        return (rate or 0.0, rate or 0.0)
    return (size.rates[0], size.rates[-1])


def _check(given: tuple[SizeOptions, ...]) -> None:
    names = [size.name for size in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"Two sizes are called '{twice}'. Give each a name of its own.")
    for size in given:
        numbers = (size.width, size.layers, size.heads, size.hidden, size.batch_rows or 1)
        if min(numbers) < 1:
            raise UsageError(f"The size '{size.name}' has a number below 1: {numbers}.")
        if size.width % size.heads or size.width // size.heads % 2:
            raise UsageError(
                f"The size '{size.name}' is {size.width} wide with {size.heads} heads; a head "
                "must have an even, whole width."
            )
