"""Steps that look at one document at a time: normalisation, filters, removal of signs and words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from harness_train.pretrain.documents import Document

_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")
_REPEATED = re.compile(r"([^\w\s])\1{3,}")
_WORD = re.compile(r"[^\W\d_]+")
DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "So"})
"""Unicode categories of signs that ``symbols`` removes: control, format, unassigned and private
code points, and pictures (emoji, box drawing). Punctuation, currency and mathematics stay."""

STOP_WORDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        language: frozenset(words.split())
        for language, words in {
            "en": (
                "a an and are as at be been but by for from had has have he her his i in is "
                "it its not of on or she that the their they this to was we were which will "
                "with you"
            ),
            "de": (
                "aber als am an auch auf aus bei bin das dass dem den der des die du ein eine "
                "einem einen einer er es für hat ich im in ist mit nicht sich sie sind und "
                "von war wie wir zu"
            ),
            "fr": (
                "au aux avec ce ces dans de des du elle en est et eux il ils je la le les "
                "leur lui mais me ne nous on ou par pas pour qu que qui sa se ses son sur un "
                "une vous à été"
            ),
            "es": (
                "al como con de del el ella en entre era es esta este ha la las lo los más no "
                "nos o para pero por que se sin sobre son su sus un una y ya yo"
            ),
            "it": (
                "al alla anche che come con da dal dei del della di e era gli ha i il in io "
                "la le lo ma mi nel non o per più quando si sono su tra un una è"
            ),
            "pt": (
                "ao aos as com como da das de do dos e ela em entre era essa este eu foi mais "
                "mas na nas no nos não o os ou para pela por que se sem seu sua um uma é"
            ),
            "nl": (
                "aan als bij dat de den der die dit een en er had heb het hij ik in is je "
                "maar met naar niet of om ook op te tot uit van voor was wat ze zijn"
            ),
        }.items()
    }
)
"""The commonest function words by language (ISO 639-1)."""

SCRIPTS: Mapping[str, str] = MappingProxyType(
    {
        "zh": "CJK",
        "ja": "HIRAGANA",
        "ko": "HANGUL",
        "ru": "CYRILLIC",
        "ar": "ARABIC",
        "el": "GREEK",
        "he": "HEBREW",
        "hi": "DEVANAGARI",
        "th": "THAI",
    }
)
"""Languages told by their script alone, and the first word of their letters' Unicode names."""

LANGUAGES = (*STOP_WORDS, *SCRIPTS)


def normalised(document: Document) -> Document:
    """Unicode NFC, lines ended by a line feed, one blank for a run of blanks."""
    return replace(document, text=_normal(document.text), prompt=_normal(document.prompt))


def _normal(text: str) -> str:
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    return _LINES.sub("\n", _BLANKS.sub(" ", text)).strip()


def without_symbols(document: Document) -> Document:
    """Without pictures and invisible signs; a sign repeated four times or more is kept once."""
    return replace(document, text=_plain(document.text), prompt=_plain(document.prompt))


def _plain(text: str) -> str:
    kept = "".join(
        c for c in text if c in "\n\t" or unicodedata.category(c) not in DROPPED_CATEGORIES
    )
    return _normal(_REPEATED.sub(r"\1", kept))


def stop_word_remover(language: str) -> Callable[[Document], Document]:
    """Removes the function words of ``language``, whatever their case."""
    without = without_stop_words(language)
    return lambda document: replace(document, text=_normal(without(document.text)))


def without_stop_words(language: str) -> Callable[[str], str]:
    """A text's words but the function words of ``language``, whatever their case."""
    words = STOP_WORDS[language]
    return lambda text: _WORD.sub(lambda m: "" if m[0].lower() in words else m[0], text)


def of_length(least: int, most: int) -> Callable[[Document], bool]:
    """Whether a text has ``least`` to ``most`` characters."""
    return lambda document: least <= len(document.text) <= most


def in_language(language: str) -> Callable[[Document], bool]:
    """Whether nothing speaks against ``language``; see :func:`likely_language`."""

    def keep(document: Document) -> bool:
        return likely_language(document.text) in (language, None)

    return keep


def likely_language(text: str) -> str | None:
    """The language that a text is probably written in; ``None`` where it cannot be told.

    A simple rule, meant to drop documents that are plainly in another language: the script of
    most letters decides where one language is written in it (kana anywhere: Japanese); among
    languages in Latin letters the one with most function words, if they make up a tenth of the
    words and another language has fewer. Short texts and languages not listed give ``None``.
    """
    letters = [c for c in text[:4000] if c.isalpha()]
    if not letters:
        return None
    counts: dict[str, int] = {}
    for letter in letters:
        script = unicodedata.name(letter, "?").split(" ")[0]
        counts[script] = counts.get(script, 0) + 1
    if counts.get("HIRAGANA", 0) + counts.get("KATAKANA", 0) > len(letters) * 0.05:
        return "ja"
    for language, script in SCRIPTS.items():
        if counts.get(script, 0) > len(letters) / 2:
            return language
    return _by_function_words(text[:4000]) if counts.get("LATIN", 0) > len(letters) / 2 else None


def _by_function_words(text: str) -> str | None:
    words = [word.lower() for word in _WORD.findall(text)]
    hits = {
        language: sum(word in known for word in words) for language, known in STOP_WORDS.items()
    }
    first, second = sorted(hits, key=lambda language: -hits[language])[:2]
    if len(words) < 8 or hits[first] < len(words) / 10 or hits[first] == hits[second]:
        return None
    return first
