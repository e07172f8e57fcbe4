"""BLEU and TER with sacreBLEU's statistics, per segment.

Reference implementation: sacreBLEU (Post 2018), https://github.com/mjpost/sacrebleu. BLEU uses
its tokenizers, TER its public ``sentence_score``. Corpus values are those of ``corpus_score``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import DataError, UsageError, suggestion
from harness.metrics.scorer import matches, package_version, signature, texts
from harness.types import Metric, Stats

_SENTENCEPIECE = ("flores101", "flores200", "spBLEU-1K", "spm")
_MECAB = {"ja-mecab": "ja", "ko-mecab": "ko"}

TOKENIZERS = ("13a", "char", "intl", "none", "zh", *_MECAB, *_SENTENCEPIECE)
"""sacreBLEU's tokenizers for BLEU. The latter six need more packages, or a model file."""

_SMOOTHING: dict[str, float | None] = {"exp": None, "none": None, "floor": 0.1, "add-k": 1.0}
_ORDERS = range(1, 5)


def _load_tokenizer(name: str) -> Any:
    """sacreBLEU's tokenizer. Raises :class:`UsageError`, :class:`DataError`."""
    if name in _SENTENCEPIECE:
        _require_model_file(name)
    from sacrebleu.metrics import BLEU

    try:
        return BLEU(tokenize=name).tokenizer
    except (ImportError, RuntimeError) as error:
        package = f"sacrebleu[{_MECAB[name]}]" if name in _MECAB else "sentencepiece"
        raise UsageError(
            f"BLEU's tokenizer '{name}' needs a package that is not installed.\n"
            f"Install it with: pip install '{package}'"
        ) from error


def _require_model_file(name: str) -> None:
    """sacreBLEU would download a missing model unasked; an evaluation must not."""
    from sacrebleu.tokenizers import tokenizer_spm
    from sacrebleu.utils import SACREBLEU_DIR

    key = "flores101" if name == "spm" else name
    if key not in tokenizer_spm.SPM_MODELS:
        raise UsageError(
            f"BLEU's tokenizer '{name}' is not in sacreBLEU {package_version('sacrebleu')}.\n"
            "Install a newer one, or choose another tokenizer."
        )
    url = tokenizer_spm.SPM_MODELS[key]["url"]
    path = Path(SACREBLEU_DIR, "models", url.rsplit("/", 1)[-1])
    if not path.is_file():
        raise DataError(
            f"BLEU's tokenizer '{name}' needs its model file, and there is none at {path}.\n"
            f"Download {url} to that place, or choose another tokenizer."
        )


@dataclass(frozen=True, kw_only=True)
class Bleu:
    """Statistics: hypothesis and reference length, then 4 match and 4 total n-gram counts."""

    metric: Metric
    tokenize: str
    lowercase: bool

    @cached_property
    def _tokenizer(self) -> Callable[[str], str]:
        tokenizer: Callable[[str], str] = _load_tokenizer(self.tokenize)
        return tokenizer

    def _tokens(self, text: str) -> list[str]:
        return self._tokenizer((text.lower() if self.lowercase else text).rstrip()).split()

    def stats(self, prediction: str, reference: str | Sequence[str], /) -> Stats:
        """``(hyp_len, ref_len, c1..c4, t1..t4)``; the length of the reference nearest in length."""
        hypothesis = self._tokens(prediction)
        references = [self._tokens(one) for one in texts(reference)]
        size = len(hypothesis)
        nearest = min(map(len, references), key=lambda length: (abs(length - size), length))
        correct = [matches(_bag(hypothesis, n), _union(references, n)) for n in _ORDERS]
        totals = [max(size - n + 1, 0) for n in _ORDERS]
        return tuple(map(float, (size, nearest, *correct, *totals)))


def _bag(tokens: Sequence[str], n: int) -> Counter[Any]:
    return Counter(zip(*[tokens[i:] for i in range(n)], strict=False))


