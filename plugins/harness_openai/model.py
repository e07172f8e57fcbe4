"""The adapter: a server behind :class:`harness.types.Model`."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from harness.errors import ModelError, UsageError
from harness.types import Generate, Loglikelihood, ModelInfo, Parameters, Response, Usage
from harness_openai import bodies
from harness_openai.account import Account
from harness_openai.bridge import drain
from harness_openai.faults import GivenUpError, UnanswerableError
from harness_openai.likelihood import Question, question, read_likelihood
from harness_openai.options import DEFAULT_KEY
from harness_openai.pace import Pace
from harness_openai.replies import Echoed, Generated, read_echoed, read_generated
from harness_openai.secret import Secret, read_secret
from harness_openai.server import Server, import_sdk
from harness_openai.talk import Call, Talk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

    from harness.types import Request, RequestKind
    from harness_openai.bodies import Route
    from harness_openai.options import Options

ADAPTER_VERSION = "2"
"""Moves when the adapter's answers may move: how a request is put, how a reply is read."""

ROUTES: tuple[Route, ...] = ("echo", "prompt_logprobs")
PROBE = Question(prompt="One two three four five", boundary=len("One two"))


class OpenAIModel:
    """A model behind an OpenAI-compatible server; nothing is sent before the first request."""

    def __init__(self, options: Options) -> None:
        """Remember the settings."""
        self._options = options
        self._account = Account(options.prices)
        self._route: Route | None = None
        self._dialect = bodies.Dialect()
        self._limit, self._gap = 1.0, 0.0

    @cached_property
    def info(self) -> ModelInfo:
        """Name, family and identity, from the settings alone."""
        options = self._options
        address = options.address
        label = f"#{options.revision}" if options.revision else ""
        return ModelInfo(
            name=address.model,
            family=options.family,
            identity=f"{address.model}@{address.base_url}{label}",
            parameters=Parameters(total=options.params),
            settings=self._settings(),
        )

    @property
    def usage(self) -> Usage:
        """What the answers cost so far, where prices are known."""
        priced = self._options.prices is not None
        return Usage(cost=self._account.spent if priced else None)

    def limit_cost(self, most: float) -> None:
        """Never let :attr:`usage` pass ``most``; raises UsageError when there are no prices."""
        if self._options.prices is None:
            raise UsageError(
                f"--max-cost needs to know what 'openai:{self._options.address.model}' costs.\n"
                "Give price_in=... and price_out=..., the prices of a million tokens read and "
                "generated (0 where it costs nothing)."
            )
        self._account.limit = most

    def prepare(self, kinds: frozenset[RequestKind]) -> None:
        """Make sure before a run that requests of these kinds can be asked.

        Raises UsageError without a key or the SDK, and where log-likelihoods are wanted of a server
        that has none; ModelError for a server that cannot be asked at all.
        """
        import_sdk()
        self._secret()
        if "loglikelihood" in kinds:
            for _ in drain(self._probe):
                pass

    def check_drawing(self) -> None:
        """Raise UsageError where no temperature is to be sent: a drawn answer needs one."""
        if self._options.temperature is None:
            raise UsageError(
                f"openai: '{self._options.address.model}' is sent no temperature "
                "(temperature=none), and the task asks for answers drawn at one.\n"
                "Leave temperature=none out, or ask the task for one answer at temperature 0."
            )

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Yield the answer to every request as soon as the server gives it."""
        if requests:
            yield from drain(partial(self._answers, requests))

    def _secret(self) -> Secret:
        options = self._options
        required = options.address.is_openai or options.key != DEFAULT_KEY
        return read_secret(options.key, required=required)

    async def _probe(self) -> AsyncGenerator[None]:
        """Find the route, and end the stream."""
        async with self._server() as server:
            await self._find_route(self._talk(server))
        return
        yield

    async def _answers(self, requests: Sequence[Request]) -> AsyncGenerator[tuple[int, Response]]:
        async with self._server() as server:
            if any(isinstance(request, Loglikelihood) for request in requests):
                await self._find_route(self._talk(server))
            most = self._options.limits.concurrency
            pace = Pace(most, start=self._limit, gap=self._gap)
            talk = Talk(server, self._options, pace, self._account)

            async def answer(item: tuple[int, Request]) -> tuple[int, Response]:
                index, request = item
                try:
                    return index, await self._answer(talk, request)
                except UnanswerableError as error:
                    return index, Response(error=str(error))

            try:
                async for pair in talk.all(_shortest_first(requests), answer):
                    yield pair
            finally:
                self._limit, self._gap = pace.limit, pace.gap

    def _server(self) -> Server:
        self._account.begin()
        return Server(self._options, self._secret())

    def _talk(self, server: Server) -> Talk:
        """A talk for a probe, one request at a time."""
        return Talk(server, self._options, Pace(1), self._account)

    async def _answer(self, talk: Talk, request: Request) -> Response:
        match request:
            case Generate():
                return _generated(request, await self._generate(talk, request))
            case Loglikelihood():
                asked = question(request, bos=self._options.bos)
                if len(asked.prompt) == asked.boundary:  # nothing to score
                    return Response(logprob=0.0, greedy=True, tokens=0)
                return read_likelihood(asked, await self._echo(talk, asked, self._route or "echo"))
            case _:
                raise UnanswerableError(f"a language model cannot answer a {request.kind} request")

    async def _generate(self, talk: Talk, request: Generate) -> Generated:
        options, spoken = self._options, self._dialect
        call = Call(
            body=bodies.generation(options, request, spoken),
            bound=self._account.bound(
                options.system + request.prompt, request.max_tokens, options.endpoint
            ),
            read=partial(read_generated, chat=options.endpoint == "chat"),
        )
        try:
            return await talk.ask(call)
        except UnanswerableError as error:
            refusal = str(error)
            if spoken.after(refusal) == spoken:
                raise
        self._dialect = self._dialect.after(refusal)
        return await self._generate(talk, request)

    async def _echo(self, talk: Talk, asked: Question, route: Route) -> Echoed:
        call = Call(
            body=bodies.echo(self._options, asked.prompt, route),
            bound=self._account.bound(asked.prompt, 1, self._options.endpoint),
            read=partial(read_echoed, route=route),
        )
        return await talk.ask(call)

    async def _find_route(self, talk: Talk) -> None:
        """Learn how the server gives log-probabilities.

        Raises UsageError when it does not, ModelError when nobody can tell.
        """
        if self._route is not None:
            return
        options = self._options
        if options.endpoint != "completions":
            raise UsageError(
                f"openai: a chat endpoint has no log-probabilities of a given text, which the task "
                f"needs of '{options.address.model}'.\n"
                "Add endpoint=completions if the server has it, or leave that task out."
            )
        reasons = []
        refusal: type[UsageError | ModelError] = UsageError
        for route in ROUTES:
            try:
                found = read_likelihood(PROBE, await self._echo(talk, PROBE, route))
            except UnanswerableError as error:
                reasons.append(f"{route}: {error}")
                if isinstance(error, GivenUpError):
                    refusal = ModelError
                continue
            if found.logprob:
                self._route = route
                return
            reasons.append(f"{route}: every token has the log-probability 0")
        if self._account.exhausted:  # no request will be asked, and each will say so
            return
        raise refusal(
            f"openai: {options.address.base_url} gives no log-probabilities of a prompt, which the "
            f"task needs ({'; '.join(reasons)}).\n"
            "Serve the model with vLLM, for one, or leave that task out."
        )

    def _settings(self) -> Mapping[str, str]:
        options = self._options
        temperature = "none" if options.temperature is None else f"{options.temperature:g}"
        settings = {
            "adapter": f"openai-{ADAPTER_VERSION}",
            "endpoint": options.endpoint,
            "temperature": temperature,
        }
        optional = {"system": options.system, "bos": options.bos}
        return settings | {name: text for name, text in optional.items() if text}


def _shortest_first(requests: Sequence[Request]) -> list[tuple[int, Request]]:
    """Numbered, the shortest one first: where it has no answer, none may have one, but where a long
    one is refused, the others may well be answered."""
    items = list(enumerate(requests))
    first = min(items, key=lambda item: len(str(item[1])))
    items.remove(first)
    return [first, *items]


def _generated(request: Generate, found: Generated) -> Response:
    """The answer, cut at the first stop string whatever the server made of it."""
    places = [at for stop in request.stop if stop and (at := found.text.find(stop)) >= 0]
    text = found.text[: min(places)] if places else found.text
    return Response(
        text=text,
        truncated=found.truncated and not places,
        prompt_tokens=found.spent.prompt,
        tokens=found.spent.generated,
    )
