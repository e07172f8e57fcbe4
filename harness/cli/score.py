"""``harness score``: metrics for outputs that were made elsewhere."""

from __future__ import annotations

import click


@click.command()
@click.argument("metric")
@click.argument("more", nargs=-1, metavar="")
@click.option("--hyp", required=True, help="The outputs, plain or gzip.")
@click.option("--ref", "refs", multiple=True, metavar="FILE...", help="What is right.")
@click.option("--task", help="The task that reads --ref and grades; default: by METRIC and --hyp.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Resamples.")
@click.option(
    "--max-errors",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Exit with 4 only when more samples than this have no output.",
)
@click.option(
    "--allow-code-execution", is_flag=True, help="Let a task run code that a model wrote."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def score(
    metric: str,
    more: tuple[str, ...],
    hyp: str,
    refs: tuple[str, ...],
    task: str | None,
    seed: int,
    max_errors: int,
    allow_code_execution: bool,
    as_json: bool,
) -> None:
    """Score outputs made elsewhere: value, 95 % interval, n, signature.

    \b
    Texts, line by line, against one or several files of references:
      harness score bleu:tokenize=zh --hyp out.zh --ref a.zh b.zh
    Answers to SQuAD's questions, JSON of texts by id:
      harness score f1 --hyp predictions.json --ref dev.json
    Entities in CoNLL columns, gold and predicted tag last, or in two files:
      harness score entity_f1 --hyp tagged.conll
      harness score entity_f1:scheme=iob2 --hyp tagged.conll --ref gold.conll
    Variety, repetition and length of texts, without any reference:
      harness score distinct:n=2 --hyp out.txt
    Texts as any task grades them, one line per sample or JSON of texts by id:
      harness score exact_match --task gsm8k --hyp out.txt --ref test.jsonl
    """
    # Metrics load numpy, and tasks their plugins, which `score --help` does not need.
    from harness.cli.scoring import Asked, print_score

    asked = Asked(
        metric=metric,
        outputs=hyp,
        references=(*refs, *more),
        task=task,
        seed=seed,
        max_errors=max_errors,
        allow_code_execution=allow_code_execution,
    )
    print_score(asked, as_json=as_json)
