"""Names of languages by code, and what a file's name says about its language."""

from __future__ import annotations

from pathlib import Path

LANGUAGES = {
    "Arabic": ("ar", "ara"),
    "Bengali": ("bn", "ben"),
    "Chinese": ("zh", "zho", "cmn", "zho-CN", "zh-CN"),
    "Czech": ("cs", "ces", "cze"),
    "Dutch": ("nl", "nld"),
    "English": ("en", "eng"),
    "Finnish": ("fi", "fin"),
    "French": ("fr", "fra", "fre"),
    "German": ("de", "deu", "ger"),
    "Hindi": ("hi", "hin"),
    "Italian": ("it", "ita"),
    "Japanese": ("ja", "jpn"),
    "Korean": ("ko", "kor"),
    "Nepali": ("ne", "npi", "nep"),
    "Polish": ("pl", "pol"),
    "Portuguese": ("pt", "por"),
    "Romanian": ("ro", "ron", "rum"),
    "Russian": ("ru", "rus"),
    "Spanish": ("es", "spa"),
    "Turkish": ("tr", "tur"),
    "Ukrainian": ("uk", "ukr"),
    "Vietnamese": ("vi", "vie"),
}
"""English name: ISO 639 codes in use for it."""

NAMES = {code.lower(): name for name, codes in LANGUAGES.items() for code in codes}
UNTOLD = {".gz", ".txt"}


def language_name(text: str) -> str:
    """``de``, ``deu`` or ``deu_Latn`` becomes ``German``; what is no known code is a name."""
    return NAMES.get(text.lower(), NAMES.get(text.lower().split("_")[0], text))


def language_of_file(path: str) -> str:
    """The language named by the file's suffix (``val.de.gz``: German), else an empty string."""
    suffixes = [suffix for suffix in Path(path).suffixes if suffix.lower() not in UNTOLD]
    return NAMES.get(suffixes[-1][1:].lower(), "") if suffixes else ""