def _union(references: Sequence[Sequence[str]], n: int) -> Counter[Any]:
    """Each n-gram as often as the reference that has most of it."""
    union = _bag(references[0], n)
    for other in references[1:]:
        union |= _bag(other, n)
    return union


def bleu(
    tokenize: str = "13a",
    lowercase: bool = False,
    effective_order: bool = False,
    smooth_method: str = "exp",
    *,
    smooth_value: float | None = None,
    nrefs: int | None = None,
) -> Bleu:
    """Corpus BLEU (Papineni et al. 2002) as sacreBLEU computes it, 0-100.

    ``nrefs`` only enters the signature: how many references every sample has (``None``: var).
    Raises :class:`UsageError` for an unknown tokenizer or smoothing or a tokenizer whose package
    is not installed, :class:`DataError` where its model file is missing.
    """
    if tokenize not in TOKENIZERS:
        raise UsageError(f"Unknown tokenizer '{tokenize}'. {suggestion(tokenize, TOKENIZERS)}")
    if smooth_method not in _SMOOTHING:
        raise UsageError(
            f"Unknown smoothing '{smooth_method}'. {suggestion(smooth_method, _SMOOTHING)}"
        )
    k = _SMOOTHING[smooth_method] if smooth_value is None else smooth_value
    if _SMOOTHING[smooth_method] is None:
        k = None
    effective = "yes" if effective_order else "no"
    metric = Metric(
        name="bleu",
        formula=f"bleu:{smooth_method}:{'' if k is None else k}:{effective}",
        bounds=(0.0, 100.0),
        signature=signature(
            nrefs=nrefs or "var",
            case="lc" if lowercase else "mixed",
            eff=effective,
            tok=_tokenizer_signature(tokenize),
            smooth=smooth_method if k is None else f"{smooth_method}[{k:.2f}]",
            version=package_version("sacrebleu"),
        ),
    )
    return Bleu(metric=metric, tokenize=tokenize, lowercase=lowercase)


def _tokenizer_signature(name: str) -> str:
    """What sacreBLEU writes: the name, except where a dictionary's or model's version counts."""
    special = name in _MECAB or name in _SENTENCEPIECE
    return str(_load_tokenizer(name).signature()) if special else name


@dataclass(frozen=True, kw_only=True)
class Ter:
    """Statistics: edits to the nearest reference, and the references' mean length."""

    metric: Metric
    normalized: bool
    no_punct: bool
    asian_support: bool
    case_sensitive: bool

    @cached_property
    def _reference_implementation(self) -> Any:
        from sacrebleu.metrics import TER

        return TER(
            normalized=self.normalized,
            no_punct=self.no_punct,
            asian_support=self.asian_support,
            case_sensitive=self.case_sensitive,
        )

    def stats(self, prediction: str, reference: str | Sequence[str], /) -> Stats:
        """``(edits, reference length)``, in words."""
        ter = self._reference_implementation.sentence_score(prediction, texts(reference))
        return float(ter.num_edits), float(ter.ref_length)


def ter(
    *,
    normalized: bool = False,
    no_punct: bool = False,
    asian_support: bool = False,
    case_sensitive: bool = False,
    nrefs: int | None = None,
) -> Ter:
    """Translation edit rate (Snover et al. 2006) as sacreBLEU; lower is better, may pass 100.

    ``nrefs`` only enters the signature: how many references every sample has (``None``: var).
    """
    metric = Metric(
        name="ter",
        formula="ter",
        higher_is_better=False,
        bounds=(0.0, None),
        signature=signature(
            nrefs=nrefs or "var",
            case="mixed" if case_sensitive else "lc",
            tok="tercom",
            norm=normalized,
            punct=not no_punct,
            asian=asian_support,
            version=package_version("sacrebleu"),
        ),
    )
    return Ter(
        metric=metric,
        normalized=normalized,
        no_punct=no_punct,
        asian_support=asian_support,
        case_sensitive=case_sensitive,
    )
