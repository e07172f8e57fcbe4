"""A broken plugin disables itself alone, and is named with its reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from distributions import MODEL, distribution, harness, points

from harness.errors import PluginError, UsageError
from harness.plugins import Registry, load_registry, notify_cell, notify_run
from harness.types import CellRecord, ModelInfo, RunRecord

GOOD = (
    MODEL
    + """
@hookimpl
def harness_models():
    yield model("good-model", family="good", size=2)
    yield model("good-small", family="good", size=1)

@hookimpl
def harness_tasks():
    return [task("good-task")]
"""
)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    distribution(tmp_path, "sound-package", GOOD, plugin="sound")
    return tmp_path


def broken(registry: Registry, name: str) -> str:
    """The reason of the one broken plugin; whatever else is installed must still be there."""
    assert [info.name for info in registry.broken] == [name]
    assert set(registry.models) == {"good-model", "good-small"}
    assert set(registry.tasks) == {"good-task"}
    reason = registry.broken[0].error
    assert reason is not None and "\n" not in reason
    return reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(
            "@hookimpl\ndef harness_model(): yield model('x')",
            r"unknown hook 'harness_model'. Did you mean 'harness_models'",
            id="misspelt",
        ),
        pytest.param(
            "def harness_tasks(): yield task('x')",
            r"harness_tasks is not marked: write @harness.hookimpl",
            id="unmarked",
        ),
        pytest.param(
            "def harness_task(): yield task('x')",
            r"harness_task is no hook and not marked as one; 'harness_tasks' is near",
            id="misspelt and unmarked",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models():\n    yield model('x')\n    raise OSError('late')",
            r"OSError: late",
            id="raises late",
        ),
        pytest.param(
            "import no_such_package", r"ModuleNotFoundError: .*no_such_package", id="import"
        ),
        pytest.param("def f(:", r"SyntaxError", id="syntax"),
        pytest.param("raise SystemExit('I leave')", r"SystemExit: I leave", id="SystemExit"),
        pytest.param(
            "@hookimpl\ndef harness_models(): yield task('x')",
            r"harness_models yielded TaskSpec, not ModelSpec",
            id="wrong record",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models(): return model('x')",
            r"harness_models returned ModelSpec; it must yield specs",
            id="not iterable",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models(): [model('x')]",
            r"harness_models returned None; it must yield specs",
            id="no return",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models(config): yield model('x')",
            r"PluginValidationError: .*config",
            id="wrong argument",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models(): yield model('a b')",
            r"the name 'a b'; a name is letters",
            id="bad name",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models(): yield model('x', family='a:b')",
            r"the family 'a:b'",
            id="bad family",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models(): yield model('x'); yield model('x')",
            r"harness_models yielded the name 'x' twice",
            id="twice",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models(): yield model('x', kinds='generate')",
            r"'x' with kinds='generate'; kinds are frozenset",
            id="kinds",
        ),
        pytest.param(
            "@hookimpl\ndef harness_models(): yield model('x', kinds={'generate'})",
            r"'x' with kinds=\{'generate'\}; kinds are frozenset",
            id="kinds that cannot be hashed",
        ),
        pytest.param(
            "@hookimpl\ndef harness_tasks(): yield task('x', needs=frozenset({'generate'}))",
            r"'x' with needs=frozenset",
            id="needs",
        ),
        pytest.param(
            "@hookimpl\ndef harness_tasks(): yield task('x', build=None)",
            r"'x' with build=None, which cannot be called",
            id="build",
        ),
        pytest.param(
            "@hookimpl\ndef harness_tasks(): yield task('x', options=('lang',))",
            r"'x' with options=\('lang',\)",
            id="options",
        ),
    ],
)
def test_broken_plugin_disables_itself_alone(box: Path, code: str, reason: str) -> None:
    distribution(box, "culprit", MODEL + code)
    said = broken(load_registry(points(box)), "culprit")
    assert re.search(reason, said), said


def test_class_as_entry_point_is_refused(box: Path) -> None:
    module = distribution(box, "culprit", MODEL + "class Plugin: pass")
    entry = box / "culprit-1.dist-info" / "entry_points.txt"
    entry.write_text(f"[harness]\nculprit = {module}:Plugin\n")
    reason = broken(load_registry(points(box)), "culprit")
    assert reason == "it names the class Plugin; name a module or an instance"


def test_instance_as_entry_point_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    code = "class Plugin:\n    @hookimpl\n    def harness_models(self): yield model('x')\n"
    module = distribution(tmp_path, "one", MODEL + code + "here = Plugin()")
    entry = tmp_path / "one-1.dist-info" / "entry_points.txt"
    entry.write_text(f"[harness]\none = {module}:here\n")
    assert list(load_registry(points(tmp_path)).models) == ["x"]


def test_keyboard_interrupt_is_not_swallowed(box: Path) -> None:
    distribution(box, "culprit", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_registry(points(box))


def test_what_a_plugin_prints_stays_off_stdout(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distribution(box, "chatty", "print('hello from the import')")
    load_registry(points(box))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "hello from the import" in printed.err


def test_name_of_two_plugins_belongs_to_neither(box: Path) -> None:
    for name, version in (("first", "1.5"), ("second", "2.0")):
        offers = f"@hookimpl\ndef harness_models(): yield model('shared'); yield model('{name}s')"
        distribution(box, name, MODEL + offers, version=version)
    registry = load_registry(points(box))
    assert not registry.broken
    assert {"firsts", "seconds", "good-model"} <= set(registry.models)
    with pytest.raises(PluginError) as caught:
        registry.model("shared")
    message = str(caught.value)
    assert "Two plugins offer the model 'shared'" in message
    assert "first (first 1.5)" in message and "second (second 2.0)" in message


def test_model_and_task_may_share_a_name(box: Path) -> None:
    both = "@hookimpl\ndef harness_models(): yield model('x')\n"
    both += "@hookimpl\ndef harness_tasks(): yield task('x')"
    distribution(box, "both", MODEL + both)
    registry = load_registry(points(box))
    assert registry.model("x").plugin.name == registry.task("x").plugin.name == "both"


def test_unknown_name_mentions_disabled_plugins(box: Path) -> None:
    distribution(box, "culprit", "raise RuntimeError('no')", version="3.1")
    registry = load_registry(points(box))
    with pytest.raises(UsageError) as caught:
        registry.model("good-modle")
    message = str(caught.value)
    assert "Unknown model 'good-modle'. Did you mean 'good-model'" in message
    assert "Disabled plugins that may offer it: culprit (culprit 3.1)" in message


def test_family_is_ordered_by_size(box: Path) -> None:
    assert load_registry(points(box)).families() == {"good": ("good-small", "good-model")}


def test_failing_observer_is_reported_and_stops_no_other(box: Path) -> None:
    raises = "@hookimpl\ndef harness_cell_finished(record): raise ValueError('full')"
    distribution(box, "a-culprit", MODEL + raises)
    module = distribution(
        box,
        "b-witness",
        MODEL + "seen = []\n@hookimpl\ndef harness_run_finished(run): seen.append(run)"
        "\n@hookimpl\ndef harness_cell_finished(record): seen.append(record)",
    )
    registry = load_registry(points(box))
    info = ModelInfo(name="m", family="m", identity="m")
    record = CellRecord(model=info, task="t", status="complete")
    run = RunRecord(directory="d", status="complete", cells=(record,))
    assert notify_cell(registry, record) == ["plugin a-culprit (a-culprit 1): ValueError: full"]
    assert notify_run(registry, run) == []
    assert __import__(module).seen == [record, run]


def test_listing_shows_the_broken_plugin_with_its_reason(box: Path) -> None:
    distribution(box, "culprit", "import no_such_package", version="3.1")
    listing = harness("plugins", path=box, cwd=box)
    assert listing.returncode == 0
    row = next(line for line in listing.stdout.splitlines() if line.startswith("culprit"))
    assert "BROKEN" in row and "culprit 3.1" in row
    assert (
        "plugin culprit (culprit 3.1): ModuleNotFoundError: No module named 'no_such_package'"
        in (listing.stderr)
    )
    document = json.loads(harness("models", "--json", path=box, cwd=box).stdout)
    assert [plugin["name"] for plugin in document["broken"]] == ["culprit"]
    assert "good-model" in {model["name"] for model in document["models"]}


def test_command_names_both_owners_of_a_name_and_exits_3(box: Path) -> None:
    for name in ("first", "second"):
        distribution(box, name, MODEL + "@hookimpl\ndef harness_models(): yield model('shared')")
    refused = harness("run", "-m", "shared", "-t", "good-task", path=box, cwd=box)
    assert refused.returncode == PluginError.exit_code
    assert "first (first 1) and second (second 1)" in refused.stderr
