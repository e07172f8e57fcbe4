"""The loss: of all labels of an update alike, or of all classes alike; and what is learnt of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness_train.finetune.encoding import IGNORED

if TYPE_CHECKING:
    from harness_train.finetune.encoding import Encoded


def count_learnt(labels: Any, shifted: bool) -> int:
    """How many labels of a batch the loss is the mean over; ``shifted``: the first is none."""
    return int((labels[..., 1:] if shifted else labels).ne(IGNORED).sum())


def class_weights(labels: Counter[int], number: int) -> list[float]:
    """n / (classes · n_class) for each class, as scikit-learn's ``balanced``; 1 for one unseen."""
    seen = sum(labels.values())
    present = sum(1 for i in range(number) if labels[i])
    return [seen / (present * labels[i]) if labels[i] else 1.0 for i in range(number)]


def count_labels(encoded: Encoded) -> Counter[int]:
    """How often each label number occurs."""
    counts: Counter[int] = Counter()
    for row in encoded.rows:
        labels = row["labels"]
        counts.update([labels] if isinstance(labels, int) else labels)
    del counts[IGNORED]
    return counts


def weighted_loss(train: Encoded, number: int) -> Callable[..., Any]:
    """Cross-entropy in which each of ``number`` classes counts as much as any other.

    In training it is the weighted sum over the labels of all batches that make one update, whose
    number ``Trainer`` hands over: it adds what comes back of each and divides by nothing. Weights
    are 1 on average over the training texts. In an evaluation it is the batch's weighted mean.
    """
    import torch

    weights = torch.tensor(class_weights(count_labels(train), number))

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        logits = outputs["logits"]
        found = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]).float(),
            labels.reshape(-1),
            weight=weights.to(logits.device),
            ignore_index=IGNORED,
            reduction="mean" if num_items_in_batch is None else "sum",
        )
        return found if num_items_in_batch is None else found / num_items_in_batch

    return loss


@contextmanager
def plain_loss(model: Any) -> Iterator[None]:
    """Inside, AdaLoRA adds next to nothing to the loss, so that losses of methods compare."""
    configs = getattr(model, "peft_config", {}).values()
    planned = [config for config in configs if hasattr(config, "orth_reg_weight")]
    before = [config.orth_reg_weight for config in planned]
    for config in planned:
        config.orth_reg_weight = 1e-30  # peft takes no zero
    try:
        yield
    finally:
        for config, weight in zip(planned, before, strict=True):
            config.orth_reg_weight = weight
