"""Sentences with their translations into the second language.

The second language puts the adjective after its noun, declines article, adjective and possessive
by gender (three) and number, marks the dative after some verbs, encloses the verb in a two-part
negation, and forms its three tenses by endings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness_world.draws import Draws
from harness_world.lexicon import Adjective, Noun, Verb, World

_ENDING = ("o", "a", "e")  # by gender
_STEMS = {"the": "k", "a": "un", "my": "mi", "your": "tu", "this": "gol"}
_NUMBERS = {"two": "dun", "three": "tre", "four": "kat", "many": "mult"}
_TENSES = {"present": ("t", "nt"), "past": ("vat", "vant"), "future": ("rot", "ront")}
_PLACES = {"in": "en", "near": "pres", "behind": "dor", "under": "sub"}
_ADVERBS = {"today": "hodu", "often": "soven", "here": "aki", "again": "denov"}
_LINKS = {"and": "eda", "but": "mas", "because": "kar", "when": "kwan"}


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """A noun phrase in both languages; ``dative`` is the translation after a dative verb."""

    source: str
    target: str
    dative: str
    plural: bool


def _noun_phrase(draws: Draws, noun: Noun, adjectives: Sequence[Adjective]) -> Phrase:
    plural = draws.chance(0.3)
    word = noun.word + "s" if plural else noun.word
    ending = _ENDING[noun.gender] + ("n" if plural else "")
    after = [noun.target + ("i" if plural else "")] + [a.target + ending for a in adjectives]
    before = [a.word for a in adjectives] + [word]
    if plural and draws.chance(0.35):
        number = draws.choice(tuple(_NUMBERS))
        first, article, dative = number, _NUMBERS[number], _NUMBERS[number] + "m"
    else:
        first = "the" if draws.chance(0.7) else draws.choice(tuple(_STEMS))
        if plural and first in ("a", "this"):
            first = "the"
        article = _STEMS[first] + ending
        dative = article + "m"
    return Phrase(
        source=" ".join([first, *before]),
        target=" ".join([article, *after]),
        dative=" ".join([dative, *after]),
        plural=plural,
    )


def _name_phrase(name: str) -> Phrase:
    return Phrase(source=name, target=name, dative=f"al {name}", plural=False)


class Sentences:
    """Draws sentence pairs from a world."""

    def __init__(self, world: World, draws: Draws) -> None:
        """Draw words of ``world`` by ``draws``."""
        self.world = world
        self.draws = draws

    def _noun(self, category: str) -> Noun:
        if self.draws.chance(0.15):
            return self.world.by_category[category].draw(self.draws)
        return self.world.nouns.draw(self.draws)

    def _phrase(self, category: str, adjectives: float) -> Phrase:
        draws = self.draws
        if draws.chance(0.08):
            return _name_phrase(self.world.first_names.draw(draws))
        chosen = []
        if draws.chance(adjectives):
            chosen.append(self.world.adjectives.draw(draws))
            if draws.chance(adjectives / 3):
                chosen.append(self.world.adjectives.draw(draws))
        return _noun_phrase(draws, self._noun(category), chosen)

    def _verb(self, verb: Verb, plural: bool) -> tuple[str, str]:
        draws = self.draws
        tense = draws.choice(("present", "present", "past", "future"))
        target = verb.target + _TENSES[tense][plural]
        if draws.chance(0.2):
            helper = {"present": "do" if plural else "does", "past": "did", "future": "will"}
            return f"{helper[tense]} not {verb.word}", f"ne {target} pu"
        ending = {"present": "" if plural else "s", "past": "ed", "future": ""}[tense]
        return ("will " if tense == "future" else "") + verb.word + ending, target

    def _clause(self, level: int) -> tuple[str, str]:
        """A clause of a level: 0 subject and verb, 1 with object, 2 with a place or adverb too."""
        draws = self.draws
        verb = self.world.verbs.draw(draws)
        adjectives = (0.1, 0.4, 0.6)[level]
        subject = self._phrase(verb.subjects, adjectives)
        source_verb, target_verb = self._verb(verb, subject.plural)
        source, target = [subject.source, source_verb], [subject.target, target_verb]
        if level > 0:
            thing = self._phrase(verb.objects, adjectives)
            source.append(thing.source)
            target.append(thing.dative if verb.dative else thing.target)
        if level > 1 and draws.chance(0.6):
            place = draws.choice(tuple(_PLACES))
            named = draws.chance(0.4)
            where = (
                _name_phrase(self.world.cities.draw(draws).name)
                if named
                else self._phrase(draws.choice(("tool", "plant", "vehicle", "stone")), 0.3)
            )
            source += [place, where.source]
            target += [_PLACES[place], where.target]
        if draws.chance(0.15 * level + 0.05):  # the adverb comes first in the second language
            adverb = draws.choice(tuple(_ADVERBS))
            source.append(adverb)
            target.insert(0, _ADVERBS[adverb])
        return " ".join(source), " ".join(target)

    def pair(self) -> tuple[str, str, int]:
        """A sentence, its translation, and its level from 0 (easy) to 3 (two clauses)."""
        draws = self.draws
        level = draws.choice((0, 0, 0, 0, 0, 1, 1, 1, 2, 3))
        source, target = self._clause(level if level < 3 else 0)
        if level == 3:
            link = draws.choice(tuple(_LINKS))
            source_2, target_2 = self._clause(draws.below(2))
            source, target = f"{source} {link} {source_2}", f"{target} {_LINKS[link]} {target_2}"
        return f"{source[0].upper()}{source[1:]}.", f"{target[0].upper()}{target[1:]}.", level
