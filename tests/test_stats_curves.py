from __future__ import annotations

import numpy as np
import pytest
from gate_toys import ACC, BPB

from harness.laws import Series
from harness.stats.curves import compare_curves
from harness.types import Metric

SIZES = np.array([1e3, 4e3, 16e3, 64e3, 256e3])


def errors(alpha: float, level: float, *, seed: int, scatter: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, scatter, SIZES.size)
    return level * (SIZES / 16e3) ** -alpha * np.exp(noise)


def accuracy_series(values: np.ndarray, *, items: int, seed: int) -> Series:
    """Accuracy curves whose replicates are binomial draws of so many items."""
    generator = np.random.default_rng(seed)
    drawn = generator.binomial(items, values, (1000, values.size)) / items
    return Series(
        sizes=tuple(SIZES), values=tuple(100 * (1 - values)), metric=ACC,
        replicates=100 * (1 - drawn),
    )  # fmt: skip


def test_a_family_against_itself_differs_in_nothing() -> None:
    curve = accuracy_series(errors(0.3, 0.3, seed=1, scatter=0.02), items=2000, seed=2)
    found = compare_curves(curve, curve)
    assert found.exponent is not None and found.level is not None
    assert found.exponent.difference == 0 and found.exponent.p == 1
    assert found.level.difference == 0 and found.level.p == 1


def test_a_smaller_exponent_and_a_worse_level_are_told_apart() -> None:
    steep = accuracy_series(errors(0.4, 0.2, seed=1, scatter=0.005), items=20_000, seed=3)
    flat = accuracy_series(errors(0.2, 0.2, seed=2, scatter=0.005), items=20_000, seed=4)
    low = accuracy_series(errors(0.4, 0.24, seed=5, scatter=0.005), items=20_000, seed=6)
    fell = compare_curves(steep, flat)
    assert fell.exponent is not None and fell.level is not None
    assert fell.exponent.difference == pytest.approx(-0.2, abs=0.02)
    assert fell.exponent.ci[0] < -0.2 < fell.exponent.ci[1] < 0
    assert fell.exponent.p_below < 0.01 < 0.9 < fell.exponent.p_above
    assert fell.level.p > 0.05
    worse = compare_curves(steep, low)
    assert worse.exponent is not None and worse.level is not None
    assert worse.level.difference == pytest.approx(-4, abs=0.5)
    assert worse.level.p_below < 0.01
    assert worse.exponent.p > 0.05


@pytest.mark.parametrize("same_sizes", [True, False])
def test_retrained_families_of_one_law_rarely_differ(same_sizes: bool) -> None:
    below = 0
    for seed in range(60):
        curves = [
            Series(
                sizes=tuple(SIZES * (1 if same_sizes or part == 0 else 1.5)),
                values=tuple(
                    errors(0.3, 1.0, seed=1000 * part + seed, scatter=0.03)
                    * (1 if same_sizes or part == 0 else 1.5**-0.3)
                ),
                metric=Metric(name="loss", higher_is_better=False, bounds=(0, None)),
            )
            for part in (0, 1)
        ]
        exponent = compare_curves(*curves, seed=seed).exponent
        assert exponent is not None
        below += exponent.p_below <= 0.05
    # A test at 5 % gives 3 of 60; 8 or more would be a chance of 1 in 100.
    assert below < 8


def test_the_scatter_of_few_points_is_not_forgotten() -> None:
    # Without item draws the interval is Student's t on the residuals of the difference.
    a, b = (errors(0.3, 1.0, seed=seed, scatter=0.05) for seed in (1, 2))
    metric = Metric(name="loss", higher_is_better=False, bounds=(0, None))
    found = compare_curves(
        *(Series(sizes=tuple(SIZES), values=tuple(v), metric=metric) for v in (a, b))
    ).exponent
    l = np.log(SIZES) - np.log(SIZES).mean()  # noqa: E741
    z = np.log(b) - np.log(a)
    slope = (l @ z) / (l @ l)
    left = z - z.mean() - slope * l
    error = np.sqrt(left @ left / 3 / (l @ l))
    assert found is not None
    assert found.difference == pytest.approx(-slope)
    assert found.ci[1] - found.ci[0] == pytest.approx(2 * 3.182 * error, rel=0.15)


def test_a_curve_that_cannot_be_told_is_not_compared() -> None:
    flat = Series(sizes=tuple(SIZES), values=(1.0, 1.3, 0.9, 1.2, 1.0), metric=BPB)
    good = Series(sizes=tuple(SIZES), values=tuple(errors(0.3, 1, seed=1, scatter=0)), metric=BPB)
    found = compare_curves(good, flat)
    assert found.exponent is None and found.level is None
    assert found.note.startswith("The second curve has no exponent: ")
