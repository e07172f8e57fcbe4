from __future__ import annotations

from dataclasses import replace

import pytest
import toys

from harness.errors import PluginError, UsageError
from harness.plan import RunRequest, plan, plan_task, run_name
from harness.plugins import Registry
from harness.types import Option


@pytest.fixture
def registry() -> Registry:
    _, specs = toys.adders(10, 100, 1000)
    file = replace(
        toys.task_spec("file", toys.Sums()),
        argument="FILE",
        options=(Option(name="data", help="the file"), Option(name="lang", help="x")),
        default=False,
        max_shots=2,
    )
    tagging = replace(
        toys.task_spec("tagging", toys.Sums()), needs=(frozenset({"tag"}),), default=False
    )
    return toys.registry(specs, [toys.task_spec("sums", toys.Sums()), file, tagging])


def names(registry: Registry, **wanted: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    made = plan(registry, RunRequest(**wanted))  # type: ignore[arg-type]
    return made.models, made.tasks


def refusal(registry: Registry, **wanted: object) -> str:
    with pytest.raises(UsageError) as caught:
        plan(registry, RunRequest(**wanted))  # type: ignore[arg-type]
    assert 1 <= len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


def test_without_names_the_defaults_run_by_size(registry: Registry) -> None:
    assert names(registry) == (("adder-10", "adder-100", "adder-1000"), ("sums",))


def test_a_family_stands_for_its_sizes_and_names_are_not_repeated(registry: Registry) -> None:
    models, _ = names(registry, models=("adder-100,adder",))
    assert models == ("adder-100", "adder-10", "adder-1000")


def test_a_glob_stands_for_what_it_matches(registry: Registry) -> None:
    assert names(registry, models=("adder-10*",))[0] == ("adder-10", "adder-100", "adder-1000")
    assert "No model matches 'x*'" in refusal(registry, models=("x*",))


def test_an_unknown_name_gets_a_suggestion(registry: Registry) -> None:
    assert "Did you mean 'adder-100'" in refusal(registry, models=("ader-100",))
    assert "Unknown task 'sms'. Did you mean 'sums'?" in refusal(registry, tasks=("sms",))


def test_an_unknown_option_gets_a_suggestion(registry: Registry) -> None:
    message = refusal(registry, tasks=("file:x,langue=de",))
    assert message == "Unknown option 'langue' for task 'file'. Did you mean 'lang'?"


def test_arguments_must_fit_the_spec(registry: Registry) -> None:
    assert "needs FILE after a colon" in refusal(registry, tasks=("file",))
    assert "takes nothing after a colon" in refusal(registry, tasks=("sums:x",))


@pytest.mark.parametrize(
    ("name", "value"), [("limit", 0), ("shots", -1), ("batch_size", 0), ("seed", -1)]
)
def test_numbers_out_of_range_are_refused(registry: Registry, name: str, value: int) -> None:
    assert "too small" in refusal(registry, **{name: value})


def test_more_shots_than_a_task_takes_are_refused_not_ignored(registry: Registry) -> None:
    assert "at most 0 worked examples" in refusal(registry, shots=1)
    names(registry, tasks=("file:x",), shots=2)


def test_a_model_that_cannot_answer_is_refused_before_anything_loads(registry: Registry) -> None:
    message = refusal(registry, tasks=("tagging",))
    assert "the task needs tag, and the model answers generate+loglikelihood" in message


def test_a_clash_blames_both(registry: Registry) -> None:
    clashing = replace(registry, clashes={"model adder-10": "Two plugins offer it: a and b."})
    with pytest.raises(PluginError, match="a and b"):
        plan(clashing, RunRequest(models=("adder-10",)))


def test_a_recorded_permission_to_run_code_does_not_count(registry: Registry) -> None:
    asks = replace(
        registry.tasks["sums"].spec,
        name="code",
        options=(Option(name="allow_code_execution", help="run it"),),
    )
    both = toys.registry([e.spec for e in registry.models.values()], [asks])

    def options(**wanted: object) -> dict[str, str]:
        request = RunRequest(models=("adder-10",), **wanted)  # type: ignore[arg-type]
        return dict(plan(both, request).cells[0].task.settings.options)

    given = "code,allow_code_execution=yes"
    assert options(tasks=("code",)) == {}
    assert options(tasks=("code",), allow_code_execution=True) == {"allow_code_execution": "yes"}
    assert options(tasks=(given,)) == {"allow_code_execution": "yes"}
    again = plan_task(both, given, toys.BOTH, RunRequest())
    assert dict(again.settings.options) == {}
    allowed = plan_task(both, given, toys.BOTH, RunRequest(allow_code_execution=True))
    assert dict(allowed.settings.options) == {"allow_code_execution": "yes"}


def test_no_defaults_say_what_to_give() -> None:
    message = refusal(toys.registry([], []))
    assert "Give --models" in message


def test_the_same_request_gets_the_same_directory(registry: Registry) -> None:
    def name(**wanted: object) -> str:
        return run_name(plan(registry, RunRequest(**wanted)))  # type: ignore[arg-type]

    assert name() == name(models=("adder",), tasks=("sums",))
    assert name() != name(limit=3)
    assert name().startswith("adder--sums--")
