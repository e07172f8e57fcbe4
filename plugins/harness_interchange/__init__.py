"""Other programs' result formats: read them as runs, write runs in them.

Importers: lm-evaluation-harness, Inspect, HELM, lighteval, EvalScope, OLMES, CSV. Exporters: Every
Eval Ever, Hugging Face ``.eval_results`` and ``model-index``, lm-evaluation-harness, Parquet, CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from harness import hookimpl
from harness.types import (
    ExportedFile,
    ExporterSpec,
    ExportSource,
    ImportedCell,
    ImporterSpec,
    Option,
)

READERS = {
    "lm-eval": ("lm_eval", "lm-evaluation-harness: results JSON, old and new, and samples files"),
    "inspect": ("inspect_logs", "Inspect: .eval archives and JSON logs"),
    "helm": ("helm", "HELM: run directories"),
    "lighteval": ("lighteval", "lighteval: results JSON, with details (which need pyarrow)"),
    "evalscope": ("evalscope", "EvalScope: reports, with reviews"),
    "olmes": ("olmes", "OLMES / oe-eval: metrics files, with predictions"),
    "csv": ("csv_table", "a table: columns model, task, metric, value, and more"),
}
WRITERS: dict[str, tuple[str, str, tuple[Option, ...]]] = {
    "every-eval-ever": (
        "every_eval_ever",
        "Every Eval Ever 0.3.0: aggregate JSON and samples per model",
        (
            Option(name="organization", help="who ran the evaluation; default: unknown"),
            Option(name="collection", help="folder below data/; default: harness"),
            Option(name="samples", help="yes or no: also the samples files; default: yes"),
        ),
    ),
    "eval-results": (
        "hub",
        "Hugging Face .eval_results/*.yaml",
        (
            Option(name="datasets", help="CSV: task,id,task_id[,revision,metric]", required=True),
            Option(name="url", help="where the results can be seen"),
            Option(name="name", help="what to call the source; default: harness"),
        ),
    ),
    "model-index": (
        "hub",
        "Hugging Face model-index, the front matter of a model card",
        (Option(name="url", help="where the results can be seen"),),
    ),
    "lm-eval": ("lm_eval_writer", "results and samples as lm-evaluation-harness writes them", ()),
    "parquet": ("tables", "scores and samples as Parquet (needs pyarrow)", ()),
    "csv": ("tables", "the scores as a table", ()),
}


@hookimpl
def harness_importers() -> Iterator[ImporterSpec]:
    """One spec per format; its module is imported when it reads."""
    for name, (module, description) in READERS.items():
        yield ImporterSpec(
            name=name,
            read=_reader(module),
            recognises=_recogniser(name),
            description=description,
        )


@hookimpl
def harness_exporters() -> Iterator[ExporterSpec]:
    """One spec per format; its module is imported when it writes."""
    for name, (module, description, options) in WRITERS.items():
        yield ExporterSpec(
            name=name, write=_writer(module, name), options=options, description=description
        )


def _reader(module: str) -> Callable[[Sequence[Path]], Iterator[ImportedCell]]:
    def read(paths: Sequence[Path]) -> Iterator[ImportedCell]:
        cells: Iterator[ImportedCell] = import_module(f"{__name__}.{module}").read(paths)
        return cells

    return read


def _recogniser(name: str) -> Callable[[Path], bool]:
    def recognises(path: Path) -> bool:
        return bool(import_module(f"{__name__}.formats").format_of(path) == name)

    return recognises


def _writer(module: str, name: str) -> Callable[[ExportSource], Iterator[ExportedFile]]:
    def write(source: ExportSource) -> Iterator[ExportedFile]:
        function = f"write_{name.replace('-', '_')}"
        files: Iterator[ExportedFile] = getattr(import_module(f"{__name__}.{module}"), function)(
            source
        )
        return files

    return write
