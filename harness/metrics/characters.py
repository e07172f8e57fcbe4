"""chrF and chrF++ with sacreBLEU's statistics, per segment.

Reference implementation: sacreBLEU (Post 2018), https://github.com/mjpost/sacrebleu, whose chrF
publishes no statistics; they are counted here, and equal its ``corpus_score`` in sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.metrics.scorer import matches, package_version, signature, texts
from harness.types import Metric, Stats

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
        references = texts(reference)
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
            counts += [ours.total() if theirs else 0, theirs.total(), matches(ours, theirs)]
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
    if char_order < 1 or word_order < 0 or not beta > 0:
        raise UsageError(
            f"chrF takes a char_order from 1, a word_order from 0 and a beta above 0, not "
            f"{char_order}, {word_order} and {beta:g}."
        )
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
