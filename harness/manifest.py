"""What a run must remember of the place it ran at: versions, platform, git commit, times."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from harness import __version__
from harness.errors import UsageError
from harness.plan import Plan
from harness.plugins import Registry
from harness.results import Manifest, PlannedCell

NOTED = ("torch", "transformers", "tokenizers", "numpy", "scipy", "sacrebleu", "rouge-score")
BINDING = ("limit", "shots", "seed", "dtype", "chat_template", "system")


def new_manifest(
    made: Plan, registry: Registry, command: Sequence[str], earlier: Manifest | None
) -> Manifest:
    """The manifest of a run that starts now in a directory that may hold an earlier one.

    The cells of both are then one run. Raises UsageError when the earlier run's settings differ,
    since its scores would stand beside scores that were made another way.
    """
    settings = {
        "limit": made.request.limit,
        "shots": made.request.shots,
        "seed": made.request.seed,
        "dtype": made.request.dtype,
        "device": made.request.device,
        "batch_size": made.request.batch_size,
        "chat_template": made.request.chat_template,
        "system": made.request.system,
    }
    cells = tuple(PlannedCell(model=c.model.text, task=c.task.text) for c in made.cells)
    if earlier is not None:
        for name in BINDING:
            if earlier.settings.get(name) != settings[name]:
                raise UsageError(
                    f"The directory holds a run with {name} {earlier.settings.get(name)}, and this "
                    f"command has {name} {settings[name]}.\nGive another directory with -o."
                )
        cells = tuple(dict.fromkeys((*earlier.cells, *cells)))
    return Manifest(
        command=tuple(command),
        settings=MappingProxyType(settings),
        cells=cells,
        versions=_versions(registry),
        platform=_platform(),
        git_commit=_git_commit(),
        started=now(),
        status="running",
    )


def now() -> str:
    """The time in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions(registry: Registry) -> Mapping[str, str]:
    found = {"harness": __version__}
    for plugin in registry.plugins:
        if not plugin.error:
            found[plugin.distribution] = plugin.version
    for name in NOTED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return MappingProxyType(found)


def _platform() -> Mapping[str, str]:
    return MappingProxyType(
        {
            "system": platform.platform(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cpus": str(os.cpu_count()),
        }
    )


def _git_commit() -> str | None:
    """The commit of the working directory's repository, where there is one and git is there."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
