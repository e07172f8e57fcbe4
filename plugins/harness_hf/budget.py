"""How much is computed at once: by the memory that is left, on a CPU no more than pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness_hf.batching import CPU_ROWS, CPU_TOKENS
from harness_hf.memory import free_bytes

if TYPE_CHECKING:
    from harness_hf.loading import Loaded

SHARE = 0.5
"""Of the free memory; the rest is for what is not estimated here, and for fragmentation."""
CPU_HELD = 128 << 20
"""Bytes of keys and values that a CPU holds for more than a few rows, or as many as the layers'
matrices have, which every step reads for all rows together."""
LARGE_VOCABULARY = 16_384
"""From which a batch on a CPU has twice as many tokens: its output head is read once for all."""
MOST_TOKENS = 65_536
MOST_ROWS = 512


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Bytes that a token takes: ``kept`` as key and value in all layers, ``passing`` while its
    layer is computed, ``logits`` where it is scored, ``scores`` for each token that it attends
    to. A batch of ``paying`` tokens is what pays on a CPU. ``matrices``: bytes of those of all
    layers."""

    kept: int
    passing: int
    logits: int
    scores: int = 0
    paying: int = CPU_TOKENS
    matrices: int = 0

    @classmethod
    def of(cls, config: Any, *, size: int, chunked: bool, scored: bool = False) -> Costs | None:
        """Estimated from the configuration of a model's text part, for numbers of ``size`` bytes.

        ``chunked``: logits are never held for all positions; ``scored``: attention scores are.
        ``None`` where the configuration does not say what is needed.
        """
        hidden, layers = _number(config, "hidden_size"), _number(config, "num_hidden_layers")
        heads = _number(config, "num_attention_heads")
        if not (hidden and layers and heads):
            return None
        groups = _number(config, "num_key_value_heads") or heads
        wide = _number(config, "intermediate_size") or 4 * hidden
        width = _number(config, "head_dim") or hidden // heads
        # float32 logits, their exponentials and a copy, beside the model's own
        vocabulary = _number(config, "vocab_size") or 0
        logits = 0 if chunked else vocabulary * (size + 12)
        return cls(
            kept=2 * layers * groups * width * size,
            # the stream, its norm, queries, keys, values, attention's output; gate, up and product
            passing=(8 * hidden + 3 * wide) * size,
            logits=logits,
            scores=heads * 2 * (size + 4) if scored else 0,  # before and after float32's softmax
            paying=CPU_TOKENS * (2 if vocabulary >= LARGE_VOCABULARY else 1),
            matrices=layers * hidden * (2 * (heads + groups) * width + 3 * wide) * size,
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """``tokens`` bound rows times width of a batch; ``slots``, where there is a bound, the tokens
    that all rows of a generation hold together; ``most`` the rows. Many rows with more than
    ``held`` of these tokens do not pay."""

    tokens: int = CPU_TOKENS
    slots: int | None = None
    most: int = CPU_ROWS
    held: int | None = None

    @classmethod
    def within(cls, free: int, costs: Costs, *, context: int | None) -> Budget:
        """What ``free`` bytes hold; a text of ``context`` tokens brings masks of that width."""
        usable = int(free * SHARE)
        masks = (3 + costs.scores) * (context or 0)
        each = costs.kept + costs.passing + costs.logits + masks
        tokens = min(MOST_TOKENS, max(CPU_TOKENS, usable // each))
        return cls(tokens=tokens, slots=usable // max(1, costs.kept), most=MOST_ROWS)

    @classmethod
    def on_cpu(cls, free: int, costs: Costs) -> Budget:
        """What pays on a CPU, or what ``free`` bytes hold where that is less: a host that has no
        memory left kills the process, and there is nothing to split then."""
        usable = int(free * SHARE)
        each = costs.kept + costs.passing + costs.logits
        tokens = max(1, min(costs.paying, usable // each))
        kept = max(1, costs.kept)
        return cls(tokens=tokens, slots=usable // kept, held=max(CPU_HELD, costs.matrices) // kept)

    def rows(self, longest: int) -> int:
        """How many texts of up to ``longest`` tokens are continued at a time."""
        if self.slots is None:
            return self.most
        return max(1, min(self.most, self.slots // max(1, longest)))


def budget_of(loaded: Loaded, *, context: int | None, chunked: bool) -> Budget:
    """The budget of a loaded model on its device."""
    size = loaded.dtype.itemsize
    scored = loaded.device.type == "mps"
    costs = Costs.of(loaded.config, size=size, chunked=chunked, scored=scored)
    free = free_bytes(str(loaded.device))
    if costs is None or free is None:
        return Budget()
    if loaded.device.type == "cpu":
        return Budget.on_cpu(free, costs)
    return Budget.within(free, costs, context=context)


def _number(config: Any, name: str) -> int | None:
    value = getattr(config, name, None)
    return value if isinstance(value, int) and value > 0 else None
