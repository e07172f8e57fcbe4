"""Data to text: E2E restaurants (CSV) and WebNLG triples (XML), each with several references.

The data stand on one line, the text is asked for on the next: the linear form in which fine-tuned
models are given them (Li and Liang 2021, arXiv:2101.00190), with labels in words.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness import metrics
from harness.errors import DataError
from harness_files import DataSet, Item, read_table, read_text
from harness_files.columnar import is_columnar, read_columnar

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


log = logging.getLogger(__name__)


def _item(identity: str, data: str, references: Sequence[str]) -> Item:
    return Item(
        id=identity,
        question=f"Data: {data}\nText:",
        answer=f" {references[0]}",
        reference=list(references),
    )


def _e2e(path: str) -> Iterator[Item]:
    """One item per meaning representation; its rows are its references."""
    references: dict[str, list[str]] = {}
    rows = read_columnar(path) if is_columnar(path) else read_table(path, columns=("mr", "ref"))
    for row in rows:
        meaning = row.filled("mr", "meaning_representation").strip()
        references.setdefault(meaning, []).append(row.filled("ref", "human_reference").strip())
    for number, (meaning, texts) in enumerate(references.items(), start=1):
        yield _item(str(number), meaning, texts)


def _webnlg(path: str) -> Iterator[Item]:
    """One item per entry; its lexicalisations are its references, its triples the data.

    The corpus holds entries whose texts are all blank: they are left out and reported. Where its
    test parts call a modified triple ``otriple``, it is one all the same.
    """
    if is_columnar(path):
        yield from _webnlg_rows(path)
        return
    blank: list[str] = []
    asked = False
    for number, entry in enumerate(_parsed(path).iter("entry"), start=1):
        triples = [_text(node) for node in entry.iterfind("modifiedtripleset/*")]
        texts = [text for node in entry.iterfind("lex") if (text := _lexicalisation(node))]
        if not triples:
            raise DataError(
                f"'{path}', entry {number} has no <modifiedtripleset/mtriple>.\n"
                "Name a WebNLG file with references."
            )
        identity = "-".join(entry.get(key, "?") for key in ("category", "size", "eid"))
        if texts:
            asked = True
            yield _item(identity, "; ".join(triples), texts)
        else:
            blank.append(f"entry {number} ({identity})")
    if blank and not asked:
        raise DataError(f"'{path}', {blank[0]} has no <lex>.\nName a WebNLG file with references.")
    if blank:
        log.warning("%s: %d entries have no text (first: %s), left out", path, len(blank), blank[0])


def _webnlg_rows(path: str) -> Iterator[Item]:
    """The hub's rows: lists of lists of triples, of which the first counts, and texts."""
    for row in read_columnar(path):
        sets = row.row("modified_triple_sets").items("mtriple_set")
        first = sets[0] if sets and isinstance(sets[0], list) else []
        triples = [" ".join(one.split()) for one in first if isinstance(one, str)]
        texts = [text.strip() for text in row.row("lex").texts("text") if text.strip()]
        if not triples or not texts:
            missing = "lex" if triples else "modified_triple_sets"
            raise DataError(f"{row.place}: '{missing}' is empty.\nName a part with references.")
        identity = "-".join(str(row.value(key)) for key in ("category", "size", "eid"))
        yield _item(identity, "; ".join(triples), texts)


def _parsed(path: str) -> Element:
    from xml.etree import ElementTree

    text = read_text(path)
    if "<!ENTITY" in text:
        raise DataError(f"'{path}' declares entities, which no WebNLG file does.\nRemove them.")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"'{path}' is not XML: {error}.\nName a WebNLG file.") from None


def _text(node: Element) -> str:
    return " ".join((node.text or "").split())


def _lexicalisation(node: Element) -> str:
    """Release 2 of the corpus puts the text into <text>, others straight into <lex>."""
    inner = node.find("text")
    return _text(node if inner is None else inner)


E2E = DataSet(
    name="e2e",
    category="generation",
    description="E2E restaurants, CSV of mr and ref, all references (BLEU, ROUGE-L, chrF)",
    read=_e2e,
    scorers=lambda: (metrics.bleu(), metrics.rouge("rougeL"), metrics.chrf()),
    max_tokens=128,
)

WEBNLG = DataSet(
    name="webnlg",
    category="generation",
    description="WebNLG triples, XML, all references (BLEU, chrF++)",
    read=_webnlg,
    scorers=lambda: (metrics.bleu(), metrics.chrf(word_order=2)),
    max_tokens=128,
)
