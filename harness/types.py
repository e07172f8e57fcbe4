"""The nouns: every record that travels between modules and plugins.

Frozen, keyword-only dataclasses and two protocols, standard library only. Plugins yield specs
(:class:`ModelSpec`, :class:`TaskSpec`); a spec builds a :class:`Model` or a :class:`Task`; a task
yields :class:`Sample` s holding requests; a model answers each with a :class:`Response`; the task
grades the answers into sufficient statistics, from which every score is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

RequestKind: TypeAlias = Literal["generate", "loglikelihood", "tag", "classify"]
"""What can be asked of a model."""

Stats: TypeAlias = tuple[float, ...]
"""Sufficient statistics of one sample for one metric; they add up over samples."""

JSON: TypeAlias = Any
"""A value that ``json.dumps`` takes and ``json.loads`` gives back equal."""


ADDED: Mapping[str, bool] = MappingProxyType({"added": True})
"""Marks a field that files written before it existed lack; they are read with its default."""

UNSAID: Mapping[str, bool] = MappingProxyType({"added": True, "unsaid": True})
"""Marks a field that is written only where it is not its default, so that what was stored before
the field existed is still found."""

Cut: TypeAlias = Literal["start", "middle", "end"]
"""Which part of a prompt is lost when it is longer than the model's context."""


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


