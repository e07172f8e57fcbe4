"""The sizes of the family: the shape of each and the learning rates it is trained with."""

from __future__ import annotations

from dataclasses import dataclass

VOCABULARY = 512
CONTEXT = 512
ROPE_BASE = 1000.0
NORM_EPSILON = 1e-5


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One size: a Llama of some width and depth."""

    name: str
    width: int
    layers: int
    heads: int
    hidden: int  # width of the gated MLP
    batch_rows: int  # rows of a training batch; larger ones cost the wide sizes less time
    matrix_rate: float  # Muon
    other_rate: float  # AdamW: embeddings and norms

    @property
    def non_embedding(self) -> int:
        """Parameters outside the (tied) embedding."""
        layer = 4 * self.width**2 + 3 * self.width * self.hidden + 2 * self.width
        return self.layers * layer + self.width

    @property
    def total(self) -> int:
        """All parameters; the embedding is also the output projection and counts once."""
        return self.non_embedding + VOCABULARY * self.width


def _shape(
    name: str, sizes: tuple[int, int, int, int], batch_rows: int, rates: tuple[float, float]
) -> Shape:
    width, layers, heads, hidden = sizes
    return Shape(
        name=name,
        width=width,
        layers=layers,
        heads=heads,
        hidden=hidden,
        batch_rows=batch_rows,
        matrix_rate=rates[0],
        other_rate=rates[1],
    )


SHAPES = {
    shape.name: shape
    for shape in (
        _shape("nano-1k", (8, 2, 2, 16), 20, (0.04, 0.03)),
        _shape("nano-3k", (12, 2, 2, 32), 20, (0.04, 0.03)),
        _shape("nano-9k", (20, 2, 2, 48), 20, (0.03, 0.02)),
        _shape("nano-24k", (32, 2, 2, 80), 20, (0.025, 0.015)),
        _shape("nano-56k", (48, 2, 3, 128), 20, (0.025, 0.012)),
        _shape("nano-150k", (64, 3, 4, 176), 20, (0.025, 0.012)),
        _shape("nano-420k", (104, 3, 4, 312), 20, (0.02, 0.01)),
        _shape("nano-1m", (168, 3, 6, 448), 20, (0.01, 0.005)),
    )
}
