"""The conformance kit: sound plugins pass, and each broken promise fails the check named for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import toys
from distributions import MODEL, distribution, points

from harness import metrics
from harness.errors import UsageError
from harness.plugins import load_registry
from harness.testing import (
    CheckFailed,
    CheckResult,
    assert_conforms,
    check_model,
    check_plugin,
    check_task,
    oracle_responses,
)
from harness.types import (
    Generate,
    Loglikelihood,
    Metric,
    ModelInfo,
    ModelSpec,
    Option,
    Parameters,
    Request,
    Response,
    Sample,
    Stats,
    Tag,
    TaskSpec,
)

ALL = frozenset({"generate", "loglikelihood", "tag"})
Answers = Iterator[tuple[int, Response]]


class Sound:
    """Answers every kind, from the request alone."""

    info = ModelInfo(
        name="sound", family="sound", identity="s1", parameters=Parameters(total=2, non_embedding=1)
    )

    def respond(self, requests: Sequence[Request]) -> Answers:
        for index, request in enumerate(requests):
            yield index, self.answer(request)

    def answer(self, request: Request) -> Response:
        match request:
            case Generate():
                return Response(text=request.prompt.split()[0][:1].upper())
            case Loglikelihood():
                return Response(logprob=-1.5 * len(request.continuation), greedy=False)
            case Tag():
                return Response(tags=("O",) * len(request.tokens))


def answering(**fields: object) -> type[Sound]:
    """A model whose every answer has ``fields`` changed."""

    class Changed(Sound):
        def answer(self, request: Request) -> Response:
            return replace(super().answer(request), **fields)  # type: ignore[arg-type]

    return Changed


class Lazy(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        yield from list(super().respond(requests))[1:]


class Repeating(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        for pair in super().respond(requests):
            yield pair
            yield pair


class Counting(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        yield from super().respond(requests)
        yield len(requests), Response(text="one more")


class Moody(Sound):
    turns = 0

    def answer(self, request: Request) -> Response:
        self.turns += 1
        return replace(super().answer(request), text=f"t{self.turns}")


class Batched(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        for index, answer in super().respond(requests):
            yield index, replace(answer, logprob=-float(len(requests)))


class Positional(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        for index, answer in super().respond(requests):
            yield index, replace(answer, text=f"t{index}")


class Restless(Sound):
    @property
    def info(self) -> ModelInfo:  # type: ignore[override]
        return replace(Sound.info, identity=str(random.random()))


class Late(Sound):
    def __init__(self) -> None:
        self.info = replace(Sound.info, identity="unknown")

    def respond(self, requests: Sequence[Request]) -> Answers:
        self.info = replace(Sound.info, identity="known now")
        return super().respond(requests)


class Anonymous(Sound):
    info = replace(Sound.info, identity=" ")


class Stranger(Sound):
    info = replace(Sound.info, family="other")


class Fractional(Sound):
    info = replace(Sound.info, parameters=Parameters(total=2.5))  # type: ignore[arg-type]


class Inverted(Sound):
    info = replace(Sound.info, parameters=Parameters(total=5, non_embedding=6))


class Unsafe(Sound):
    info = replace(Sound.info, settings={"dtype": object()})  # type: ignore[dict-item]


class Unpaired(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        return iter([answer for _, answer in super().respond(requests)])  # type: ignore[arg-type]


class Numbered(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        for index, answer in super().respond(requests):
            yield str(index), answer  # type: ignore[misc]


class Texts(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        for index, answer in super().respond(requests):
            yield index, answer.text  # type: ignore[misc]


class Uncalled(Sound):
    info = ModelInfo  # type: ignore[assignment]


class Raising(Sound):
    def respond(self, requests: Sequence[Request]) -> Answers:
        raise RuntimeError("out of ink")


def failures(results: Sequence[CheckResult]) -> dict[str, str]:
    return {result.check: result.reason for result in results if result.status == "failed"}


def model_failures(build: Callable[[], object]) -> dict[str, str]:
    spec = ModelSpec(
        name="sound",
        build=lambda settings: build(),
        kinds=ALL,
        family="sound",
        size=2,  # type: ignore[arg-type, return-value]
    )
    return failures(check_model("sound", toys.registry([spec], [])))


def test_sound_model_passes() -> None:
    assert model_failures(Sound) == {}


@pytest.mark.parametrize(
    ("model", "check", "words"),
    [
        (Lazy, "every request is answered once", "answered 12 of 13 requests; number 0"),
        (Repeating, "every request is answered once", "answered request 0 twice"),
        (Counting, "no requests no answers", "1 answers to no requests"),
        (Moody, "same answers when asked again", "differently when asked again"),
        (Batched, "same answers one by one", "differently when asked one by one"),
        (Positional, "same answers in reversed order", "differently in reversed order"),
        (Restless, "info never changes", "changed when the model was accessed again"),
        (Late, "info never changes", "changed when the model was asked"),
        (Anonymous, "info is there before any answer", "info.identity of model sound is ' '"),
        (Stranger, "family agrees with the spec", "declared in the family 'sound'"),
        (Fractional, "sizes are possible", "total of model sound is 2.5"),
        (Inverted, "sizes are possible", "6 non_embedding parameters of 5 in total"),
        (Unsafe, "info is json safe", "cannot be kept as JSON"),
        (Raising, "no requests no answers", "raised RuntimeError: out of ink"),
        (Unpaired, "every request is answered once", "must yield (index, Response(...))"),
        (Numbered, "every request is answered once", "the index '0'; it must be an int"),
        (Texts, "every request is answered once", "yielded str for request 0"),
        (Uncalled, "info is there before any answer", "is type, not ModelInfo"),
        (answering(text=None), "answers have their fields", "text is None"),
        (answering(text="see the stop"), "answers have their fields", "holds the stop string"),
        (answering(logprob=0.5), "answers have their fields", "logprob is 0.5"),
        (answering(logprob=-1), "answers have their fields", "logprob is -1"),
        (answering(logprob=float("nan")), "answers have their fields", "logprob is nan"),
        (answering(greedy="yes"), "answers have their fields", "greedy is 'yes'"),
        (answering(tags=["O"]), "answers have their fields", "tags is ['O']"),
        (answering(tags=("O",)), "answers have their fields", "1 tags for 6 tokens"),
        (answering(error="busy"), "answers have their fields", "Response.error: busy"),
    ],
)
def test_broken_model_fails_the_check_named_for_it(
    model: Callable[[], object], check: str, words: str
) -> None:
    assert words in model_failures(model)[check]


class Drawn(Sound):
    """Draws a letter by the request alone."""

    def check_drawing(self) -> None:
        pass

    def answer(self, request: Request) -> Response:
        if isinstance(request, Generate) and request.temperature:
            draw = random.Random(f"{request.prompt} {request.seed} {request.attempt}")
            return Response(text=draw.choice("abcdefghij"))
        return super().answer(request)


class Undrawn(Sound):
    def check_drawing(self) -> None:
        pass


class Restarting(Drawn):
    """Draws by what it was asked before."""

    turns = 0

    def answer(self, request: Request) -> Response:
        self.turns += 1
        changed = replace(request, seed=self.turns) if isinstance(request, Generate) else request
        return super().answer(changed)


def drawing(model: Callable[[], object]) -> CheckResult:
    spec = ModelSpec(name="sound", build=lambda settings: model(), kinds=ALL)  # type: ignore[arg-type, return-value]
    results = check_model("sound", toys.registry([spec], []))
    return next(one for one in results if one.check.startswith("drawn answers"))


def test_drawing_is_checked_of_models_that_draw() -> None:
    assert drawing(Drawn).status == "passed"
    assert drawing(Sound).status == "passed", "it is never asked to draw"
    assert "the same answer to 6 drawn requests" in drawing(Undrawn).reason
    assert "answers differently when asked again" in drawing(Restarting).reason


@dataclass
class Words:
    """Say the word; a task whose every promise can be broken by a subclass."""

    shots: int = 0

    @property
    def metrics(self) -> Sequence[Metric]:
        return (metrics.exact_match().metric,)

    def samples(self) -> Iterator[Sample]:
        for word in ("alpha", "beta", "gamma"):
            prompt = "say delta: delta\n" * self.shots + f"say {word}:"
            yield Sample(id=word, requests=(Generate(prompt=prompt, max_tokens=4),), reference=word)

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        return {"exact_match": metrics.exact_match().stats(responses[0].text, sample.reference)}


class Unlisted(Words):
    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        return {**super().grade(sample, responses), "style": (1.0, 1.0)}


class Fragile(Words):
    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        responses[0].text.split()[0]  # type: ignore[union-attr]
        return super().grade(sample, responses)


class Bracketed(Words):
    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        if (responses[0].text or "").startswith("]]"):
            raise ValueError("unbalanced")
        return super().grade(sample, responses)


class Undefined(Words):
    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        stats = super().grade(sample, responses)
        return stats if responses[0].text else {"exact_match": (float("nan"), 1.0)}


class Widening(Words):
    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        stats = super().grade(sample, responses)
        return stats if responses[0].text else {"exact_match": (0.0, 1.0, 1.0)}


class Listing(Words):
    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        return {"exact_match": list(super().grade(sample, responses)["exact_match"])}  # type: ignore[dict-item]


class Forgetful(Words):
    turns = 0

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        self.turns += 1
        return {"exact_match": (float(self.turns), 1.0)}


class Silent(Words):
    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        return {}


class Returning(Words):
    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        return None  # type: ignore[return-value]


class Scorers(Words):
    @property
    def metrics(self) -> Sequence[Metric]:
        return (metrics.exact_match(),)  # type: ignore[return-value]


class Twins(Words):
    @property
    def metrics(self) -> Sequence[Metric]:
        return (metrics.exact_match().metric,) * 2


class Upside(Words):
    @property
    def metrics(self) -> Sequence[Metric]:
        return (Metric(name="exact_match", bounds=(100.0, 0.0)),)


class Bare(Words):
    def samples(self) -> Iterator[Sample]:
        return iter(["a"])  # type: ignore[list-item]


class Changing(Words):
    """Its samples, changed by a function."""

    def __init__(self, change: Callable[[Sample], Sample], shots: int = 0) -> None:
        self.change = change
        self.shots = shots

    def samples(self) -> Iterator[Sample]:
        return map(self.change, super().samples())


class Shuffled(Words):
    def samples(self) -> Iterator[Sample]:
        samples = [replace(s, id=f"{s.id}-{random.random()}") for s in super().samples()]
        return iter(samples)


class Nothing(Words):
    def samples(self) -> Iterator[Sample]:
        return iter(())


class Unknown(Words):
    @property
    def metrics(self) -> Sequence[Metric]:
        return (Metric(name="exact_match", formula="meen"),)


class NoMetrics(Words):
    @property
    def metrics(self) -> Sequence[Metric]:
        return ()


def task_failures(
    build: Callable[[], object], *, kinds: str = "generate", max_shots: int = 0
) -> dict[str, str]:
    spec = TaskSpec(
        name="words",
        build=lambda settings: build(),  # type: ignore[arg-type, return-value]
        needs=(frozenset({kinds}),),  # type: ignore[arg-type]
        max_shots=max_shots,
    )
    return failures(check_task("words", toys.registry([], [spec])))


def same_id(sample: Sample) -> Sample:
    return replace(sample, id="one")


def number_id(sample: Sample) -> Sample:
    return replace(sample, id=1)  # type: ignore[arg-type]


def too_cold(sample: Sample) -> Sample:
    return replace(sample, requests=(Generate(prompt="p", temperature=-1.0),))


def no_tokens(sample: Sample) -> Sample:
    return replace(sample, requests=(Generate(prompt="p", max_tokens=0),))


def pair(sample: Sample) -> Sample:
    return replace(sample, reference=(sample.reference, 1))


def surrogate(sample: Sample) -> Sample:
    return replace(sample, reference="\ud800")


def number(sample: Sample) -> Sample:
    return replace(sample, reference=7)


def silent(sample: Sample) -> Sample:
    return replace(sample, requests=())


def test_sound_task_passes() -> None:
    assert task_failures(Words) == {}


@pytest.mark.parametrize(
    ("task", "check", "words"),
    [
        (Unlisted, "oracle scores the maximum", "statistics for 'style'"),
        (Fragile, "empty answers are graded", "raised IndexError on an empty answer"),
        (Bracketed, "hostile answers are graded", "raised ValueError on the answer"),
        (Undefined, "empty answers are graded", "Empty answers score nan"),
        (Widening, "statistics keep their width", "of 'exact_match'"),
        (Listing, "oracle scores the maximum", "must be a tuple of floats"),
        (Forgetful, "statistics keep their width", "other statistics when it graded"),
        (Shuffled, "samples are the same at each call", "sample number 0 of a second call"),
        (Nothing, "sample ids are unique", "yielded nothing"),
        (Unknown, "metrics are sound", "Unknown formula 'meen'. Did you mean 'mean'"),
        (Silent, "oracle scores the maximum", "no statistics for any right answer"),
        (Returning, "empty answers are graded", "returned NoneType"),
        (Scorers, "metrics are sound", "of a scorer, take `.metric`"),
        (Twins, "metrics are sound", "two metrics of one name"),
        (Upside, "metrics are sound", "has the bounds (100.0, 0.0)"),
        (Bare, "sample ids are unique", "yielded str, not Sample"),
        (lambda: Changing(number_id), "sample ids are unique", "the sample id 1; it must be text"),
        (lambda: Changing(no_tokens), "requests are of the declared kinds", "asks for no tokens"),
        (lambda: Changing(too_cold), "requests are of the declared kinds", "the temperature -1"),
        (NoMetrics, "metrics are sound", "has no metrics"),
        (lambda: Changing(same_id), "sample ids are unique", "two samples with the id 'one'"),
        (lambda: Changing(pair), "samples are json safe", "its reference was"),
        (lambda: Changing(surrogate), "samples are json safe", "cannot be kept as JSON"),
        (lambda: Changing(number), "oracle scores the maximum", "a method oracle(sample)"),
        (lambda: Changing(silent), "requests are of the declared kinds", "at least one request"),
    ],
)
def test_broken_task_fails_the_check_named_for_it(
    task: Callable[[], object], check: str, words: str
) -> None:
    assert words in task_failures(task)[check]


def test_undeclared_kind_is_found() -> None:
    found = task_failures(Words, kinds="tag")["requests are of the declared kinds"]
    assert "the alternative chosen is tag" in found


def test_shots_that_change_nothing_are_found() -> None:
    found = task_failures(Words, max_shots=3)["worked examples change the prompts"]
    assert "asks the same without them" in found


def test_shots_that_are_used_pass() -> None:
    spec = TaskSpec(
        name="words",
        build=lambda settings: Words(shots=settings.shots or 0),
        needs=(frozenset({"generate"}),),
        max_shots=2,
    )
    assert failures(check_task("words", toys.registry([], [spec]))) == {}


def test_each_alternative_of_a_task_is_checked() -> None:
    spec = TaskSpec(
        name="words",
        build=lambda settings: Words(),
        needs=(frozenset({"tag"}), frozenset({"generate"})),
    )
    results = check_task("words", toys.registry([], [spec]))
    assert {result.subject for result in results if result.status == "failed"} == {
        "task words (asking tag)"
    }
    assert "task words (asking generate)" in {result.subject for result in results}


class Tagging:
    """Tags that are compared token by token."""

    def __init__(self, tokens: Sequence[str] = ("Ada", "sleeps")) -> None:
        self.tokens = tuple(tokens)

    @property
    def metrics(self) -> Sequence[Metric]:
        return (metrics.entity_f1().metric,)

    def samples(self) -> Iterator[Sample]:
        yield Sample(id="1", requests=(Tag(tokens=self.tokens),), reference=["B-PER", "O"])

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        predicted = metrics.spans_from_tags(responses[0].tags or ())
        gold = metrics.spans_from_tags(sample.reference)
        return {"entity_f1": metrics.entity_f1().stats(predicted, gold)}


def test_sound_tagging_task_passes() -> None:
    assert task_failures(Tagging, kinds="tag") == {}


def test_sentence_without_tokens_is_found() -> None:
    found = task_failures(lambda: Tagging(()), kinds="tag")
    assert "has no tokens to tag" in found["requests are of the declared kinds"]


def test_oracle_method_is_asked_first() -> None:
    class Numbers(Changing):
        def oracle(self, sample: Sample) -> Sequence[Response]:
            return [Response(text="seven")]

        def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
            return {"exact_match": (100.0 * (responses[0].text == "seven"), 1.0)}

    assert task_failures(lambda: Numbers(number)) == {}


def test_oracle_with_too_few_answers_is_found() -> None:
    class Short(Words):
        def oracle(self, sample: Sample) -> Sequence[Response]:
            return []

    assert "0 responses for the 1 requests" in task_failures(Short)["oracle scores the maximum"]


def test_default_oracle_reads_text_lists_and_tags() -> None:
    sample = Sample(
        id="s",
        requests=(
            Generate(prompt="p"),
            Loglikelihood(context="", continuation="c"),
            Tag(tokens=("a", "b")),
        ),
        reference=["B-PER", "O"],
    )
    text, likelihood, tags = oracle_responses(Words(), sample)
    assert (text.text, likelihood.logprob, tags.tags) == ("B-PER", 0.0, ("B-PER", "O"))
    with pytest.raises(CheckFailed, match="tag request"):
        oracle_responses(Words(), replace(sample, requests=sample.requests[2:], reference="ab"))


PLUGIN = (
    MODEL
    + """