# --- requests and responses -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Continue ``prompt``, at most ``max_tokens`` tokens, up to the first stop string.

    The stop string itself is not part of the answer; an end-of-text token ends it too. A prompt
    longer than the model's context loses the part that ``cut`` names.

    ``temperature`` 0 takes the most probable token each time. Above 0 each token is drawn from the
    model's probabilities to the power of 1 / temperature, of those that make up ``top_p`` of them
    (nucleus sampling; Holtzman et al. 2020). What is drawn depends on the request alone: the same
    again at each asking, another for another ``seed`` or ``attempt``, the number of the answer
    among several to one prompt. Only a model that is :class:`Drawing` is asked such requests.
    """

    kind: ClassVar[RequestKind] = "generate"
    prompt: str
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    cut: Cut = field(default="start", metadata=UNSAID)
    temperature: float = field(default=0.0, metadata=UNSAID)
    top_p: float = field(default=1.0, metadata=UNSAID)
    seed: int = field(default=0, metadata=UNSAID)
    attempt: int = field(default=0, metadata=UNSAID)


@dataclass(frozen=True, kw_only=True)
class Loglikelihood:
    """How probable is ``continuation`` after ``context``?

    An empty ``context`` means: from the beginning of a text (after the BOS token). A continuation
    longer than the model's context window is scored in consecutive windows. A context that is too
    long loses the part that ``cut`` names.
    """

    kind: ClassVar[RequestKind] = "loglikelihood"
    context: str
    continuation: str
    cut: Cut = field(default="start", metadata=UNSAID)


@dataclass(frozen=True, kw_only=True)
class Tag:
    """Give each of ``tokens`` a tag, such as ``B-PER`` or ``O``.

    ``types`` are the types of entities that are looked for; empty: whatever the model knows.
    """

    kind: ClassVar[RequestKind] = "tag"
    tokens: tuple[str, ...]
    types: tuple[str, ...] = field(default=(), metadata=UNSAID)


@dataclass(frozen=True, kw_only=True)
class Classify:
    """How probable is each label of ``texts``: one text, or a pair?

    A label is a tuple of names for the same thing, the usual one first; a classifier's own label
    is matched with any of them, without regard to case.
    """

    kind: ClassVar[RequestKind] = "classify"
    texts: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]


Request: TypeAlias = Generate | Loglikelihood | Tag | Classify


@dataclass(frozen=True, kw_only=True)
class Response:
    """The answer to one request.

    text
        the generated text, for ``generate``
    logprob
        natural logarithm of the continuation's probability, summed over its tokens, for
        ``loglikelihood``
    greedy
        whether every token of the continuation was the most probable one, for ``loglikelihood``
    tags
        one tag per token, for ``tag``
    logprobs
        natural logarithm of each label's probability, in the request's order, for ``classify``
    prompt_tokens, tokens
        how many tokens were read and how many were generated or scored, where known
    truncated
        the answer was cut by ``max_tokens``, not ended by the model or a stop string
    prompt_truncated
        the prompt was longer than the model's context and lost the part that its request names
    error
        why there is no answer; the other fields are then meaningless
    """

    text: str | None = None
    logprob: float | None = None
    greedy: bool | None = None
    tags: tuple[str, ...] | None = None
    prompt_tokens: int | None = None
    tokens: int | None = None
    truncated: bool = False
    prompt_truncated: bool = False
    error: str | None = None
    logprobs: tuple[float, ...] | None = field(default=None, metadata=UNSAID)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a model reads in one pass for a request, token by token.

    ``pieces`` are the tokens' texts, one for each of ``ids``. The last ``scored`` of them are
    scored. ``cut`` tokens of the prompt were left out before the piece number ``at``. ``role``
    says which part of the model reads them, where it has several. ``text`` is what they come to,
    special tokens by name; empty where the model does not say.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    scored: int = 0
    cut: int = 0
    at: int = 0
    role: str = ""
    text: str = ""


# --- models ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Parameter counts, read from the checkpoint. ``None``: not known (a closed API model).

    ``non_embedding`` leaves out token embeddings, learnt position embeddings and an untied output
    head (Kaplan et al. 2020); ``active`` counts what one token uses in a mixture of experts;
    ``trainable`` what fine-tuning changed, where that is known.
    """

    total: int | None = None
    non_embedding: int | None = None
    active: int | None = None
    trainable: int | None = field(default=None, metadata=UNSAID)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model says of itself, before its weights are loaded.

    ``identity`` says which weights answer: a digest of the checkpoint's files, or a provider's
    model id with its date. Stored answers are found by it, so it must change when answers may.
    ``settings`` are the settings that may change an answer (dtype, adapter version, ...).
    ``train_tokens`` counts repeats, ``unique_tokens`` does not; of a fine-tuned model both are the
    labelled texts' tokens, ``train_samples`` the texts. ``train_flops`` is in floating-point
    operations, ``context_length`` in tokens. ``notes`` are
    what a reader of its scores must know, such as test texts among those it was trained on.
    """

    name: str
    family: str
    identity: str
    parameters: Parameters = Parameters()
    train_tokens: int | None = None
    train_flops: float | None = None
    context_length: int | None = None
    settings: Mapping[str, str] = field(default_factory=_nothing)
    notes: tuple[str, ...] = field(default=(), metadata=UNSAID)
    unique_tokens: int | None = field(default=None, metadata=UNSAID)
    train_samples: int | None = field(default=None, metadata=UNSAID)


@runtime_checkable
class Model(Protocol):
    """Something that answers requests. Weights load at the first :meth:`respond`."""

    @property
    def info(self) -> ModelInfo:
        """Name, family, sizes and identity; cheap."""
        ...

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield ``(index, response)`` for every index exactly once, in any order, each as soon
        as it is known: the harness stores each at once."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """What a model may have besides: a look, before a run, at whether it can be asked at all."""

    def prepare(self, kinds: frozenset[RequestKind]) -> None:
        """Make sure that requests of ``kinds`` can be asked.

        Called before the first cell, only where answers are missing. Raises UsageError where the
        model can never answer such requests (then nothing is run), another HarnessError where it
        cannot be asked now (then its own cells fail).
        """
        ...


@runtime_checkable
class Drawing(Protocol):
    """What a model may have besides: answers that are drawn, where a request's temperature is
    above 0."""

    def check_drawing(self) -> None:
        """Raise UsageError where the model's settings keep it from drawing as it is asked to.

        Called before a run that asks for drawn answers; then nothing is run.
        """
        ...


@runtime_checkable
class Costly(Protocol):
    """What a model may have besides: answers that cost money, told as ``usage.cost``."""

    def limit_cost(self, most: float) -> None:
        """Never let ``usage.cost`` pass ``most``; what cannot be asked for that reason gets a
        Response with an error. Raises UsageError when the model does not know its prices."""
        ...


@runtime_checkable
class TokenView(Protocol):
    """What a model may have besides: the tokens that it reads."""

    def tokens(self, request: Request) -> tuple[Sent, ...]:
        """What is read for ``request``, pass by pass, without loading weights.

        Raises HarnessError where the request cannot be put to the model.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Option:
    """One ``name=value`` that a model or a task takes after its name."""

    name: str
    help: str
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What the command line says about one model.

    ``argument`` is what follows the colon (``hf:ARGUMENT``); ``batch_size`` ``None`` means auto;
    ``device`` and ``dtype`` may be ``auto``.
    """

    argument: str = ""
    options: Mapping[str, str] = field(default_factory=_nothing)
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model, or a whole scheme of models (``hf:...``), as a plugin declares it.

    ``argument`` names what must follow the colon, such as ``PATH``; empty: nothing may.
    ``kinds`` are what it can be asked; none: it is there to be trained further, and its model has
    the folder of its checkpoint in ``folder``. ``family`` groups sizes: ``--models FAMILY`` stands
    for all of them, ordered by ``size`` (parameters, for ordering and listing only). ``default``
    makes it part of what ``harness run`` does when no model is named.
    """

    name: str
    build: Callable[[ModelSettings], Model]
    kinds: frozenset[RequestKind]
    family: str = ""
    size: int | None = None
    argument: str = ""
    options: tuple[Option, ...] = ()
    description: str = ""
    default: bool = False


