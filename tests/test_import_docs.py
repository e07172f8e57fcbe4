"""The page on interchange: its commands run, and its example is a plugin that works."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from conftest import Program
from interchange import save
from test_docs import run_page

import harness_interchange
from harness.errors import PluginError, UsageError
from harness.exporting import export_source, save_files
from harness.plugins import Registry, load_registry
from harness.results import RunDirectory

CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_page_work(root: Path, tmp_path: Path) -> None:
    run_page(root / "docs" / "interchange.md", tmp_path)
    assert (tmp_path / "out" / "hub" / "acme__tiny-70m" / ".eval_results").is_dir()


def test_the_page_names_every_format_and_option(root: Path) -> None:
    text = (root / "docs" / "interchange.md").read_text(encoding="utf-8")
    names = [*harness_interchange.READERS, *harness_interchange.WRITERS]
    assert [name for name in names if f"`{name}`" not in text] == []


def registry(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Registry:
    """The page's example, as the plugins ``names``."""
    (code,) = CODE.findall((root / "docs" / "interchange.md").read_text(encoding="utf-8"))
    monkeypatch.syspath_prepend(str(folder))
    for name in names:
        (folder / f"{name}.py").write_text(code)
    return load_registry([EntryPoint(name=n, value=n, group="harness") for n in names])


def test_the_example_on_the_page_is_a_working_plugin(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry(root, tmp_path, monkeypatch, "page_formats")
    assert found.broken == ()
    (tmp_path / "m-70m.txt").write_text("0.25")
    cells = list(found.importer("mine").spec.read([tmp_path / "m-70m.txt"]))
    save("mine", cells, tmp_path / "run")
    directory = RunDirectory(tmp_path / "run")
    source = export_source(directory.read_run(), directory, (), {})
    exporter = found.exporter("mine")
    (path,) = save_files(exporter, exporter.spec.write(source), tmp_path / "out")
    assert path.read_text() == "m-70m 0.25\n"


def test_a_format_offered_twice_is_nobodys(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry(root, tmp_path, monkeypatch, "page_one", "page_two")
    with pytest.raises(PluginError, match="Two plugins offer the importer 'mine'"):
        found.importer("mine")
    with pytest.raises(PluginError, match="Two plugins offer the exporter 'mine'"):
        found.exporter("mine")
    with pytest.raises(UsageError, match="`harness export --list` lists all of them"):
        found.exporter("yours")


def test_the_lists_name_formats_and_where_they_come_from(program: Program) -> None:
    importers = {e["name"]: e for e in program.json("import", "--list")["importers"]}
    assert set(importers) == set(harness_interchange.READERS)
    assert importers["helm"]["from"].startswith("harness ")
    exporters = {e["name"]: e for e in program.json("export", "--list")["exporters"]}
    assert set(exporters) == set(harness_interchange.WRITERS)
    plugins = {p["name"]: p for p in program.json("plugins")["plugins"]}
    assert set(plugins["interchange"]["importers"]) == set(importers)
    assert set(plugins["interchange"]["exporters"]) == set(exporters)
    assert "datasets  CSV" in program("export", "--list").stdout