@hookimpl
def harness_models():
    yield model("hub", argument="PATH", description="A model.")

@hookimpl
def harness_tasks():
    file = Option(name="file", help="a file", required=True)
    yield task("lines", options=(file,), description="d")
"""
)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_specs_that_need_an_argument_are_skipped_with_words(box: Path) -> None:
    distribution(box, "needy", PLUGIN)
    results = check_plugin("needy", registry=load_registry(points(box)))
    skipped = {result.subject: result.reason for result in results if result.status == "skipped"}
    assert skipped == {
        "model hub": "it needs an argument: name one as --models hub:PATH",
        "task lines": "it needs an argument: name one as --tasks lines:file=...",
    }


def test_named_argument_is_checked(box: Path) -> None:
    distribution(box, "needy", PLUGIN)
    results = check_plugin("needy", ["hub:there"], registry=load_registry(points(box)))
    assert {r.status for r in results if r.subject == "model hub:there"} == {"passed", "failed"}


def test_model_of_another_plugin_is_refused(box: Path) -> None:
    distribution(box, "needy", PLUGIN)
    with pytest.raises(
        UsageError, match="Plugin 'needy' offers no model 'hob'. Did you mean 'hub'"
    ):
        check_plugin("needy", ["hob:x"], registry=load_registry(points(box)))


def test_unknown_plugin_is_a_usage_error_with_a_suggestion(box: Path) -> None:
    distribution(box, "needy", PLUGIN)
    with pytest.raises(UsageError, match="Unknown plugin 'nedy'. Did you mean 'needy'"):
        check_plugin("nedy", registry=load_registry(points(box)))


@pytest.mark.parametrize(
    ("code", "check", "words"),
    [
        ("import no_such_package", "it loads", "No module named 'no_such_package'"),
        (MODEL, "it offers something", "implements no hook"),
        (
            MODEL + "import sqlite3, numpy.linalg, tabulate",
            "nothing heavy is imported at discovery",
            "imports numpy.",
        ),
        (
            MODEL + "@hookimpl\ndef harness_models(): yield model('x')",
            "its specs are described",
            "Model 'x' has no description",
        ),
        (
            MODEL + "@hookimpl\ndef harness_models():"
            " yield model('x', description='d', family='f')",
            "its specs are described",
            "of the family 'f' has no size",
        ),
        (
            MODEL + "o = Option(name='o', help='h')\n@hookimpl\ndef harness_tasks():"
            " yield task('x', description='d', options=(o, o))",
            "its specs are described",
            "declares the option 'o' twice",
        ),
        (
            MODEL + "names = iter('xyz')\n@hookimpl\ndef harness_models():"
            " yield model(next(names), description='d')",
            "it declares the same each time",
            "other names when called again",
        ),
    ],
)
def test_broken_plugin_fails_the_check_named_for_it(
    box: Path, code: str, check: str, words: str
) -> None:
    distribution(box, "culprit", code)
    results = check_plugin("culprit", registry=load_registry(points(box)))
    assert words in failures([r for r in results if r.subject == "plugin culprit"])[check]


def test_name_offered_twice_fails_both_plugins(box: Path) -> None:
    for name in ("first", "second"):
        distribution(box, name, MODEL + "@hookimpl\ndef harness_models(): yield model('shared')")
    registry = load_registry(points(box))
    for name in ("first", "second"):
        failed = failures(check_plugin(name, registry=registry))
        assert "first (first 1) and second (second 1)" in failed["its names are free"]


def test_name_of_two_plugins_is_found(box: Path) -> None:
    for name in ("one-package", "another-package"):
        distribution(box, name, MODEL, plugin="same")
    failed = failures(check_plugin("same", registry=load_registry(points(box))))
    assert "another-package 1, one-package 1" in failed["its name is its own"]


def test_assert_conforms_lists_every_failed_check(box: Path) -> None:
    distribution(box, "culprit-of-two", MODEL + "import numpy")
    with pytest.raises(AssertionError) as caught:
        assert_conforms("culprit-of-two")
    assert "Plugin culprit-of-two fails 2 checks" in str(caught.value)
    assert "implements no hook" in str(caught.value)
    assert "imports numpy" in str(caught.value)


def test_options_are_those_of_a_run(box: Path) -> None:
    spec = TaskSpec(
        name="words",
        build=lambda settings: Words(),
        needs=(frozenset({"generate"}),),
        options=(Option(name="lang", help="language"),),
    )
    with pytest.raises(UsageError, match="Unknown option 'lnag' for task 'words'. Did you mean"):
        check_task("words:lnag=de", toys.registry([], [spec]))