# --- tasks ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score: how the sum of per-sample statistics becomes a value, and how to read it.

    ``formula`` names a function of ``harness.metrics.FORMULAS`` (``mean``, ``f1``, ``bleu``, ...).
    ``bounds`` and ``chance`` are on the value's own scale; ``None``: unbounded or unknown.
    ``is_loss`` marks what a scaling law with a floor fits (bits per byte, perplexity).
    ``signature`` says, in sacreBLEU's manner, with which settings it was computed.
    """

    name: str
    formula: str = "mean"
    higher_is_better: bool = True
    is_loss: bool = False
    bounds: tuple[float | None, float | None] = (None, None)
    chance: float | None = None
    signature: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One item of a task: what is asked, and what a right answer is.

    ``id`` is unique within the task; ``group`` names the source that several samples share (an
    article, a document), so that intervals and tests can resample whole sources.
    """

    id: str
    requests: tuple[Request, ...]
    reference: JSON
    group: str | None = None


Entity: TypeAlias = tuple[str, int, int]
"""An entity in a text: its type, where it begins and where it ends (exclusive)."""


@runtime_checkable
class Task(Protocol):
    """Samples, how to ask them, and how to grade the answers."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics that :meth:`grade` gives statistics for, headline first."""
        ...

    def samples(self) -> Iterator[Sample]:
        """Every sample, the same ones in the same order at each call."""
        ...

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        """Statistics by metric name, from one response per request of ``sample``, none failed.

        A metric that does not apply to the sample may be left out. The key ``unparseable`` with
        ``(1.0,)`` says that the answer could not be read as an answer. Must never raise, whatever
        the model wrote, the empty string included. May be called in another thread than
        :meth:`samples`, one call at a time (see ``TaskSpec.graded_alone``).
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What the command line says about one task.

    ``kinds`` is the alternative of the spec's ``needs`` that the model can answer.
    """

    argument: str = ""
    options: Mapping[str, str] = field(default_factory=_nothing)
    kinds: frozenset[RequestKind] = frozenset()
    shots: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a data set on the Hugging Face hub: what ``harness data fetch`` gets.

    ``revision`` is a commit, or a branch where no commit is known: what it stands for is then
    recorded at the first fetch. ``path`` may hold ``*``, for one file. ``columns`` are those the
    task reads, and must be in the file; ``option`` names the option of the task that takes it,
    ``subset`` which of several parts of the data set it is.
    """

    repository: str
    revision: str
    path: str
    columns: tuple[str, ...]
    option: str = "data"
    subset: str = ""

    @property
    def pinned(self) -> bool:
        """Whether ``revision`` is a commit, which always means the same file."""
        return len(self.revision) == 40 and set(self.revision) <= set("0123456789abcdef")


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A task as a plugin declares it.

    ``needs`` lists alternatives, best first: the first whose kinds the model all answers is built.
    ``argument`` names what may follow the colon, such as ``FILE``; empty: nothing may.
    ``category`` is one of generation, translation, question answering, named entities, ... and
    groups tasks in lists. ``max_shots`` is the most worked examples ``--shots`` may ask for.
    ``default`` makes it part of what ``harness run`` does when no task is named. ``hub`` lists
    the files that ``harness data fetch`` gets for it. ``graded_alone``: ``grade`` must be called in
    the main thread while no model is at work, because it measures time or needs signals; else it
    may be called in another thread, while a model answers the next task.
    """

    name: str
    build: Callable[[TaskSettings], Task]
    needs: tuple[frozenset[RequestKind], ...]
    category: str = ""
    argument: str = ""
    options: tuple[Option, ...] = ()
    max_shots: int = 0
    description: str = ""
    default: bool = False
    hub: tuple[HubFile, ...] = ()
    graded_alone: bool = False


