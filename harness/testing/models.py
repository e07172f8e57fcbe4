"""Checks of a model: each takes a :class:`ModelSubject` and raises CheckFailed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.plan import PlannedModel
from harness.testing.results import CheckFailed, round_trip
from harness.types import (
    Classify,
    Drawing,
    Generate,
    Loglikelihood,
    Model,
    ModelInfo,
    Request,
    RequestKind,
    Response,
    Tag,
)

PROMPTS = ("Once upon a time", "x", "1 + 1 =", "The capital of Österreich is", "問：東京は？\n答：")
STOP = Generate(prompt="One two three four, one two", max_tokens=24, stop=(" ", "\n", "e"))
PAIRS = (("", "Once upon a time"), ("Once upon", " a time"), ("1 + 1 =", " 2"), ("Zu", "ß\n問"))
SENTENCES = (("Ada", "Lovelace", "went", "to", "Paris", "."), ("x",), ("東京", "…", "a b"))
TEXTS = (("A film that never ends.",), ("x",), ("Ada sleeps.", "Ada is awake."), ("東京…",))
LABELS = (("no", "LABEL_0"), ("yes", "LABEL_1"))
DRAWN = tuple(
    Generate(prompt=prompt, max_tokens=8, temperature=1.5, attempt=attempt, seed=seed)
    for prompt in PROMPTS[:2]
    for attempt, seed in ((0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1))
)
"""Enough that a model which draws gives two different answers to one prompt."""
TOLERANCE = 1e-3
"""How far apart two log-probabilities of the same text may be, in nats (float32, any batch)."""


@dataclass(frozen=True, kw_only=True)
class ModelSubject:
    """A model under test, as ``harness run`` would build it."""

    planned: PlannedModel

    @property
    def label(self) -> str:
        """What results call it."""
        return f"model {self.planned.text}"

    @cached_property
    def model(self) -> Model:
        """One instance for all checks that ask, so that weights load once."""
        return self.planned.build()

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """A few requests of every declared kind, mixed."""
        by_kind: dict[RequestKind, list[Request]] = {
            "generate": [*(Generate(prompt=text, max_tokens=8) for text in PROMPTS), STOP],
            "loglikelihood": [Loglikelihood(context=c, continuation=t) for c, t in PAIRS],
            "tag": [Tag(tokens=tokens) for tokens in SENTENCES],
            "classify": [Classify(texts=texts, labels=LABELS) for texts in TEXTS],
        }
        kinds = sorted(self.planned.spec.spec.kinds)
        most = max(len(requests) for requests in by_kind.values())
        return tuple(
            by_kind[kind][i] for i in range(most) for kind in kinds if i < len(by_kind[kind])
        )

    @cached_property
    def answers(self) -> tuple[Response, ...]:
        """The answers to :attr:`requests`, in their order."""
        return self.ask(self.requests)

    def ask(self, requests: Sequence[Request]) -> tuple[Response, ...]:
        """Answers in the order of ``requests``; raises CheckFailed unless each has exactly one."""
        answered: dict[int, Response] = {}
        for index, response in _pairs(self.model.respond(requests), self.label):
            if isinstance(index, bool) or not isinstance(index, int):
                raise CheckFailed(f"{self.label} yielded the index {index!r}; it must be an int.")
            if not 0 <= index < len(requests):
                raise CheckFailed(
                    f"{self.label} yielded the index {index} for {len(requests)} requests.\n"
                    "Indices count the requests of this very call, from 0."
                )
            if index in answered:
                raise CheckFailed(
                    f"{self.label} answered request {index} twice.\nYield every index once."
                )
            if not isinstance(response, Response):
                raise CheckFailed(
                    f"{self.label} yielded {type(response).__name__} for request {index}.\n"
                    "Yield (index, Response(...))."
                )
            answered[index] = response
        missing = [index for index in range(len(requests)) if index not in answered]
        if missing:
            raise CheckFailed(
                f"{self.label} answered {len(answered)} of {len(requests)} requests; number "
                f"{missing[0]} ({requests[missing[0]].kind}) has no answer.\n"
                "Yield every index; where there is no answer, yield Response(error='why')."
            )
        return tuple(answered[index] for index in range(len(requests)))


def _pairs(answers: Iterable[object], label: str) -> Iterator[tuple[object, object]]:
    for pair in answers:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise CheckFailed(
                f"respond() of {label} yielded {pair!r:.100}; it must yield (index, Response(...))."
            )
        yield pair


def check_info_is_there_before_any_answer(subject: ModelSubject) -> None:
    """A ModelInfo with name, family and identity, from a model that was never asked."""
    info: object = subject.planned.build().info
    if not isinstance(info, ModelInfo):
        raise CheckFailed(
            f"info of {subject.label} is {type(info).__name__}, not ModelInfo.\n"
            "Make `info` a property that returns harness.types.ModelInfo(...)."
        )
    for name in ("name", "family", "identity"):
        value = getattr(info, name)
        if not isinstance(value, str) or not value.strip():
            raise CheckFailed(
                f"info.{name} of {subject.label} is {value!r}; it must be a text that is not empty."
                + ("\nUse a digest of the weights or the provider's id." * (name == "identity"))
            )


def check_info_never_changes(subject: ModelSubject) -> None:
    """Equal at each access, in a second instance, and after answers."""
    first, second = subject.planned.build(), subject.planned.build()
    before = first.info
    subject.ask(subject.requests[:1])
    accesses = (first.info, second.info, subject.model.info)
    for when, info in zip(("accessed again", "built anew", "asked"), accesses, strict=True):
        if info != before:
            raise CheckFailed(
                f"info of {subject.label} changed when the model was {when}: {before} became "
                f"{info}.\nStored answers are found by it; compute it from the weights alone."
            )


def check_info_is_json_safe(subject: ModelSubject) -> None:
    """Through JSON and back without a change."""
    round_trip(subject.model.info, f"info of {subject.label}")


def check_family_agrees_with_the_spec(subject: ModelSubject) -> None:
    """``ModelSpec.family`` and ``ModelInfo.family`` are one name."""
    declared, said = subject.planned.spec.spec.family, subject.model.info.family
    if declared and declared != said:
        raise CheckFailed(
            f"{subject.label} is declared in the family '{declared}', and its info says '{said}'.\n"
            "A scaling fit groups by the latter; make them equal."
        )


def check_sizes_are_possible(subject: ModelSubject) -> None:
    """Counts are whole and not negative, parts are no larger than the total."""
    info = subject.model.info
    sizes = {**vars(info.parameters), "train_tokens": info.train_tokens}
    for name, size in sizes.items():
        if size is not None and (type(size) is not int or size < 0):
            raise CheckFailed(f"{name} of {subject.label} is {size!r}; it must be a count or None.")
    total = info.parameters.total
    for name in ("non_embedding", "active"):
        part = getattr(info.parameters, name)
        if total is not None and part is not None and part > total:
            raise CheckFailed(f"{subject.label} has {part} {name} parameters of {total} in total.")


def check_no_requests_no_answers(subject: ModelSubject) -> None:
    """``respond([])`` yields nothing."""
    answers = list(subject.model.respond([]))
    if answers:
        raise CheckFailed(f"{subject.label} yielded {len(answers)} answers to no requests.")


def check_every_request_is_answered_once(subject: ModelSubject) -> None:
    """Every index exactly once, in any order."""
    subject.ask(subject.requests)


def check_answers_have_their_fields(subject: ModelSubject) -> None:
    """Text for generate, a log-probability for loglikelihood, as many tags as tokens for tag,
    a log-probability for each label for classify."""
    for request, answer in zip(subject.requests, subject.answers, strict=True):
        problem = f"Response.error: {answer.error}" if answer.error else _problem(request, answer)
        if problem:
            raise CheckFailed(
                f"{subject.label} answered {request!r:.120} with a wrong response.\n{problem}."
            )
    for request, answer in zip(subject.requests, subject.answers, strict=True):
        round_trip(answer, f"The answer of {subject.label} to {request!r:.120}")


def check_same_answers_when_asked_again(subject: ModelSubject) -> None:
    """Deterministic: the harness stores answers and compares runs by them."""
    _same_answers(subject, subject.ask(subject.requests), "when asked again")


def check_same_answers_in_reversed_order(subject: ModelSubject) -> None:
    """An answer does not depend on what came before."""
    _same_answers(subject, subject.ask(subject.requests[::-1])[::-1], "in reversed order")


def check_same_answers_one_by_one(subject: ModelSubject) -> None:
    """An answer does not depend on what it is batched with."""
    single = tuple(subject.ask([request])[0] for request in subject.requests)
    _same_answers(subject, single, "when asked one by one")


def check_drawn_answers_depend_on_their_request_alone(subject: ModelSubject) -> None:
    """With a temperature above 0: other answers for other attempts and seeds, the same again for
    the same request, in any order and alone. A model without ``check_drawing``, or that writes no
    texts, is not asked."""
    writes = "generate" in subject.planned.spec.spec.kinds
    if not (writes and isinstance(subject.model, Drawing)):
        return
    first = subject.ask(DRAWN)
    for request, answer in zip(DRAWN, first, strict=True):
        problem = f"Response.error: {answer.error}" if answer.error else _problem(request, answer)
        if problem:
            raise CheckFailed(f"{subject.label} answered {request!r:.120} wrongly.\n{problem}.")
    for prompt in dict.fromkeys(request.prompt for request in DRAWN):
        texts = [a.text for r, a in zip(DRAWN, first, strict=True) if r.prompt == prompt]
        if len(set(texts)) == 1:
            raise CheckFailed(
                f"{subject.label} gave the same answer to {len(texts)} drawn requests: "
                f"{texts[0]!r:.60}.\nDraw by temperature, seed and attempt, or leave out "
                "check_drawing: then the model is not asked for drawn answers."
            )
    for how, again in (
        ("when asked again", subject.ask(DRAWN)),
        ("in reversed order", subject.ask(DRAWN[::-1])[::-1]),
        ("when asked one by one", tuple(subject.ask([request])[0] for request in DRAWN)),
    ):
        _same(subject, DRAWN, first, again, how)


CHECKS: tuple[Callable[[ModelSubject], None], ...] = (
    check_info_is_there_before_any_answer,
    check_info_never_changes,
    check_info_is_json_safe,
    check_family_agrees_with_the_spec,
    check_sizes_are_possible,
    check_no_requests_no_answers,
    check_every_request_is_answered_once,
    check_answers_have_their_fields,
    check_same_answers_when_asked_again,
    check_same_answers_in_reversed_order,
    check_same_answers_one_by_one,
    check_drawn_answers_depend_on_their_request_alone,
)


def _problem(request: Request, answer: Response) -> str | None:
    match request:
        case Generate():
            if not isinstance(answer.text, str):
                return f"text is {answer.text!r}; it must be a str (empty is allowed)"
            found = [stop for stop in request.stop if stop in answer.text]
            if found:
                return f"text {answer.text!r} holds the stop string {found[0]!r}; cut it there"
        case Loglikelihood():
            logprob = answer.logprob
            if not isinstance(logprob, float) or not math.isfinite(logprob) or logprob > TOLERANCE:
                return f"logprob is {logprob!r}; it must be a finite float of at most 0"
            if not (answer.greedy is None or isinstance(answer.greedy, bool)):
                return f"greedy is {answer.greedy!r}; it must be True, False or None"
        case Tag():
            tags = answer.tags
            if not isinstance(tags, tuple) or not all(isinstance(tag, str) for tag in tags):
                return f"tags is {tags!r}; it must be a tuple of str"
            if len(tags) != len(request.tokens):
                return f"{len(tags)} tags for {len(request.tokens)} tokens; give each token one"
        case Classify():
            logprobs = answer.logprobs
            if not isinstance(logprobs, tuple) or len(logprobs) != len(request.labels):
                return f"logprobs is {logprobs!r}; it must be {len(request.labels)} floats"
            if not all(math.isfinite(one) and one <= TOLERANCE for one in logprobs):
                return f"logprobs is {logprobs!r}; each must be a finite float of at most 0"
    return None


def _same_answers(subject: ModelSubject, again: Sequence[Response], how: str) -> None:
    _same(subject, subject.requests, subject.answers, again, how)


def _same(
    subject: ModelSubject,
    requests: Sequence[Request],
    first: Sequence[Response],
    again: Sequence[Response],
    how: str,
) -> None:
    for request, one, other in zip(requests, first, again, strict=True):
        different = (one.text, one.tags) != (other.text, other.tags)
        if different or _apart(one.logprob, other.logprob) or _all_apart(one, other):
            raise CheckFailed(
                f"{subject.label} answers differently {how}: {request!r:.120}\n"
                f"{_said(one)} became {_said(other)}.\n"
                "Decode greedily, seed what is drawn, keep padding out of the answer."
            )


def _apart(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not other
    return not math.isclose(one, other, rel_tol=1e-5, abs_tol=TOLERANCE)


def _all_apart(one: Response, other: Response) -> bool:
    """Whether the labels' log-probabilities differ anywhere."""
    several, others = one.logprobs or (), other.logprobs or ()
    return len(several) != len(others) or any(map(_apart, several, others))


def _said(answer: Response) -> str:
    fields = ("error", "text", "logprob", "tags", "logprobs")
    said = [f"{f}={getattr(answer, f)!r:.60}" for f in fields if getattr(answer, f) is not None]
    return ", ".join(said) or "an empty answer"
