"""Keep the chatter of transformers and its hub client off the user's terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def import_transformers() -> Any:
    """The library. What it sets up at its import must happen in quiet, before it is used in quiet:
    until then it has no loggers to silence."""
    with quiet():
        import transformers
    return transformers


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars, advice and warnings inside; put the settings back afterwards.

    What they would have said is either checked by us (missing tensors) or no news to a user.
    """
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    transformers_logging = sys.modules.get("transformers.utils.logging")
    model_bars = transformers_logging is not None and transformers_logging.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    hub_bars = not are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    disable_progress_bars()
    if transformers_logging is not None:
        transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if model_bars and transformers_logging is not None:
            transformers_logging.enable_progress_bar()
        elif hub_bars:
            enable_progress_bars()
