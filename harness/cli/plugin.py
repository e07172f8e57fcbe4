"""``harness plugin``: write a plugin package, check one."""

from __future__ import annotations

import re
import shlex
import string
from importlib.metadata import Distribution, PackageNotFoundError, entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.common import echo_json
from harness.errors import PluginError, SaveError, UsageError

if TYPE_CHECKING:
    from harness.testing import CheckResult

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
PREFIX = "harness-"
MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


@click.group()
def plugin() -> None:
    """Write a plugin package, or check one."""


@plugin.command()
@click.argument("name")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to; default: ./harness-NAME."
)
def new(name: str, output: Path | None) -> int:
    """Write a package with a model family and a task, which passes its tests at once.

    NAME is the plugin's name in lower case, such as `rhymes` or `my-tasks`; the distribution is
    then called harness-NAME.
    """
    name = name.removeprefix(PREFIX)
    _check_name(name)
    module = _module(name)
    words = {"plugin": name, "distribution": PREFIX + name, "module": module}
    folder = output if output is not None else Path(PREFIX + name)
    _write(folder, words)
    click.echo(f"Wrote {folder}: {module}.py holds a model family and a task; make them yours.")
    click.echo("Next:")
    click.echo(f"  cd {shlex.quote(str(folder))}")
    click.echo("  pip install .")
    click.echo(f"  harness plugin check {name}")
    click.echo(f"  harness run --models {name} --tasks {name}-alphabet")
    return 0


@plugin.command()
@click.argument("name")
@click.option("--models", "-m", multiple=True, help="A model that needs an argument, as for run.")
@click.option("--tasks", "-t", multiple=True, help="A task that needs an argument, as for run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(name: str, models: tuple[str, ...], tasks: tuple[str, ...], as_json: bool) -> int:
    """Check that the installed plugin NAME keeps every promise; see `harness plugins`.

    All models and tasks that the plugin offers are checked; those that need an argument only where
    --models or --tasks give one.

    \b
    Exit codes: 0 every check passed or was skipped, 2 usage, 3 a check failed.
    """
    from harness.testing import check_plugin

    results = check_plugin(name, models, tasks)
    failed = [result for result in results if result.status == "failed"]
    if as_json:
        echo_json(_document(name, results))
    else:
        _print(results)
    return PluginError.exit_code if failed else 0


def _check_name(name: str) -> None:
    if not NAME.match(name):
        raise UsageError(
            f"'{name}' cannot be a plugin's name: use lower-case letters, digits and single "
            "hyphens, beginning with a letter, such as 'my-tasks'."
        )
    for point in entry_points(group="harness", name=name):
        owner = point.dist.name if point.dist else "?"
        if owner != PREFIX + name:
            raise UsageError(
                f"There is a plugin '{name}' already, of the distribution {owner}.\n"
                "Choose another name; `harness plugins` lists those taken."
            )
    if find_spec(_module(name)) is not None and not _is_installed(PREFIX + name):
        raise UsageError(
            f"There is a module {_module(name)} already, which the package would shadow.\n"
            "Choose another name."
        )


def _module(name: str) -> str:
    return (PREFIX + name).replace("-", "_")


def _is_installed(distribution: str) -> bool:
    try:
        Distribution.from_name(distribution)
    except PackageNotFoundError:
        return False
    return True


def _write(folder: Path, words: dict[str, str]) -> None:
    """Fill in every template; raises UsageError where something stands, else SaveError."""
    skeleton = files("harness").joinpath("skeleton")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"'{folder}' is there already, and not an empty directory.\n"
                "Choose another place with -o; nothing was written."
            )
        folder.mkdir(parents=True, exist_ok=True)
        for template in sorted(skeleton.iterdir(), key=lambda one: one.name):
            name = template.name.removesuffix(".txt").replace("module.py", f"{words['module']}.py")
            text = string.Template(template.read_text(encoding="utf-8")).substitute(words)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SaveError(
            f"'{folder}' cannot be written: {error.strerror or error}.\n"
            "Choose another place with -o."
        ) from error


def _print(results: tuple[CheckResult, ...]) -> None:
    subject = ""
    for result in results:
        if result.subject != subject:
            subject = result.subject
            click.echo(subject)
        click.echo(f"  {MARKS[result.status]:8}{result.check}")
        for line in result.reason.splitlines():
            click.echo(f"          {line}")
    counts = [f"{sum(result.status == status for result in results)} {status}" for status in MARKS]
    click.echo(f"{len(results)} checks: {', '.join(counts)}")


def _document(name: str, results: tuple[CheckResult, ...]) -> dict[str, object]:
    return {
        "schema": 1,
        "plugin": name,
        "conforms": all(result.status != "failed" for result in results),
        "checks": [
            {
                "subject": result.subject,
                "check": result.check,
                "status": result.status,
                "reason": result.reason,
            }
            for result in results
        ],
    }
