"""``harness check``: the gate for CI."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from harness.cli.common import echo_json, find_run
from harness.errors import NotComparableError, UsageError


@click.command()
@click.argument("run", required=False)
@click.option(
    "--baseline",
    "baseline_path",
    type=click.Path(path_type=Path),
    required=True,
    help="A file that `harness baseline` wrote.",
)
@click.option(
    "--policy", "policy_path", type=click.Path(path_type=Path), help="What is judged, in TOML."
)
@click.option(
    "--map", "renamed", multiple=True, metavar="OLD=NEW", help="A model's names there and here."
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit file.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a comment in Markdown.")
@click.option("--github", is_flag=True, help="Print annotations for GitHub Actions.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(
    run: str | None,
    baseline_path: Path,
    policy_path: Path | None,
    renamed: tuple[str, ...],
    **outputs: object,
) -> int:
    """Judge RUN (default: the latest) against a baseline: PASS, FAIL or INCONCLUSIVE.

    Without a policy, a metric fails that is worse with statistical confidence: a one-sided paired
    test, 5 % over all tests of the check. Models are matched by name, or with --map; where each
    side has one model, those two are.

    \b
    Exit codes: 0 PASS (or INCONCLUSIVE, unless the policy fails it), 1 FAIL, 2 usage or a wrong
    policy, 4 the run is partial or something cannot be read or written, 5 not comparable.
    """
    from harness.check import Policy, read_baseline, read_policy
    from harness.check import check as judge
    from harness.compare import run_side

    policy = Policy() if policy_path is None else read_policy(policy_path)
    path = find_run(run)
    stored = read_baseline(baseline_path)
    side = run_side(path)
    mapping = _mapping(renamed, stored.side.models, side.models)
    wanted = _Outputs(**outputs)  # type: ignore[arg-type]
    try:
        gate = judge(side, stored, policy, mapping)
    except NotComparableError as error:
        wanted.refuse(error, str(path))
        raise
    wanted.write(gate)
    return gate.exit_code


def _mapping(
    renamed: tuple[str, ...], old_names: tuple[str, ...], new_names: tuple[str, ...]
) -> dict[str, str]:
    """``OLD=NEW`` pairs; as names may hold ``=`` themselves, the cut is where both are known."""
    mapping: dict[str, str] = {}
    for text in renamed:
        cuts = [(text[:i], text[i + 1 :]) for i, character in enumerate(text) if character == "="]
        known = [(old, new) for old, new in cuts if old in old_names and new in new_names]
        if not known and not (cuts and all(cuts[0])):
            raise UsageError(f"--map '{text}' is not OLD=NEW.")
        old, new = (known or cuts)[0]
        if old in mapping or new in mapping.values():
            raise UsageError(f"--map '{text}' names a model that another --map names already.")
        mapping[old] = new
    return mapping


class _Outputs:
    """Where the outcome goes, besides the exit code."""

    def __init__(
        self, *, junit: Path | None, markdown: Path | None, github: bool, as_json: bool
    ) -> None:
        self.junit = junit
        self.markdown = markdown
        self.github = github
        self.as_json = as_json

    def write(self, gate: object) -> None:
        """Print the outcome, then write the files, so that a full disk hides nothing."""
        from harness.check import Gate, save_text
        from harness.check.github import gate_annotations
        from harness.check.junit import junit_text
        from harness.check.markdown import markdown_text
        from harness.check.text import gate_document, gate_text

        assert isinstance(gate, Gate)
        if self.as_json:
            echo_json(gate_document(gate))
        else:
            click.echo(gate_text(gate), nl=False)
        if self.github:
            self._annotate(gate_annotations(gate))
        if self.junit is not None:
            save_text(self.junit, junit_text(gate))
        if self.markdown is not None:
            save_text(self.markdown, markdown_text(gate))

    def refuse(self, error: NotComparableError, run: str) -> None:
        """Say in every form that nothing was judged; stderr gets the error itself."""
        from harness.check import junit, markdown, save_text
        from harness.check.github import annotation

        if self.as_json:
            echo_json({"schema": 1, "verdict": "NOT COMPARABLE", "run": run, "error": str(error)})
        if self.github:
            self._annotate([annotation("error", "harness check: not comparable", str(error))])
        if self.junit is not None:
            save_text(self.junit, junit.refusal_text(error, run))
        if self.markdown is not None:
            save_text(self.markdown, markdown.refusal_text(error))

    def _annotate(self, lines: Iterable[str]) -> None:
        """On stdout, or beside the JSON document on stderr: the runner reads both."""
        for line in lines:
            click.echo(line, err=self.as_json)
