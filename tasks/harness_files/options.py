"""Checks of what the command line says about a task that reads files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError, suggestion
from harness.fetching import fetched
from harness.types import Option
from harness_files.hub import HUB

if TYPE_CHECKING:
    from harness.types import TaskSettings

SUBSET = Option(name="subset", help="which part of the hub's data set, see harness data list")


def check_options(name: str, settings: TaskSettings, options: Sequence[Option]) -> None:
    """Raise UsageError for an option that task ``name`` does not know."""
    known = [option.name for option in options]
    for given in settings.options:
        if given not in known:
            raise UsageError(
                f"Task '{name}' has no option '{given}'. {suggestion(given, known)}".rstrip()
            )


def data_file(name: str, settings: TaskSettings, subset: str | None = None) -> str:
    """The one file of ``NAME:FILE`` or ``NAME:data=FILE``; UsageError unless just one is given.

    ``hub`` stands for the task's file of the hub, as `harness data fetch NAME` kept it: that of
    ``subset``, else of the option of that name, else the first.
    """
    given = [path for path in (settings.argument, settings.options.get("data", "")) if path]
    if not given:
        raise UsageError(f"Task '{name}' needs a file.\nWrite '{name}:FILE' or '{name}:data=FILE'.")
    if len(given) > 1:
        raise UsageError(
            f"Task '{name}' is given two files, '{given[0]}' and '{given[1]}'.\nKeep one of them."
        )
    return given[0] if given[0] != "hub" else _hub_file(name, "data", settings, subset)


def pool_file(name: str, settings: TaskSettings, subset: str | None = None) -> str:
    """The file of worked examples; empty where none is named. ``hub`` as for the data."""
    path = settings.options.get("shots_data", "")
    return path if path != "hub" else _hub_file(name, "shots_data", settings, subset)


def _hub_file(name: str, option: str, settings: TaskSettings, subset: str | None) -> str:
    """Where the task's file of the hub lies; UsageError for none, DataError for one unfetched."""
    offered = [source for source in HUB.get(name, ()) if source.option == option]
    if not offered:
        raise UsageError(f"Task '{name}' has no {option} on the hub.\nWrite {option}=FILE.")
    wanted = settings.options.get("subset", "") if subset is None else subset
    found = next((one for one in offered if one.subset == wanted), None)
    subsets = sorted({one.subset for one in offered} - {""})
    if found is None and wanted and subsets:
        raise UsageError(
            f"Task '{name}' has no subset '{wanted}' on the hub. {suggestion(wanted, subsets)}"
        )
    return str(fetched(name, found or offered[0]).path)


def choice_option(
    name: str, settings: TaskSettings, option: str, choices: Sequence[str], default: str
) -> str:
    """The value of an option that takes one of ``choices``."""
    value = settings.options.get(option, default)
    if value not in choices:
        raise UsageError(
            f"Task '{name}': {option}={value} is not possible. {suggestion(value, choices)}"
        )
    return value


def number_option(name: str, settings: TaskSettings, option: str) -> int | None:
    """The value of an option that takes a whole number from 1; None where it is not given."""
    text = settings.options.get(option)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) > 0):
        raise UsageError(
            f"Task '{name}': {option}={text} is not possible.\nGive a whole number from 1."
        )
    return int(text)
