"""The report in a real browser: hostile texts, keyboard, colours, fifty thousand samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, find_browser
from gate_toys import ACC, BPB, ToyCell, column
from interchange import save

from harness.cli import invoke
from harness.results import Manifest, PlannedCell, RunDirectory
from harness.sizes import read_sizing
from harness.types import Generate, ImportedCell, ImportedScore, Metric, Response, SampleRecord

SIZES = (1_000, 4_000, 16_000, 64_000, 256_000)
MANY = 10_000
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"
TEXTS = [
    HOSTILE,
    "\u202egnp.exe \u2066x\u2069 \x00\x07\x1b[31m",
    "<!--<script>" + "y" * 300_000,
    "das Haus ist blau",
    "",
]


def text(i: int) -> str:
    return TEXTS[i] if i < len(TEXTS) else f"answer {i} of many, the needle is {i * 7919 % 9973}"


@dataclass(frozen=True)
class Toy:
    size: int

    @property
    def cell(self) -> ToyCell:
        hard = np.random.default_rng(1).permutation(MANY) / MANY
        right = hard < 1 - 0.9 * (self.size / 1000) ** -0.3
        bits = np.full(MANY, 8 * (0.5 + (self.size / 1000) ** -0.4))
        return ToyCell(
            stats={ACC: column(right * 100.0), BPB: np.stack([bits, np.full(MANY, 8.0)], axis=1)},
            model=f"toy-{self.size}{HOSTILE if self.size == SIZES[0] else ''}",
            family="toys<b>",
            size=self.size,
            task="task</script>",
        )

    def samples(self) -> Iterator[SampleRecord]:
        cell = self.cell
        for i, name in enumerate(cell.names):
            yield SampleRecord(
                id=name,
                requests=(Generate(prompt=f"Say {text(i)}"),),
                responses=(Response(text=text(i)),),
                reference="das Haus ist rot" if i == 3 else text(i),
                stats={metric.name: tuple(rows[i]) for metric, rows in cell.stats.items()},
            )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with 50,000 samples."""
    folder = tmp_path_factory.mktemp("report") / "run"
    directory = RunDirectory(folder, sync=False)
    directory.prepare()
    toys = [Toy(size) for size in SIZES]
    for toy in toys:
        directory.write_cell(toy.cell.record, toy.samples())
    directory.write_manifest(
        Manifest(
            command=("harness", "run", HOSTILE),
            settings={"limit": None},
            cells=tuple(PlannedCell(model=t.cell.model, task=t.cell.task) for t in toys),
            versions={},
            platform={},
            git_commit=None,
            started="2026-01-01T00:00:00+00:00",
            status="complete",
            errors=(HOSTILE,),
        )
    )
    output = folder.parent / "page.html"
    assert invoke(["report", str(folder), "-o", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def opened(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("skipped: no Chromium is installed")
    with Browser(program, tmp_path_factory.mktemp("profile"), seconds=240) as browser:
        browser.send("Performance.setTimeDomain", timeDomain="threadTicks")
        browser.send("Performance.enable")
        browser.look(width=1300, height=900)
        browser.open(page)
        yield browser


def spent(browser: Browser) -> float:
    """CPU seconds of the page's main thread, so that a busy machine does not count."""
    metrics: list[dict[str, Any]] = browser.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))


def to_samples(browser: Browser) -> None:
    browser.evaluate("document.getElementById('samples').scrollIntoView()")
    browser.wait("document.querySelectorAll('.item').length > 0")


def test_it_opens_within_a_second_and_asks_nothing_of_the_network(
    opened: Browser, page: Path
) -> None:
    times = []
    # A machine that does other work stretches even CPU time; the best of three is the page's own.
    while len(times) < 3 and min(times, default=9.0) >= 1.0:
        before = spent(opened)
        opened.open(page)
        times.append(spent(opened) - before)
    assert min(times) < 1.0, times
    assert opened.complaints() == []


def test_no_hostile_text_becomes_markup_or_turns_the_line(opened: Browser) -> None:
    to_samples(opened)
    assert opened.evaluate("window.hacked") is None
    assert opened.evaluate("document.querySelectorAll('img, iframe, b').length") == 0
    opened.evaluate("document.getElementById('row-1').click()")
    shown = opened.evaluate("document.getElementById('sample-detail').textContent")
    assert "\\u202egnp.exe" in shown and "\u202e" not in shown and "\\u0000" in shown
    assert "<script>" in opened.evaluate("document.getElementById('errors').textContent")
    opened.evaluate("document.getElementById('row-2').click()")
    assert "more characters" in opened.evaluate(
        "document.getElementById('sample-detail').textContent"
    )
    assert opened.complaints() == []


def test_curves_have_points_law_band_and_the_held_out_size(opened: Browser) -> None:
    opened.evaluate("document.getElementById('curves').scrollIntoView()")
    opened.wait("document.querySelectorAll('svg').length > 0")
    count = "document.querySelectorAll('svg {}').length"
    assert opened.evaluate(count.format(".point")) == len(SIZES) + 1
    assert opened.evaluate(count.format(".law")) == opened.evaluate(count.format(".band")) == 2
    assert "exponent" in opened.evaluate("document.querySelector('.fits').textContent")
    opened.evaluate("document.querySelector('.point').focus()")
    assert "n = 10,000" in opened.evaluate("document.getElementById('tip').textContent")
    assert opened.evaluate("document.getElementById('tip').hidden") is False
    opened.key("Escape")
    assert opened.evaluate("document.getElementById('tip').hidden") is True


def test_tables_sort_by_the_keyboard(opened: Browser) -> None:
    first = "document.querySelector('#score-table tbody td:nth-child(3)').textContent"
    assert opened.evaluate(first) == "1,000"
    opened.evaluate("document.querySelectorAll('#score-table th button')[2].focus()")
    opened.key("Enter")
    assert opened.evaluate(first) == "256,000"
    heading = "document.querySelectorAll('#score-table th')[2].getAttribute('aria-sort')"
    assert opened.evaluate(heading) == "descending"


def test_ten_thousand_samples_scroll_search_and_differ(opened: Browser) -> None:
    to_samples(opened)
    status = "document.getElementById('sample-status').textContent"
    opened.wait(f"{status}.startsWith('10,000 of 10,000')")
    assert opened.evaluate("document.querySelectorAll('.item').length") < 60
    opened.evaluate("document.getElementById('sample-list').focus()")
    opened.key("End")
    last = "document.querySelector('.item[aria-selected=true]').textContent"
    assert opened.evaluate(last).startswith("s9999")
    opened.key("Home")
    for _ in range(3):
        opened.key("ArrowDown")
    parts = "[...document.querySelectorAll('.diff {}')].map((e) => e.textContent).join()"
    assert opened.evaluate(parts.format("del")) == "rot"
    assert opened.evaluate(parts.format("ins")) == "blau"
    opened.evaluate(
        "(() => { const box = document.getElementById('sample-search'); box.value = 'HAUS IST';"
        " box.dispatchEvent(new Event('input')); })()"
    )
    opened.wait(f"{status}.startsWith('1 of 10,000')")


def contrast(browser: Browser) -> float:
    """Of text on paper (WCAG 2.1)."""
    values = browser.evaluate(
        "(() => { const s = getComputedStyle(document.body);"
        " return [s.color, s.backgroundColor].map((c) => c.match(/\\d+/g).map(Number)); })()"
    )
    levels = []
    for channels in values:
        parts = [c / 255 for c in channels[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        levels.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    low, high = sorted(levels)
    return (high + 0.05) / (low + 0.05)


def test_dark_light_and_narrow_can_be_read(opened: Browser, tmp_path: Path) -> None:
    pictures = []
    for dark in (False, True):
        opened.look(width=420, height=900, dark=dark)
        opened.evaluate("document.getElementById('curves').scrollIntoView()")
        assert contrast(opened) > 7
        wide = "document.documentElement.scrollWidth <= window.innerWidth"
        assert opened.evaluate(wide), "the page scrolls sideways"
        pictures.append(opened.picture(tmp_path / f"{dark}.png"))
    assert pictures[0] != pictures[1]


def test_a_page_without_samples_shows_no_empty_browser_and_chance_beside_the_points(
    opened: Browser, tmp_path: Path
) -> None:
    """Last in the file: it leaves the page that the others look at."""
    metric = Metric(name="acc", bounds=(0.0, 1.0), chance=0.25)
    cells = [
        ImportedCell(
            model=f"m-{size}m",
            task="t",
            scores=(ImportedScore(metric=metric, value=0.25, stderr=0.05),),
            files=("x",),
        )
        for size in (1, 4, 16, 64)
    ]
    save("x", cells, tmp_path / "run", read_sizing(None, "m-([0-9]+m)", None))
    assert invoke(["report", str(tmp_path / "run"), "-o", str(tmp_path / "page.html")]) == 0
    opened.look(width=1300, height=900)
    opened.open(tmp_path / "page.html")
    assert opened.evaluate("document.querySelector('.browser').getClientRects().length") == 0
    opened.wait("!!document.querySelector('svg .over')")
    # The label of the chance level stands clear of every interval.
    clear = """(() => {
      const label = document.querySelector('svg .over').getBoundingClientRect();
      return [...document.querySelectorAll('svg .whisker')].every((line) => {
        const box = line.getBoundingClientRect();
        return box.right < label.left || box.left > label.right;
      });
    })()"""
    assert opened.evaluate(clear)
    n = "document.querySelector('#score-table td:nth-child(7)').textContent"
    assert opened.evaluate(n) == "–"
