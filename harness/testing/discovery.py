"""Checks of a plugin as a whole: how it is found, and what it declares."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from harness.plugins import PluginInfo, Registry, load_registry
from harness.testing.results import CheckFailed
from harness.types import ModelSpec, TaskSpec

HEAVY = (
    "datasets",
    "jax",
    "nltk",
    "numpy",
    "pandas",
    "rouge_score",
    "sacrebleu",
    "scipy",
    "sklearn",
    "tensorflow",
    "torch",
    "transformers",
)
SECONDS = 120
_SCRIPT = """
import json, sys
name, value, heavy, sys.path[:] = json.loads(sys.argv[1])
from importlib.metadata import entry_points
from harness.plugins import GROUP, load_registry
before = set(sys.modules)
points = [p for p in entry_points(group=GROUP) if (p.name, p.value) == (name, value)]
load_registry(points)
print("\\n" + json.dumps(sorted((set(sys.modules) - before) & set(heavy))))
"""


@dataclass(frozen=True, kw_only=True)
class PluginSubject:
    """A plugin under test, and the registry it was found in."""

    info: PluginInfo
    registry: Registry

    @property
    def label(self) -> str:
        """What results call it."""
        return f"plugin {self.info.name}"

    @property
    def specs(self) -> tuple[ModelSpec | TaskSpec, ...]:
        """Everything the plugin declares and the registry kept."""
        models = [e.spec for e in self.registry.models.values() if e.plugin == self.info]
        tasks = [e.spec for e in self.registry.tasks.values() if e.plugin == self.info]
        return (*models, *tasks)


def check_it_loads(subject: PluginSubject) -> None:
    """Imported, its hooks known and marked, its specs of the right type."""
    info = subject.info
    if info.error:
        raise CheckFailed(f"Plugin {info.name} ({info.source}, {info.target}): {info.error}")


def check_its_name_is_its_own(subject: PluginSubject) -> None:
    """No other distribution has a plugin of this name."""
    same = [p.source for p in subject.registry.plugins if p.name == subject.info.name]
    if len(same) > 1:
        raise CheckFailed(
            f"Several distributions name a plugin '{subject.info.name}': {', '.join(same)}.\n"
            "Rename the entry point, or uninstall what is not meant."
        )


def check_it_offers_something(subject: PluginSubject) -> None:
    """At least one hook is implemented."""
    managers = [manager for info, manager in subject.registry.observers if info == subject.info]
    implemented = any(m.get_hookcallers(plugin) for m in managers for plugin in m.get_plugins())
    if not implemented:
        raise CheckFailed(
            f"{subject.info.target} implements no hook.\n"
            "Write @harness.hookimpl above a function harness_models or harness_tasks."
        )


def check_its_names_are_free(subject: PluginSubject) -> None:
    """Nothing it offers is offered by another plugin too."""
    for key, message in subject.registry.clashes.items():
        noun, _, name = key.partition(" ")
        if name in (subject.info.models if noun == "model" else subject.info.tasks):
            raise CheckFailed(message)


def check_nothing_heavy_is_imported_at_discovery(subject: PluginSubject) -> None:
    """In a fresh interpreter: every command loads every plugin, `harness models` included."""
    job = json.dumps([subject.info.name, subject.info.target, HEAVY, sys.path])
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, job],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckFailed(f"A fresh interpreter could not load {subject.info.target}: {reason}")
    heavy = json.loads(done.stdout.splitlines()[-1])
    if heavy:
        raise CheckFailed(
            f"Loading {subject.info.target} imports {', '.join(heavy)}.\n"
            "Import that inside the function that needs it; hooks only declare."
        )


def check_it_declares_the_same_each_time(subject: PluginSubject) -> None:
    """A second discovery finds the same names."""
    again = [info for info in load_registry().plugins if info == subject.info]
    if not again:
        raise CheckFailed(
            f"The hooks of {subject.info.target} yield other names when called again.\n"
            "Let them depend on nothing that changes."
        )


def check_its_specs_are_described(subject: PluginSubject) -> None:
    """Descriptions for the lists, options unique and explained, a size within a family."""
    for spec in subject.specs:
        noun = "Model" if isinstance(spec, ModelSpec) else "Task"
        if not spec.description.strip():
            raise CheckFailed(
                f"{noun} '{spec.name}' has no description.\n"
                f"Give its {noun}Spec one line for `harness {noun.lower()}s`."
            )
        names = [option.name for option in spec.options]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise CheckFailed(f"{noun} '{spec.name}' declares the option '{repeated[0]}' twice.")
        for option in spec.options:
            if not option.name.isidentifier() or not option.help.strip():
                raise CheckFailed(
                    f"{noun} '{spec.name}' has the option {option.name!r} with help "
                    f"{option.help!r}.\nA name is letters, digits and '_'; help says what it does."
                )
        if isinstance(spec, ModelSpec) and spec.family and not spec.argument and not spec.size:
            raise CheckFailed(
                f"Model '{spec.name}' of the family '{spec.family}' has no size.\n"
                "Give its ModelSpec a size (parameters), so that the family is listed in order."
            )


CHECKS: tuple[Callable[[PluginSubject], None], ...] = (
    check_it_loads,
    check_its_name_is_its_own,
    check_it_offers_something,
    check_its_names_are_free,
    check_nothing_heavy_is_imported_at_discovery,
    check_it_declares_the_same_each_time,
    check_its_specs_are_described,
)
