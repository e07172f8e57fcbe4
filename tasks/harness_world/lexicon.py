"""The mini-world: its words, things, people, cities and companies, all grown from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from harness_world.draws import Draws, Weighted, zipf

WORLD_SEED = 20261


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CATEGORIES = _words(
    "animal bird fish tool plant fruit drink toy stone garment vehicle instrument weapon book"
)
COLOURS = _words("red blue green white black yellow brown grey pink violet golden silver")
SIZES = _words("small large tiny huge long short")
JOBS = _words(
    "baker smith farmer doctor teacher sailor painter lawyer miner cook tailor judge "
    "pilot singer clerk guard poet nurse hunter potter weaver banker priest writer driver "
    "dancer monk actor builder fisher brewer mason scribe healer porter ranger jeweller "
    "carpenter gardener spy "
)

_ONSETS = _words("b d f g k l m n p r s t v z")
_VOWELS = "aeiou"
# Chance also makes words that nobody wants in a report.
_AVOIDED = _words("peni nig neg naz fag fuk kik ped rape put tit dik vag kaka nude kum sodo")
_ENDINGS = {
    "city": ["ia", "or", "burg", "ath", "ona", "ville", "mont", "a"],
    "company": ["ex", "um", "co", "tek", "ix", "on"],
    "first": ["a", "o", "i", "an", "el", "us"],
    "last": ["sen", "ez", "ov", "ard", "in", "o"],
    "river": ["u", "ey"],
    "region": ["land", "shire", "mark"],
}


@dataclass(frozen=True, kw_only=True)
class Noun:
    """A kind of thing: its word, its translation, and what is known of it."""

    word: str
    target: str
    gender: int  # 0, 1 or 2
    category: str
    colour: str
    size: str
    city: City
    job: str


@dataclass(frozen=True, kw_only=True)
class Adjective:
    """An adjective and the stem of its translation."""

    word: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb, the stem of its translation, and the company it keeps."""

    word: str
    target: str
    dative: bool  # in the second language its object stands in the dative
    subjects: str  # preferred category
    objects: str


@dataclass(frozen=True, kw_only=True)
class City:
    """A city, with its region and river."""

    name: str
    region: str
    river: str


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person; the friend is known by name only."""

    name: str
    female: bool
    city: City
    job: str
    company: str
    pet: Noun
    friend: str


@dataclass(frozen=True, kw_only=True)
class Company:
    """A company, its seat, what it makes and who leads it."""

    name: str
    city: City
    goods: Noun
    second: Noun
    head: Person


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything there is; each ``Weighted`` is drawn from with Zipf's weights."""

    nouns: Weighted[Noun]
    by_category: dict[str, Weighted[Noun]]
    adjectives: Weighted[Adjective]
    verbs: Weighted[Verb]
    cities: Weighted[City]
    companies: Weighted[Company]
    people: Weighted[Person]
    first_names: Weighted[str]
    last_names: Weighted[str]


class Coiner:
    """Coins words that did not exist before."""

    def __init__(self, draws: Draws) -> None:
        """Coin by ``draws``; ``used`` holds what is taken."""
        self.draws = draws
        self.used: set[str] = set()

    def syllable(self) -> str:
        """One syllable, open, so that a subword tokenizer can learn all of them."""
        return self.draws.choice(_ONSETS) + self.draws.choice(_VOWELS)

    def _free(self, word: str) -> bool:
        return word not in self.used and not any(part in word.lower() for part in _AVOIDED)

    def word(self, syllables: int) -> str:
        """A new common word."""
        while True:
            word = "".join(self.syllable() for _ in range(syllables))
            if self._free(word):
                self.used.add(word)
                return word

    def name(self, kind: str) -> str:
        """A new proper name with an ending that most names of its kind share."""
        draws = self.draws
        while True:
            stem = self.syllable() + (self.syllable() if draws.chance(0.3) else "")
            word = (stem + draws.choice(_ONSETS) + draws.choice(_ENDINGS[kind])).capitalize()
            if self._free(word):
                self.used.add(word)
                return word


def cognate(word: str) -> str:
    """The word as the second language borrowed it, its stops shifted."""
    return word.translate(str.maketrans("ptkbdgf", "bdgptkv"))


def _translated(coiner: Coiner, word: str) -> str:
    if coiner.draws.chance(0.5):
        return cognate(word)
    return coiner.word(2)


