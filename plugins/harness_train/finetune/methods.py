"""How much of a model is trained: all, a low-rank addition, rescaling vectors, a prefix, a head.

The parameter-efficient methods are peft's, but for the prefix. ``lora``: Hu et al. 2021,
arXiv:2106.09685; ``adalora``: Zhang et al. 2023, arXiv:2303.10512; ``adapter``: IA³ (Liu et al.
2022, arXiv:2205.05638), learnt rescaling vectors, as peft has no bottleneck adapters; ``prefix``:
Li and Liang 2021, arXiv:2101.00190, by :mod:`harness_hf.prefixed`; ``head``: the new output layer
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness_hf.prefix import FOLDER, WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from harness.training import Method
    from harness.types import RequestKind

RANK = 8
VIRTUAL_TOKENS = 8
RATES: dict[str, float] = {
    "full": 5e-5,
    "lora": 3e-4,
    "adalora": 5e-4,
    "adapter": 1e-3,
    "prefix": 2e-3,
    "head": 1e-3,
}
"""AdamW's peak learning rate by method for a model 768 wide, where none is given."""
USUAL_WIDTH = 768
MOST_RATE = 2e-2
TASK_TYPES = {"tag": "TOKEN_CLS", "classify": "SEQ_CLS", "generate": "CAUSAL_LM"}


def usual_rate(method: Method, width: int) -> float:
    """A method's peak learning rate: inverse to the width, as the steps of wider layers add up
    (Yang et al. 2022, arXiv:2203.03466, table 3), and at most ``MOST_RATE``."""
    return min(RATES[method] * USUAL_WIDTH / width, MOST_RATE)


def apply_method(model: Any, method: Method, kind: RequestKind, steps: int) -> Any:
    """The model with only the method's parameters trainable; a peft model for those of peft.

    ``steps`` are the optimiser's, by which AdaLoRA plans its ranks. Raises UsageError where the
    method cannot be applied to the architecture.
    """
    if method == "full":
        return model
    if method == "head":
        return _head_only(model, kind)
    name = getattr(model.config, "model_type", "unknown")
    try:
        if method == "prefix":
            return _behind_prefix(model, kind)
        return _wrapped(model, method, kind, steps)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:160]
        others = "full" if method in ("lora", "adalora") else "full or lora"
        raise UsageError(
            f"Method '{method}' cannot be applied to the architecture '{name}': {reason}\n"
            f"Use --method {others}, or another checkpoint."
        ) from error


def refuse_method(method: Method, kind: RequestKind, name: str) -> None:
    """Raise UsageError for a method that no architecture takes for ``kind``."""
    if method == "head" and kind == "generate":
        raise UsageError(
            f"Method 'head' trains a new output layer, and '{name}' needs none to write answers.\n"
            "Use full, lora, adalora, adapter or prefix."
        )


def _head_only(model: Any, kind: RequestKind) -> Any:
    for parameter in model.base_model.parameters():
        parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError(f"'{type(model).__name__}' has no output layer of its own to train.")
    return model


def _behind_prefix(model: Any, kind: RequestKind) -> Any:
    from harness_hf.prefixed import NAME, draw_prefix

    body = {id(parameter) for parameter in model.base_model.parameters()}
    draw_prefix(model, VIRTUAL_TOKENS)
    for name, parameter in model.named_parameters():
        head = kind != "generate" and id(parameter) not in body
        parameter.requires_grad_(head or f".{NAME}." in name)
    return model


def _wrapped(model: Any, method: Method, kind: RequestKind, steps: int) -> Any:
    import peft

    whole = bool(getattr(model.config, "is_encoder_decoder", False))
    task = "SEQ_2_SEQ_LM" if whole and kind == "generate" else TASK_TYPES[kind]
    if method == "adapter":
        return peft.get_peft_model(model, peft.IA3Config(task_type=task))
    targets = _targets(model)
    if method == "lora":
        lora = peft.LoraConfig(
            r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, task_type=task, target_modules=targets
        )
        return peft.get_peft_model(model, lora)
    # The budget is met half-way, at least one step before the last, however few there are: peft
    # cuts the ranks at step total_step - tfinal, counted from nought.
    return peft.get_peft_model(
        model,
        peft.AdaLoraConfig(
            init_r=RANK + RANK // 2,
            target_r=RANK,
            lora_alpha=2 * RANK,
            lora_dropout=0.0,
            tinit=steps // 10,
            tfinal=max(1, steps // 2) if steps > 1 else 0,
            deltaT=max(1, steps // 100),
            total_step=steps,
            task_type=task,
            target_modules=targets,
        ),
    )


def _targets(model: Any) -> list[str] | None:
    """None where peft knows the architecture's attention; else every linear layer of the body."""
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN
    from torch import nn

    if getattr(model.config, "model_type", "") in KNOWN:
        return None
    inner = {id(module) for module in model.base_model.modules()}
    found = [
        name
        for name, module in model.named_modules()
        if id(module) in inner and isinstance(module, nn.Linear)
    ]
    if not found:
        raise ValueError("it has no linear layers")
    return found


def trainable_parameters(model: Any) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def save_plain(model: Any, method: Method, folder: Path) -> None:
    """Write a checkpoint with what was learnt merged into its weights, a prefix beside them."""
    if method == "prefix":
        from safetensors.torch import save_file

        from harness_hf.prefixed import take_off

        (folder / FOLDER).mkdir()
        save_file(take_off(model), folder / FOLDER / WEIGHTS)
    plain_model(model, method).save_pretrained(folder)


def plain_model(model: Any, method: Method) -> Any:
    """The model as transformers' own class again, with all that was learnt but a prefix."""
    if method in ("lora", "adalora", "adapter"):
        return model.merge_and_unload()
    return model
