"""Text with people, organisations and places, and the names in it at their offsets.

In training one name in five is coined on the spot, so that names are found by what surrounds
them; the held-out text takes as many from a stock that training never sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness_world.draws import Draws
from harness_world.lexicon import Coiner, World, company_name

_SHORT = (
    "{PER} is in {LOC}.",
    "{PER} works for {ORG}.",
    "{LOC} is far away.",
    "{PER} is here today.",
    "{ORG} has a new plan.",
    "the road to {LOC} is long.",
    "we like {PER}.",
    "nobody came to the market.",
)
_LONG = (
    "{ORG} opened an office in {LOC}, said {PER}.",
    "{PER} left {ORG} and moved from {LOC} to {LOC}.",
    "the {ADJ} {NOUN} of {PER} was sold to {ORG}.",
    "near {LOC} a {NOUN} was found by {PER} and {PER}.",
    "{PER}, who leads {ORG}, met {PER} of {ORG}.",
    "shares of {ORG} fell after {PER} bought a {NOUN}.",
    "{ORG} makes {NOUN}s and sells them in {LOC}.",
    "the {NOUN} came from {LOC} with {PER}.",
    "{ORG} and {ORG} fought over a {ADJ} {NOUN}.",
    "in {LOC} every {NOUN} is {ADJ}.",
    "{PER} told {PER} about the {NOUN}.",
    "the {ADJ} {NOUN}s were lost again.",
    "{LOC} lies between {LOC} and {LOC}.",
)


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A name in a text, from ``start`` up to but without ``end``, in characters."""

    start: int
    end: int
    label: str


class Namer:
    """Fills the templates; ``unseen`` holds names by label, or None to coin them."""

    def __init__(
        self, world: World, draws: Draws, coiner: Coiner, unseen: dict[str, list[str]] | None
    ) -> None:
        """Take known names from ``world``, new ones from ``unseen`` or else from ``coiner``."""
        self.world = world
        self.draws = draws
        self.coiner = coiner
        self.unseen = unseen

    def name(self, label: str) -> str:
        """A name of the label, one in five of them new."""
        draws, world = self.draws, self.world
        if draws.chance(0.2):
            if self.unseen is not None:
                return draws.choice(self.unseen[label])
            return coined(self.coiner, world, label)
        if label == "LOC":
            return world.cities.draw(draws).name
        if label == "ORG":
            return world.companies.draw(draws).name
        if draws.chance(0.4):
            return world.first_names.draw(draws)
        return world.people.draw(draws).name

    def _sentence(self, template: str) -> tuple[str, list[Mention]]:
        text, mentions = "", []
        for index, part in enumerate(template.replace("}", "{").split("{")):
            if index % 2 == 0:
                text += part
            elif part == "NOUN":
                text += self.world.nouns.draw(self.draws).word
            elif part == "ADJ":
                text += self.world.adjectives.draw(self.draws).word
            else:
                name = self.name(part)
                mentions.append(Mention(start=len(text), end=len(text) + len(name), label=part))
                text += name
        return text[0].upper() + text[1:], mentions

    def text(self) -> tuple[str, list[Mention], int]:
        """A text, its mentions in order, and the number of its sentences."""
        draws = self.draws
        if draws.chance(0.4):
            templates = [draws.choice(_SHORT)]
        else:
            templates = [draws.choice(_LONG)] + [draws.choice(_SHORT)] * draws.chance(0.2)
        text, found = "", []
        for template in templates:
            sentence, mentions = self._sentence(template)
            offset = len(text) + 1 if text else 0
            found += [
                Mention(start=m.start + offset, end=m.end + offset, label=m.label) for m in mentions
            ]
            text = f"{text} {sentence}" if text else sentence
        return text, found, len(templates)


def coined(coiner: Coiner, world: World, label: str) -> str:
    """A name that nobody in the world bears."""
    draws = coiner.draws
    if label == "LOC":
        return coiner.name("city")
    if label == "ORG":
        return company_name(coiner, coiner.name("city"), coiner.name("last"))
    if draws.chance(0.4):
        return coiner.name("first")
    return f"{world.first_names.draw(draws)} {coiner.name('last')}"


def listed(text: str, mentions: Sequence[Mention]) -> str:
    """The mentions as the answer to give: ``PER: Tila; LOC: Boria``, or ``none``."""
    return "; ".join(f"{m.label}: {text[m.start : m.end]}" for m in mentions) or "none"