def _common_words(coiner: Coiner) -> tuple[list[Adjective], list[Verb]]:
    draws = coiner.draws
    adjectives = []
    for _ in range(60):
        word = coiner.word(2)
        adjectives.append(Adjective(word=word, target=_translated(coiner, word)))
    verbs = []
    for _ in range(60):
        word = coiner.word(2)
        verbs.append(
            Verb(
                word=word,
                target=_translated(coiner, word),
                dative=draws.chance(0.25),
                subjects=draws.choice(CATEGORIES),
                objects=draws.choice(CATEGORIES),
            )
        )
    return adjectives, verbs


def _nouns(coiner: Coiner, cities: Weighted[City]) -> list[Noun]:
    draws = coiner.draws
    categories, colours = zipf(CATEGORIES, exponent=0.8), zipf(COLOURS, exponent=0.8)
    sizes, jobs = zipf(SIZES, exponent=0.8), zipf(JOBS)
    nouns = []
    for rank in range(600):
        word = coiner.word(2 if rank < 500 else 3)
        nouns.append(
            Noun(
                word=word,
                target=_translated(coiner, word),
                gender=draws.below(3),
                category=categories.draw(draws),
                colour=colours.draw(draws),
                size=sizes.draw(draws),
                city=cities.draw(draws),
                job=jobs.draw(draws),
            )
        )
    return nouns


def _people(
    coiner: Coiner, cities: Weighted[City], pets: Weighted[Noun], names: list[list[str]]
) -> list[Person]:
    draws = coiner.draws
    firsts, lasts = zipf(names[0], exponent=1.0), zipf(names[1], exponent=0.8)
    jobs, companies = zipf(JOBS), zipf(names[2])
    full: list[str] = []
    while len(full) < 400:
        name = f"{firsts.draw(draws)} {lasts.draw(draws)}"
        if name not in coiner.used:
            coiner.used.add(name)
            full.append(name)
    friends = zipf(full)
    return [
        Person(
            name=name,
            female=name.split()[0][-1] in "ai",
            city=cities.draw(draws),
            job=jobs.draw(draws),
            company=companies.draw(draws),
            pet=pets.draw(draws),
            friend=friends.draw(draws),
        )
        for name in full
    ]


def company_name(coiner: Coiner, city: str, last_name: str) -> str:
    """A coined name, or one after a city or a family, which only the whole phrase gives away."""
    draws = coiner.draws
    if draws.chance(0.5):
        return coiner.name("company")
    if draws.chance(0.5):
        return f"{city} {draws.choice(('Bank', 'Works', 'Mills', 'Press'))}"
    return f"{last_name} {draws.choice(('Group', 'Brothers', 'Trust'))}"


def _company_names(coiner: Coiner, cities: Weighted[City], lasts: list[str]) -> list[str]:
    draws, names = coiner.draws, zipf(lasts)
    found: dict[str, None] = {}
    while len(found) < 100:
        found.setdefault(company_name(coiner, cities.draw(draws).name, names.draw(draws)))
    return list(found)


def grow(seed: int) -> World:
    """The world of a seed, from the smallest words up to who leads which company."""
    coiner = Coiner(Draws(seed))
    draws = coiner.draws
    rivers = zipf([coiner.name("river") for _ in range(24)])
    regions = zipf([coiner.name("region") for _ in range(12)])
    cities = zipf(
        [
            City(name=coiner.name("city"), region=regions.draw(draws), river=rivers.draw(draws))
            for _ in range(100)
        ]
    )
    adjectives, verbs = _common_words(coiner)
    nouns = _nouns(coiner, cities)
    firsts = [coiner.name("first") for _ in range(60)]
    lasts = [coiner.name("last") for _ in range(120)]
    company_names = _company_names(coiner, cities, lasts)
    pets = zipf([noun for noun in nouns if noun.category in ("animal", "bird", "fish")])
    people = zipf(_people(coiner, cities, pets, [firsts, lasts, company_names]))
    drawn = zipf(nouns)
    companies = [
        Company(
            name=name,
            city=cities.draw(draws),
            goods=drawn.draw(draws),
            second=drawn.draw(draws),
            head=people.draw(draws),
        )
        for name in company_names
    ]
    return World(
        nouns=drawn,
        by_category={c: zipf([n for n in nouns if n.category == c]) for c in CATEGORIES},
        adjectives=zipf(adjectives),
        verbs=zipf(verbs),
        cities=cities,
        companies=zipf(companies),
        people=people,
        first_names=zipf(firsts, exponent=1.1),
        last_names=zipf(lasts, exponent=0.8),
    )


@lru_cache(maxsize=1)
def world() -> World:
    """The world that the shipped tasks are about."""
    return grow(WORLD_SEED)
