"""Questions: over a short passage that is made up each time, and about the world's facts."""

from __future__ import annotations

from collections.abc import Callable

from harness_world.draws import Draws
from harness_world.lexicon import COLOURS, Noun, World

# Several wordings for each fact: a fact is learnt under some and asked under another.
_NOUN_FACTS: tuple[tuple[Callable[[Noun], str], tuple[str, ...]], ...] = (
    (
        lambda n: n.colour,
        (
            "what colour is the {}?",
            "which colour has the {}?",
            "the {} is of what colour?",
            "what is the colour of {}s?",
        ),
    ),
    (
        lambda n: n.category,
        (
            "what is the {}?",
            "what kind of thing is the {}?",
            "the {} is a kind of what?",
            "what are {}s?",
        ),
    ),
    (
        lambda n: n.size,
        ("what size is the {}?", "how big is the {}?", "of what size are {}s?"),
    ),
    (
        lambda n: n.city.name,
        (
            "where does the {} come from?",
            "what is the home of the {}?",
            "from where do {}s come?",
        ),
    ),
    (
        lambda n: n.job,
        ("who uses the {}?", "by whom is the {} used?", "{}s are used by whom?"),
    ),
)
_PERSON_FACTS = (
    ("city", ("where does {} live?", "what is the home of {}?", "in which city is {}?")),
    ("job", ("what is the job of {}?", "what does {} do?", "what work has {}?")),
    ("company", ("where does {} work?", "for whom does {} work?", "who pays {}?")),
    ("pet", ("what does {} own?", "what is the pet of {}?", "which pet has {}?")),
)
_CITY_FACTS = (
    ("region", ("where does {} lie?", "in which region is {}?", "what is the region of {}?")),
    ("river", ("what river flows by {}?", "which river has {}?", "{} lies on what?")),
)
_DEEDS = (  # past, plain form, what follows
    ("bought", "buy", "thing"),
    ("found", "find", "thing"),
    ("sold", "sell", "thing"),
    ("lost", "lose", "thing"),
    ("visited", "visit", "city"),
    ("left", "leave", "city"),
    ("met", "meet", "person"),
    ("helped", "help", "person"),
    ("joined", "join", "company"),
)


def fact(draws: Draws, world: World) -> tuple[str, str]:
    """A question about the world, and its answer."""
    pick = draws.below(20)
    if pick < 13:
        noun = world.nouns.draw(draws)
        value, wordings = draws.choice(_NOUN_FACTS)
        return draws.choice(wordings).format(noun.word), value(noun)
    if pick < 17:
        person = world.people.draw(draws)
        asked, phrases = draws.choice(_PERSON_FACTS)
        answers = {
            "city": person.city.name,
            "job": person.job,
            "company": person.company,
            "pet": person.pet.word,
        }
        return draws.choice(phrases).format(person.name), answers[asked]
    city = world.cities.draw(draws)
    asked, phrases = draws.choice(_CITY_FACTS)
    return draws.choice(phrases).format(city.name), getattr(city, asked)


def passage(draws: Draws, world: World) -> tuple[str, str, str, int]:
    """A passage, a question about it, the answer, and the number of its sentences.

    Each sentence gives somebody a deed. The question asks for the object or the doer of one of
    them; a doer may be asked for by the object's category, which only the world tells.
    """
    count = draws.choice((1, 1, 2, 2, 3, 4, 5))
    people: list[str] = []
    while len(people) < count:
        name = world.first_names.draw(draws)
        if name not in people:
            people.append(name)
    chosen = draws.below(count)
    sentences: list[str] = []
    question = answer = ""
    for index, (past, plain, what) in enumerate(draws.shuffled(_DEEDS)[:count]):
        doer, category = people[index], ""
        if what == "thing":
            noun = world.nouns.draw(draws)
            thing, category = f"a {draws.choice(COLOURS)} {noun.word}", noun.category
        elif what == "city":
            thing = world.cities.draw(draws).name
        elif what == "company":
            thing = world.companies.draw(draws).name
        else:
            thing = world.first_names.draw(draws)
        sentences.append(f"{doer} {past} {thing}.")
        if index == chosen:
            question, answer = _question(draws, doer, past, plain, thing, category)
    return " ".join(sentences), question, answer, count


def _question(
    draws: Draws, doer: str, past: str, plain: str, thing: str, category: str
) -> tuple[str, str]:
    pick = draws.unit()
    if pick < 0.5:
        return f"what did {doer} {plain}?", thing
    if category and pick < 0.65:
        return f"what colour was the thing that {doer} {past}?", thing.split()[1]
    if category and pick < 0.8:
        kind = f"an {category}" if category[0] in "aeiou" else f"a {category}"
        return f"who {past} {kind}?", doer
    return f"who {past} {thing}?", doer
