"""Prompts with their answers: the endless training stream and the held-out sets.

A checksum of the prompt decides to which side it belongs, so that no prompt can be on both.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness_world.asking import fact, passage
from harness_world.describing import description
from harness_world.draws import Draws
from harness_world.lexicon import Coiner, World, world
from harness_world.naming import Mention, Namer, coined, listed
from harness_world.translating import Sentences

TASKS = ("generation", "translation", "qa", "ner")
HELD_OUT_SEED = 77
HELD_OUT_ITEMS = 300
TRAINING_SEED = 1
PROMPT_END = "\n>"

_ONE_IN = 12  # prompts kept out of training
_SHARES = {"generation": 5, "translation": 8, "passage": 5, "fact": 6, "ner": 5}


@dataclass(frozen=True, kw_only=True)
class Example:
    """A prompt, its answer (which follows after a space), and what it was made from."""

    task: str
    kind: str
    source: str
    prompt: str
    answer: str
    mentions: tuple[Mention, ...] = field(default=())


def is_held_out(prompt: str) -> bool:
    """Whether the prompt belongs to the held-out side."""
    return zlib.crc32(prompt.encode()) % _ONE_IN == 0


class Maker:
    """Makes examples of each kind from a world."""

    def __init__(
        self, grown: World, draws: Draws, coiner: Coiner, unseen: dict[str, list[str]] | None
    ) -> None:
        """Draw by ``draws``; see ``Namer`` for ``coiner`` and ``unseen``."""
        self.world = grown
        self.draws = draws
        self._sentences = Sentences(grown, draws)
        self._namer = Namer(grown, draws, coiner, unseen)

    def make(self, kind: str) -> Example:
        """One example of a kind: generation, translation, passage, fact or ner."""
        mentions: tuple[Mention, ...] = ()
        task, detail = kind, ""
        if kind == "generation":
            source, answer = description(self.draws, self.world)
            prompt = f"Describe {source}"
        elif kind == "translation":
            source, answer, level = self._sentences.pair()
            prompt, detail = f"Translate: {source}", f"-{level}"
        elif kind == "passage":
            text, question, answer, count = passage(self.draws, self.world)
            task, detail, source = "qa", f"-{count}", question
            prompt = f"{text}\nQuestion: {question}"
        elif kind == "fact":
            source, answer = fact(self.draws, self.world)
            task, prompt = "qa", f"Question: {source}"
        else:
            source, found, count = self._namer.text()
            answer, mentions, detail = listed(source, found), tuple(found), f"-{count}"
            prompt = f"Names: {source}"
        return Example(
            task=task,
            kind=kind + detail,
            source=source,
            prompt=prompt + PROMPT_END,
            answer=answer,
            mentions=mentions,
        )


def _reserved(grown: World, coiner: Coiner) -> dict[str, list[str]]:
    """Names kept for the held-out texts; the coiner that made them never makes them again."""
    return {label: [coined(coiner, grown, label) for _ in range(60)] for label in _LABELS}


_LABELS = ("PER", "ORG", "LOC")


def _coiner(grown: World) -> tuple[Coiner, dict[str, list[str]]]:
    """A coiner that knows all the world's names and the reserved ones as taken."""
    coiner = Coiner(Draws(HELD_OUT_SEED))
    coiner.used.update(city.name for city in grown.cities.items)
    coiner.used.update(grown.first_names.items)
    coiner.used.update(grown.last_names.items)
    coiner.used.update(company.name for company in grown.companies.items)
    return coiner, _reserved(grown, coiner)


def training(seed: int = TRAINING_SEED) -> Iterator[Example]:
    """The endless stream of training examples; it never yields a held-out prompt."""
    grown = world()
    coiner, _ = _coiner(grown)
    taken = frozenset(coiner.used)
    draws = Draws(seed)
    coiner.draws = draws
    maker = Maker(grown, draws, coiner, None)
    kinds = [kind for kind in sorted(_SHARES) for _ in range(_SHARES[kind])]
    while True:
        example = maker.make(draws.choice(kinds))
        if len(coiner.used) > len(taken) + 1000:  # a name may come again, a reserved one never
            coiner.used.clear()
            coiner.used.update(taken)
        if not is_held_out(example.prompt):
            yield example


def held_out(task: str, items: int = HELD_OUT_ITEMS) -> list[Example]:
    """The held-out examples of one of ``TASKS``, each prompt once."""
    grown = world()
    coiner, unseen = _coiner(grown)
    maker = Maker(grown, Draws(HELD_OUT_SEED + 1 + TASKS.index(task)), coiner, unseen)
    kinds = ("fact", "passage") if task == "qa" else (task,)
    found: dict[str, Example] = {}
    while len(found) < items:
        example = maker.make(kinds[len(found) % len(kinds)])
        if is_held_out(example.prompt):
            found.setdefault(example.prompt, example)
    return list(found.values())
