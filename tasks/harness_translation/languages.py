"""Names of languages by code, and what a file's name says about its language."""

from __future__ import annotations

import re
from pathlib import Path

LANGUAGES = {
    "Amharic": ("am", "amh"),
    "Arabic": ("ar", "ara"),
    "Armenian": ("hy", "hye", "arm"),
    "Azerbaijani": ("az", "aze", "azj"),
    "Basque": ("eu", "eus", "baq"),
    "Belarusian": ("be", "bel"),
    "Bengali": ("bn", "ben"),
    "Bulgarian": ("bg", "bul"),
    "Burmese": ("my", "mya", "bur"),
    "Catalan": ("ca", "cat"),
    "Chinese": ("zh", "zho", "cmn"),
    "Croatian": ("hr", "hrv"),
    "Czech": ("cs", "ces", "cze"),
    "Danish": ("da", "dan"),
    "Dutch": ("nl", "nld"),
    "English": ("en", "eng"),
    "Estonian": ("et", "est"),
    "Finnish": ("fi", "fin"),
    "French": ("fr", "fra", "fre"),
    "Galician": ("gl", "glg"),
    "Georgian": ("ka", "kat", "geo"),
    "German": ("de", "deu", "ger"),
    "Greek": ("el", "ell", "gre"),
    "Gujarati": ("gu", "guj"),
    "Hausa": ("ha", "hau"),
    "Hebrew": ("he", "heb", "iw"),
    "Hindi": ("hi", "hin"),
    "Hungarian": ("hu", "hun"),
    "Icelandic": ("is", "isl", "ice"),
    "Indonesian": ("id", "ind"),
    "Irish": ("ga", "gle"),
    "Italian": ("it", "ita"),
    "Japanese": ("ja", "jpn"),
    "Kannada": ("kn", "kan"),
    "Kazakh": ("kk", "kaz"),
    "Khmer": ("km", "khm"),
    "Korean": ("ko", "kor"),
    "Lao": ("lo", "lao"),
    "Latvian": ("lv", "lav", "lvs"),
    "Lithuanian": ("lt", "lit"),
    "Macedonian": ("mk", "mkd", "mac"),
    "Malay": ("ms", "msa", "zsm", "may"),
    "Malayalam": ("ml", "mal"),
    "Marathi": ("mr", "mar"),
    "Mongolian": ("mn", "mon", "khk"),
    "Nepali": ("ne", "npi", "nep"),
    "Norwegian": ("no", "nor", "nb", "nob"),
    "Pashto": ("ps", "pus", "pbt"),
    "Persian": ("fa", "fas", "pes", "per"),
    "Polish": ("pl", "pol"),
    "Portuguese": ("pt", "por"),
    "Punjabi": ("pa", "pan"),
    "Romanian": ("ro", "ron", "rum"),
    "Russian": ("ru", "rus"),
    "Serbian": ("sr", "srp"),
    "Sinhala": ("si", "sin"),
    "Slovak": ("sk", "slk", "slo"),
    "Slovenian": ("sl", "slv"),
    "Somali": ("so", "som"),
    "Spanish": ("es", "spa"),
    "Swahili": ("sw", "swa", "swh"),
    "Swedish": ("sv", "swe"),
    "Tagalog": ("tl", "tgl", "fil"),
    "Tamil": ("ta", "tam"),
    "Telugu": ("te", "tel"),
    "Thai": ("th", "tha"),
    "Turkish": ("tr", "tur"),
    "Ukrainian": ("uk", "ukr"),
    "Urdu": ("ur", "urd"),
    "Uzbek": ("uz", "uzb", "uzn"),
    "Vietnamese": ("vi", "vie"),
    "Welsh": ("cy", "cym", "wel"),
    "Xhosa": ("xh", "xho"),
    "Yoruba": ("yo", "yor"),
    "Zulu": ("zu", "zul"),
}
"""English name: ISO 639 codes in use for it."""

NAMES = {code.lower(): name for name, codes in LANGUAGES.items() for code in codes}
UNTOLD = {".gz", ".txt"}


def language_name(text: str) -> str:
    """``de``, ``deu``, ``deu_Latn`` or ``de-AT`` becomes ``German``; no known code is a name."""
    return _known(text) or text


def language_of_file(path: str) -> str:
    """The language named by the file's suffix (``val.de.gz``: German), else an empty string."""
    suffixes = [suffix for suffix in Path(path).suffixes if suffix.lower() not in UNTOLD]
    return _known(suffixes[-1][1:]) if suffixes else ""


def _known(code: str) -> str:
    """The language of a code, whatever script or region follows it; empty for no known code."""
    return NAMES.get(re.split("[-_]", code.lower())[0], "")
