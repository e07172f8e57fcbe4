"""Short texts about the world's things, people, cities and companies.

A prompt names an entity and the facets to speak of, in order; the text follows from the world.
Each facet can be asked alone or among others, so that a facet's facts are seen in training under
other prompts than the held-out ones.
"""

from __future__ import annotations

from harness_world.draws import Draws
from harness_world.lexicon import City, Company, Noun, Person, World


def article(word: str) -> str:
    """The word with ``a`` or ``an``."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _noun_facets(noun: Noun) -> dict[str, str]:
    return {
        "look": f"is {noun.size} and {noun.colour}",
        "kind": f"is {article(noun.category)}",
        "place": f"comes from {noun.city.name} on the {noun.city.river}",
        "use": f"is used by {noun.job}s",
    }


def _person_facets(person: Person) -> dict[str, str]:
    pet = person.pet
    return {
        "home": f"lives in {person.city.name} in {person.city.region}",
        "work": f"is {article(person.job)} at {person.company}",
        "pet": f"owns {article(pet.colour)} {pet.word}",
        "friend": f"knows {person.friend}",
    }


def _city_facets(city: City) -> dict[str, str]:
    return {"region": f"lies in {city.region}", "river": f"lies on the {city.river}"}


def _company_facets(company: Company) -> dict[str, str]:
    return {
        "seat": f"has its seat in {company.city.name}",
        "goods": f"makes {company.goods.word}s and {company.second.word}s",
        "head": f"is led by {company.head.name}",
    }


def description(draws: Draws, world: World) -> tuple[str, str]:
    """A prompt's body, such as ``brelo: look, use``, and the text it asks for."""
    pick = draws.below(20)
    if pick < 10:
        noun = world.nouns.draw(draws)
        name, subject, pronoun, facets = noun.word, f"The {noun.word}", "It", _noun_facets(noun)
    elif pick < 16:
        person = world.people.draw(draws)
        name, subject = person.name, person.name
        pronoun, facets = ("She" if person.female else "He"), _person_facets(person)
    elif pick < 18:
        city = world.cities.draw(draws)
        name, subject, pronoun, facets = city.name, city.name, "It", _city_facets(city)
    else:
        company = world.companies.draw(draws)
        name, subject, pronoun, facets = company.name, company.name, "It", _company_facets(company)
    asked = draws.shuffled(tuple(facets))[: 1 + draws.below(len(facets))]
    first, *rest = (facets[facet] for facet in asked)
    text = " ".join([f"{subject} {first}.", *(f"{pronoun} {said}." for said in rest)])
    return f"{name}: {', '.join(asked)}", text