# --- results --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric of one cell, on the metric's own scale. ``ci`` is a 95 % interval.

    An imported score may have no interval (both ends NaN), and may bring a standard error,
    ``stderr``, that another program computed.
    """

    metric: Metric
    value: float
    ci: tuple[float, float]
    n: int
    signature: str
    stderr: float | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of a cell's samples. All count samples, none is hidden in a score.

    ``samples`` asked, ``errors`` without an answer (left out of the scores' n), ``truncated`` cut
    by max_tokens, ``prompt_truncated`` too long for the model's context, ``empty`` with an empty
    text, ``unparseable`` by the task's own word.
    """

    samples: int = 0
    errors: int = 0
    truncated: int = 0
    prompt_truncated: int = 0
    empty: int = 0
    unparseable: int = 0


SizeSource: TypeAlias = Literal["file", "given", "pattern", "published", "unknown"]
"""Where an imported model's parameter counts come from: the imported file, ``--sizes``,
``--size-pattern``, a published table that the importer carries, or nowhere."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an imported cell comes from. ``files`` are named as they were given; ``evaluated`` is
    when, by the file itself, seconds since 1970."""

    format: str
    files: tuple[str, ...]
    sizes: SizeSource = "unknown"
    notes: tuple[str, ...] = ()
    evaluated: float | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a model spent so far, as far as it knows; a model may have a property ``usage``.

    Seconds to load its weights, peak memory of the device in bytes, energy in joules, ``cost`` in
    whatever currency its prices were given in. Values are totals since the model was built; the
    harness takes differences. ``device`` names where it computes, such as ``cpu`` or the name of
    a GPU.
    """

    load_seconds: float | None = None
    peak_device_bytes: int | None = None
    energy_joules: float | None = None
    device: str | None = None
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """What the answers of a cell cost; only requests that were really asked count.

    ``seconds`` is wall time from the first request to the last answer, ``first_answer_seconds`` to
    the first one, both without loading; ``tokens`` were generated or scored;
    ``peak_host_bytes`` is the process's high-water mark so far.
    """

    requests: int
    seconds: float
    load_seconds: float | None = None
    first_answer_seconds: float | None = None
    prompt_tokens: int | None = None
    tokens: int | None = None
    peak_host_bytes: int | None = None
    peak_device_bytes: int | None = None
    energy_joules: float | None = None
    device: str | None = field(default=None, metadata=ADDED)
    cost: float | None = field(default=None, metadata=ADDED)

    @property
    def prompt_tokens_per_second(self) -> float | None:
        """Tokens read, over the whole time of answering."""
        return _rate(self.prompt_tokens, self.seconds)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens generated or scored, over the whole time of answering."""
        return _rate(self.tokens, self.seconds)


