"""The order in which modules may import one another, and what starting up may cost."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = [
    {"errors", "types", "wording"},
    {"rendering", "metering", "sizes", "reading", "training"},
    {"pretraining", "tracking"},
    {"hookspecs", "codec", "names", "fetching", "columns"},
    {"plugins", "recipes", "cellstats"},
    {"plan", "starts", "statsindex"},
    {"metrics", "store", "results"},
    {"asking", "doctor", "finishing", "grading", "manifest", "models", "tagreports"},
    {"cells"},
    {"run", "rescore", "imported", "outputs"},
    {"importing", "exporting"},
    {"laws"},
    {"stats"},
    {"scaling", "runtable", "fitreport"},
    {"table", "document", "sweeps"},
    {"compare"},
    {"check", "leaderboard", "report"},
    {"plots"},
    {"testing"},
    {"cli"},
    {"__main__"},
]
HEAVY = ("torch", "transformers", "numpy", "scipy", "sacrebleu", "rouge_score", "tqdm", "tabulate")
CPU_SECONDS = 0.25


def rank(module: str) -> int:
    for number, layer in enumerate(LAYERS):
        if module in layer:
            return number
    raise AssertionError(f"harness.{module} has no layer: add it to the list above")


def imports(path: Path) -> set[str]:
    """Core modules that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
            if node.module == "harness":
                names = [f"harness.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("harness.")}
    return found - {"__version__", "hookimpl"}


def modules(root: Path) -> list[tuple[str, Path]]:
    package = root / "harness"
    files = sorted(package.rglob("*.py"))
    return [
        (file.relative_to(package).parts[0].removesuffix(".py"), file)
        for file in files
        if file != package / "__init__.py" and "skeleton" not in file.parts
    ]


def test_imports_point_one_way(root: Path) -> None:
    wrong = [
        f"{file.relative_to(root)} imports harness.{imported}"
        for module, file in modules(root)
        for imported in imports(file)
        if imported != module and rank(imported) >= rank(module)
    ]
    assert wrong == []


def test_the_core_imports_no_plugin_and_no_torch(root: Path) -> None:
    packages = {p.name for folder in ("plugins", "tasks") for p in (root / folder).iterdir()}
    forbidden = {name for name in packages if name.startswith("harness_")} | {"torch"}
    for _, file in modules(root):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.split(".")[0] for name in names} & forbidden, file


@pytest.mark.parametrize("name", ["harness.types", "harness.errors", "harness.hookspecs"])
def test_the_nouns_need_the_standard_library_and_pluggy_only(name: str) -> None:
    script = f"import sys, {name}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split()) - set(sys.stdlib_module_names)
    assert not loaded & {*HEAVY, "click"}


def test_help_loads_no_plugin_and_nothing_heavy() -> None:
    script = (
        "import sys\nfrom harness.cli import invoke\nassert invoke(['--help']) == 0\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    loaded = set(done.stderr.split())
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("harness_")}
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # Said, not judged: a loaded machine must not fail the suite. The budget is in the docs.
    print(f"--help took {spent:.2f} s of CPU; the budget is {CPU_SECONDS} s")


def loaded_by(*commands: list[str]) -> set[str]:
    """Modules that are there after the commands, all in one process."""
    script = (
        "import sys\nfrom harness.cli import invoke\n"
        f"for command in {list(commands)!r}:\n    assert invoke(command) == 0, command\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_help_of_what_computes_loads_nothing_that_computes() -> None:
    names = ("run", "fit", "predict", "plot", "score", "compare", "check", "report", "leaderboard")
    loaded = loaded_by(*([name, "--help"] for name in names))
    assert not {name.partition(".")[0] for name in loaded} & {*HEAVY, "pluggy"}
    assert not loaded & {"harness.types", "harness.plan", "harness.plugins"}


def test_lists_load_every_plugin_and_nothing_that_computes() -> None:
    loaded = {name.partition(".")[0] for name in loaded_by(["models"], ["tasks"], ["plugins"])}
    assert {"harness_hf", "harness_qa"} <= loaded
    assert not loaded & set(HEAVY) - {"tabulate"}


def test_every_module_can_be_imported_alone(root: Path) -> None:
    names = []
    for _, file in modules(root):
        dotted = ".".join(file.relative_to(root).with_suffix("").parts)
        names.append(dotted.removesuffix(".__init__"))
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for loaded in [m for m in sys.modules if m.split('.')[0] == 'harness']:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
