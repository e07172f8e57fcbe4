"""Small real models and tasks, and registries that hold them, for tests of the core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness import metrics
from harness.plugins import PluginInfo, Registered, Registry
from harness.types import (
    Generate,
    Loglikelihood,
    Metric,
    Model,
    ModelInfo,
    ModelSettings,
    ModelSpec,
    Option,
    Parameters,
    Request,
    Response,
    Sample,
    Stats,
    Task,
    TaskSettings,
    TaskSpec,
)

PLUGIN = PluginInfo(name="toys", target="toys", distribution="toy-box", version="1.2")
BOTH = frozenset({"generate", "loglikelihood"})


@dataclass
class Adder:
    """Adds two numbers, and errs on the share of them that its size does not reach."""

    size: int
    name: str = "adder"
    asked: list[Request] = field(default_factory=list)

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self.name,
            family="adder",
            identity=f"adder-{self.size}",
            parameters=Parameters(total=self.size + 100, non_embedding=self.size),
        )

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for index, request in reversed(list(enumerate(requests))):
            self.asked.append(request)
            yield index, self.answer(request)

    def answer(self, request: Request) -> Response:
        match request:
            case Generate(prompt=prompt):
                left, right = (int(part) for part in prompt.rstrip("=").split("+"))
                wrong = (left * 7 + right * 13) % 100 >= 100 * (1 - self.size**-0.4)
                return Response(text=str(left + right + wrong), tokens=1)
            case Loglikelihood(continuation=continuation):
                return Response(logprob=-len(continuation) * (0.5 + self.size**-0.3), tokens=1)
            case _:
                raise ValueError(request)


@dataclass
class Sums:
    """Forty sums, their answer by generation and its likelihood."""

    number: int = 40

    @property
    def metrics(self) -> Sequence[Metric]:
        return (metrics.exact_match().metric, metrics.bits_per_byte().metric)

    def samples(self) -> Iterator[Sample]:
        for i in range(self.number):
            prompt = f"{i}+{i * i % 17}="
            answer = str(i + i * i % 17)
            yield Sample(
                id=f"sum-{i}",
                requests=(
                    Generate(prompt=prompt, max_tokens=8, stop=("\n",)),
                    Loglikelihood(context=prompt, continuation=answer),
                ),
                reference=answer,
            )

    def grade(self, sample: Sample, responses: Sequence[Response]) -> Mapping[str, Stats]:
        generated, scored = responses
        assert generated.text is not None and scored.logprob is not None
        return {
            "exact_match": metrics.exact_match().stats(generated.text, sample.reference),
            "bits_per_byte": metrics.bits_per_byte().stats(scored.logprob, len(sample.reference)),
        }


def model_spec(name: str, model: Model, *, family: str = "adder", size: int = 1) -> ModelSpec:
    def build(settings: ModelSettings) -> Model:
        return model

    return ModelSpec(name=name, build=build, kinds=BOTH, family=family, size=size, default=True)


def task_spec(name: str, task: Task, *, options: tuple[Option, ...] = ()) -> TaskSpec:
    def build(settings: TaskSettings) -> Task:
        return task

    return TaskSpec(name=name, build=build, needs=(BOTH,), options=options, default=True)


def registry(models: Sequence[ModelSpec], tasks: Sequence[TaskSpec]) -> Registry:
    return Registry(
        plugins=(PLUGIN,),
        models={spec.name: Registered(spec=spec, plugin=PLUGIN) for spec in models},
        tasks={spec.name: Registered(spec=spec, plugin=PLUGIN) for spec in tasks},
        clashes={},
    )


def adders(*sizes: int) -> tuple[list[Adder], list[ModelSpec]]:
    models = [Adder(size) for size in sizes]
    specs = [model_spec(f"adder-{m.size}", m, size=m.size) for m in models]
    return models, specs
