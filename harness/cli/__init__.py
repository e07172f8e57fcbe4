"""The command line. Each command lives in a module of its own, imported when it is called."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import click

from harness import __version__
from harness.errors import HarnessError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("harness.cli.run", "Run models over tasks; print size tables and scaling fits."),
    "pretrain": ("harness.cli.pretrain", "Train every size of a family from scratch on text."),
    "sweep": ("harness.cli.sweep", "Train sizes × tokens × seeds from scratch into one table."),
    "finetune": ("harness.cli.finetune", "Train models on shares of a task, and evaluate them."),
    "show": ("harness.cli.show", "Print the tables of a finished or half-finished run."),
    "compare": ("harness.cli.compare", "Compare two runs, models or families by paired tests."),
    "baseline": ("harness.cli.baseline", "Keep a run's scores and samples for later checks."),
    "check": ("harness.cli.check", "Judge a run against a baseline: the gate for CI."),
    "fit": ("harness.cli.fit", "Fit scaling laws to a run or to any CSV."),
    "predict": ("harness.cli.predict", "Foretell a score, a needed size, the best use of compute."),
    "leaderboard": ("harness.cli.leaderboard", "Rank models of any runs in one table."),
    "report": ("harness.cli.report", "Write one self-contained page: curves, tables, samples."),
    "plot": ("harness.cli.plot", "Draw a run's scaling curves as PNG or SVG."),
    "models": ("harness.cli.listing", "List the models that plugins offer."),
    "tasks": ("harness.cli.listing", "List the tasks that plugins offer."),
    "laws": ("harness.cli.laws", "List the scaling laws that can be fitted."),
    "plugins": ("harness.cli.listing", "List plugins, the broken ones with the reason."),
    "score": ("harness.cli.score", "Score outputs that were made elsewhere."),
    "data": ("harness.cli.data", "Fetch pinned data sets of the hub, list what is here."),
    "rescore": ("harness.cli.rescore", "Grade a run's saved answers anew, without a model."),
    "doctor": ("harness.cli.doctor", "Ask a model together and alone, and compare the answers."),
    "cache": ("harness.cli.cache", "Look into the response store, shrink it, check it."),
    "import": ("harness.cli.import_", "Make a run of results that another program wrote."),
    "export": ("harness.cli.export", "Write a run in the formats of others."),
    "plugin": ("harness.cli.plugin", "Write a plugin package, or check one."),
}
TABLES = frozenset(
    {"show", "compare", "baseline", "check", "fit", "predict", "leaderboard", "report", "plot"}
)
"""Commands whose work is many small matrix products."""

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
BUG = 70
INTERRUPTED = 130


class Commands(click.Group):
    """A group whose commands are imported one at a time, so that help costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself, or None."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in TABLES:
            _one_thread()
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the command that was probably meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"There are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"No such command '{name}'. {hint}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _one_thread() -> None:
    """Before numpy is there: threads that wait for one another over products of a few hundred
    columns cost several times what they save. What the user has set stands."""
    for name in BLAS_THREADS:
        os.environ.setdefault(name, "1")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Evaluate every size of a language-model family, and fit how its scores grow with size.

    Models and tasks come from plugins; `harness models` and `harness tasks` list them. Without
    any names, `harness run` evaluates the small model family that comes with the program.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and end the process with the exit code that the design binds."""
    sys.exit(invoke(arguments))


def invoke(arguments: list[str] | None = None) -> int:
    """Run a command line; returns its exit code, errors in words on stderr."""
    try:
        result: Any = cli.main(args=arguments, prog_name="harness", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.ClickException as error:
        _say(error.format_message() + _usage_hint(error))
        return error.exit_code
    except HarnessError as error:
        _say(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`| head`); keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("HARNESS_TRACEBACK"):
            raise
        _say(_bug(error))
        return BUG


def _say(message: str) -> None:
    click.echo(f"harness: {message}", err=True)


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"\nSee `{context.command_path} --help`." if context else ""


def _bug(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" in {frame.tb_frame.f_code.co_name}, line {frame.tb_lineno}" if frame else ""
    return (
        f"a bug of ours: {type(error).__name__}: {error}{place}\n"
        "Set HARNESS_TRACEBACK=1 to see where; please report it with the command."
    )