def _rate(amount: int | None, seconds: float) -> float | None:
    return None if amount is None or seconds <= 0 else amount / seconds


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """One model on one task: the scores, and all that is needed to trust or repeat them.

    ``status`` is ``complete``, ``partial`` (some samples failed) or ``failed`` (no scores; the
    reason in ``error``). ``fingerprint`` hashes the rendered requests, references and metrics.
    ``asked`` and ``reused`` count requests sent to the model and found in the store; ``seconds``
    is the wall time of this cell in the run that finished it. ``origin`` says which files
    an imported cell was read from; a cell of our own has none.
    """

    model: ModelInfo
    task: str
    status: Literal["complete", "partial", "failed"]
    fingerprint: str = ""
    scores: tuple[Score, ...] = ()
    counts: Counts = Counts()
    error: str | None = None
    seed: int = 0
    shots: int | None = None
    limit: int | None = None
    asked: int = 0
    reused: int = 0
    seconds: float = 0.0
    efficiency: Efficiency | None = field(default=None, metadata=ADDED)
    versions: Mapping[str, str] = field(default_factory=_nothing)
    origin: Origin | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class SampleRecord:
    """One graded sample as the samples file keeps it.

    ``entities`` are those that a task which finds entities read in the answers.
    """

    id: str
    requests: tuple[Request, ...]
    responses: tuple[Response, ...]
    reference: JSON
    entities: tuple[Entity, ...] | None = field(default=None, metadata=UNSAID)
    stats: Mapping[str, Stats]
    group: str | None = None
    unparseable: bool = False


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run: its directory, its cells in order, and whether all of them are there."""

    directory: str
    status: Literal["complete", "partial"]
    cells: tuple[CellRecord, ...]
    errors: tuple[str, ...] = ()


# --- interchange ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ImportedScore:
    """One number that another program reported.

    ``value`` and ``stderr`` are on the scale of ``metric.bounds``, as the file has them. ``value``
    may be NaN or infinite: it is then reported and left out.
    """

    metric: Metric
    value: float
    stderr: float | None = None
    n: int | None = None


@dataclass(frozen=True, kw_only=True)
class ImportedCell:
    """One model on one task, as an importer reads it from a file.

    setup
        what must be equal before two cells of ``task`` may stand in one table: number of examples
        in the prompt, version and hash of the task, limit, ...
    samples
        graded samples, where the file holds them; their statistics are used for a metric only if
        they give its value again
    parameters, sizes
        parameter counts and where they come from (``file`` or ``published``)
    unfinished
        why the source is incomplete, else empty
    evaluated
        when the scores were computed, seconds since 1970, where the file says so
    """

    model: str
    task: str
    scores: tuple[ImportedScore, ...]
    files: tuple[str, ...]
    family: str = ""
    identity: str = ""
    parameters: Parameters = Parameters()
    sizes: SizeSource = "unknown"
    train_tokens: int | None = None
    shots: int | None = None
    seed: int = 0
    limit: int | None = None
    setup: Mapping[str, str] = field(default_factory=_nothing)
    versions: Mapping[str, str] = field(default_factory=_nothing)
    counts: Counts | None = None
    samples: tuple[SampleRecord, ...] = ()
    notes: tuple[str, ...] = ()
    unfinished: str = ""
    evaluated: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImporterSpec:
    """A format of results that a plugin reads.

    ``read`` takes files and folders, opens what is of its format, and raises DataError for what
    cannot be read. ``recognises`` says whether one file looks like this format, cheaply and
    without raising; it serves error messages only.
    """

    name: str
    read: Callable[[Sequence[Path]], Iterator[ImportedCell]]
    recognises: Callable[[Path], bool] | None = None
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """A run to be exported.

    ``samples`` reads a cell's graded samples, as often as it is called; ``fits`` are the entries
    that ``--json`` prints; ``made`` is when the run ended, or for an import the last time that its
    files say they were made at, or else when it was imported: seconds since 1970.
    """

    run: RunRecord
    samples: Callable[[CellRecord], Iterator[SampleRecord]]
    fits: tuple[JSON, ...] = ()
    made: float = 0.0
    options: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """One file of an export: its name below the output folder, with ``/``, and its bytes."""

    name: str
    chunks: Iterable[bytes]


@dataclass(frozen=True, kw_only=True)
class ExporterSpec:
    """A format that a plugin writes. ``write`` yields files; the core puts them on disk."""

    name: str
    write: Callable[[ExportSource], Iterator[ExportedFile]]
    options: tuple[Option, ...] = ()
    description: str = ""
