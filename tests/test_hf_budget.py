"""How much is computed at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from hf_tiny import ARCHITECTURES  # noqa: E402

from harness_hf.batching import CPU_ROWS, CPU_TOKENS, batches  # noqa: E402
from harness_hf.budget import (  # noqa: E402
    CPU_HELD,
    LARGE_VOCABULARY,
    MOST_ROWS,
    MOST_TOKENS,
    SHARE,
    Budget,
    Costs,
)

COSTS = st.builds(
    Costs, kept=st.integers(1, 10**6), passing=st.integers(1, 10**6), logits=st.integers(0, 10**6)
)


@given(free=st.integers(0, 10**11), costs=COSTS, context=st.none() | st.integers(1, 10**5))
def test_a_batch_stays_within_its_share_but_for_the_least(
    free: int, costs: Costs, context: int | None
) -> None:
    budget = Budget.within(free, costs, context=context)
    each = costs.kept + costs.passing + costs.logits
    assert CPU_TOKENS <= budget.tokens <= MOST_TOKENS
    assert budget.tokens == CPU_TOKENS or budget.tokens * each <= free * SHARE
    for longest in (1, 100, 10**6):
        rows = budget.rows(longest)
        assert 1 <= rows <= MOST_ROWS
        assert rows == 1 or rows * longest * costs.kept <= free * SHARE


def test_masks_as_wide_as_the_context_take_their_share() -> None:
    costs = Costs(kept=100, passing=100, logits=0, scores=5)
    found = [Budget.within(10**9, costs, context=n).tokens for n in (None, 10**4, 10**5)]
    assert found == [MOST_TOKENS, 10**9 // 2 // (200 + 8 * 10**4), CPU_TOKENS]


@given(free=st.integers(0, 10**11), costs=COSTS)
def test_a_cpu_takes_what_pays_or_what_it_has(free: int, costs: Costs) -> None:
    budget = Budget.on_cpu(free, costs)
    each = costs.kept + costs.passing + costs.logits
    assert budget.tokens == CPU_TOKENS or budget.tokens in (1, int(free * SHARE) // each)
    for longest in (1, 100, 10**6):
        rows = budget.rows(longest)
        assert rows == CPU_ROWS or rows == 1 or (rows + 1) * longest * costs.kept > free * SHARE
        assert 1 <= rows <= CPU_ROWS
        assert rows == 1 or rows * longest * costs.kept <= free * SHARE


def test_texts_that_the_host_cannot_hold_together_take_turns() -> None:
    # 24 layers of 16 heads of 128: 64 texts of 2,048 tokens would take 51 GB
    costs = Costs(kept=2 * 24 * 2048 * 4, passing=10**5, logits=0)
    budget = Budget.on_cpu(16 * 10**9, costs)
    assert (budget.tokens, budget.rows(2048)) == (CPU_TOKENS, 9)


def test_keys_and_values_may_take_as_much_as_the_weights_of_a_large_model() -> None:
    from transformers import LlamaConfig

    small = Costs.of(LlamaConfig(hidden_size=128, num_hidden_layers=2), size=4, chunked=True)
    large = Costs.of(LlamaConfig(hidden_size=2048, num_hidden_layers=16), size=4, chunked=True)
    assert small is not None and large is not None
    assert large.matrices == 16 * (4 * 2048**2 + 3 * 2048 * 11008) * 4
    held = [Budget.on_cpu(10**12, costs).held for costs in (small, large)]
    assert held == [CPU_HELD // small.kept, large.matrices // large.kept]


def test_a_large_output_head_is_read_for_more_tokens() -> None:
    from transformers import LlamaConfig

    found = []
    for vocabulary in (LARGE_VOCABULARY - 1, LARGE_VOCABULARY):
        costs = Costs.of(LlamaConfig(vocab_size=vocabulary), size=4, chunked=True)
        assert costs is not None
        found.append(Budget.on_cpu(10**11, costs).tokens)
    assert found == [CPU_TOKENS, 2 * CPU_TOKENS]


def test_what_memory_there_is_nobody_knows() -> None:
    budget = Budget()
    assert (budget.tokens, budget.rows(10**6)) == (CPU_TOKENS, CPU_ROWS)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"mamba"}))
def test_keys_and_values_are_counted_as_they_are_kept(architecture: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, settings = ARCHITECTURES[architecture]
    config = AutoConfig.for_model(kind, **settings)
    costs = Costs.of(config, size=4, chunked=True)
    assert costs is not None
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        cache = model(torch.zeros((1, 5), dtype=torch.long), use_cache=True).past_key_values
    held = sum(part.nbytes for layer in cache.layers for part in (layer.keys, layer.values))
    assert held == 5 * costs.kept
    whole = Costs.of(config, size=2, chunked=False)
    assert whole is not None and whole.logits == config.vocab_size * 14


def test_a_configuration_that_does_not_say_gives_no_estimate() -> None:
    from transformers import MambaConfig

    assert Costs.of(MambaConfig(), size=2, chunked=True) is None


@given(
    widths=st.lists(st.integers(1, 50), max_size=30),
    rows=st.none() | st.integers(1, 5),
    padding=st.none() | st.integers(0, 60),
)
def test_a_batch_is_closed_by_tokens_or_padding_and_no_sooner(
    widths: list[int], rows: int | None, padding: int | None
) -> None:
    items = sorted(widths, reverse=True)
    found = list(batches(items, width=int, rows=rows, tokens=100, padding=padding))
    assert [item for batch in found for item in batch] == items

    def fits(batch: list[int]) -> bool:
        if rows:
            return len(batch) <= rows
        added = len(batch) * batch[0] - sum(batch)
        return len(batch) * batch[0] <= 100 and (padding is None or added <= padding)

    assert all(fits(batch) or len(batch) == 1 for batch in found)
    following = found[1:]
    assert not any(fits([*a, b[0]]) for a, b in zip(found, following, strict=False))
