"""The files of a learnt prefix: keys and values that stand before every text, beside the weights.

Prefix tuning (Li and Liang 2021, arXiv:2101.00190; for encoders P-Tuning v2, Liu et al. 2022,
arXiv:2110.07602) leaves the weights as they are. What it learns lies in the checkpoint's folder
``prefix``: one safetensors file with ``MODULE.learnt_prefix.keys`` and ``.values`` [heads, length,
size] for each attention module. How it is computed with: :mod:`harness_hf.prefixed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "prefix"
WEIGHTS = "prefix.safetensors"
FOREIGN = "adapter_config.json"


def prefix_files(folder: Path) -> tuple[Path, ...]:
    """The file of the prefix in a checkpoint's folder; empty where there is none.

    Raises DataError for a folder that holds a prefix of peft's, which is not read: ignoring it
    would score the model without what it learnt.
    """
    if (folder / FOLDER / WEIGHTS).is_file():
        return (folder / FOLDER / WEIGHTS,)
    if (folder / FOLDER / FOREIGN).is_file():
        raise DataError(
            f"{folder / FOLDER} holds a prefix in peft's format, which is not read.\n"
            "Train it again with harness finetune --method prefix."
        )
    return ()
