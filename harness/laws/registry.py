"""The laws there are, by name, and which one suits which variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import cast

from harness.errors import PluginError, UsageError, suggestion
from harness.laws.bound import Law
from harness.laws.curves import LINEAR, LOG_LINEAR, PLATEAU_POWER, SHIFTED_POWER, bnsl
from harness.laws.joint import DATA_CONSTRAINED, KAPLAN
from harness.laws.m4 import M4
from harness.laws.scorelaws import BLEU_LOG, LOSS_EXPONENTIAL, LOSS_SIGMOID, logit_linear
from harness.laws.sums import CHINCHILLA, EFFECTIVE, OVERTRAINED, POWER, POWER_FLOOR, product

ERROR = "error-"
"""What the name of a law begins with that describes the distance of a score to its ceiling."""


def of_error(law: Law) -> Law:
    """A built-in law of a loss as the law of e = u − S, the distance of a score to its ceiling."""
    left, _, right = law.formula.partition(" = ")
    if left in ("L", "P"):
        formula = f"u − S = {right}"
    else:
        formula = f"{law.formula.replace('L', 'e')}, e = u − S"
    return replace(law, name=f"{ERROR}{law.name}", formula=formula)  # type: ignore[type-var]


BUILTIN: Mapping[str, Law] = MappingProxyType(
    {
        law.name: law
        for law in (
            POWER,
            POWER_FLOOR,
            SHIFTED_POWER,
            PLATEAU_POWER,
            M4,
            bnsl(1),
            bnsl(2),
            LINEAR,
            LOG_LINEAR,
            CHINCHILLA,
            KAPLAN,
            product(("N",)),
            EFFECTIVE,
            DATA_CONSTRAINED,
            OVERTRAINED,
            logit_linear(("N",)),
            of_error(POWER),
            of_error(POWER_FLOOR),
            LOSS_SIGMOID,
            LOSS_EXPONENTIAL,
            BLEU_LOG,
        )
    }
)
"""Every built-in law, as it is with its fewest variables."""

SUITED_BY_COUNT = {1: "power-floor", 2: "chinchilla", 3: "data-constrained"}
"""The law that is fitted where none is asked for."""

AUTO = ("power", "power-floor", "shifted-power", "plateau-power", "m4", "bnsl")
"""The laws in one variable that ``auto`` chooses from."""

AUTO_PAIR = ("chinchilla", "overtrained", "kaplan", "effective-params", "product")
"""The laws in two variables that ``auto`` chooses from."""

GENERAL = (*AUTO[3:], *AUTO_PAIR)
"""Laws that no other of their list contains, or nearly so, as a special case."""


def auto_laws(x: tuple[str, ...], laws: Mapping[str, Law] = BUILTIN) -> tuple[Law, ...]:
    """The laws that ``auto`` chooses from for columns ``x``.

    Raises:
        UsageError: laws in so many variables are not ranked.
    """
    if len(x) > 2:
        raise UsageError(
            f"--law auto ranks laws in one or two variables, not {len(x)}: {', '.join(x)}. "
            "Choose a law with --law."
        )
    return tuple(find_law(name, x, laws) for name in (AUTO if len(x) < 2 else AUTO_PAIR))


def collect(offered: Iterable[Law]) -> Mapping[str, Law]:
    """The laws that plugins offer, the built-in ones among them, by name.

    Raises:
        PluginError: two different laws have one name.
    """
    laws: dict[str, Law] = {}
    for law in offered:
        if laws.setdefault(law.name, law) is not law:
            raise PluginError(
                f"The law '{law.name}' is offered twice. Rename the one from the plugin."
            )
    return MappingProxyType(laws)


def find_law(name: str | None, x: tuple[str, ...], laws: Mapping[str, Law] = BUILTIN) -> Law:
    """The law called ``name``, for columns ``x`` given in the order of its variables.

    ``product`` and ``logit-linear`` take as many variables as columns are given. Every law that
    ``auto`` chooses from is there with ``error-`` before its name too, see :func:`of_error`.
    Without a name the number of columns decides.

    Raises:
        UsageError: no such law, or one that needs other variables.
    """
    count = max(len(x), 1)
    if name is None:
        if count not in SUITED_BY_COUNT:
            raise UsageError(f"No law in {count} variables. Choose one with --law and fewer --x.")
        name = SUITED_BY_COUNT[count]
    if name not in laws and name.removeprefix(ERROR) in (*AUTO, *AUTO_PAIR):
        return of_error(find_law(name.removeprefix(ERROR), x, laws))
    if name not in laws:
        raise UsageError(f"Unknown law '{name}'. {suggestion(name, [*laws, 'auto'])}")
    if name == "product" and laws[name] is BUILTIN[name]:
        return cast("Law", product(_factors(x)))
    if name == "logit-linear" and laws[name] is BUILTIN[name] and count == 2:
        return cast("Law", logit_linear(("N", "D")))
    law = laws[name]
    if x and len(x) != len(law.variables):
        raise UsageError(
            f"The {name} law needs {len(law.variables)} columns with --x, for "
            f"{', '.join(law.variables)}; {len(x)} given: {', '.join(x)}."
        )
    return law


def _factors(x: tuple[str, ...]) -> tuple[str, ...]:
    """Which of N, D and C the columns of a product law are: by name, else by place."""
    order = ("N", "D", "C")
    named = tuple(name for name in order if name in x)
    if len(named) == len(x) and x:
        return named
    if len(x) > len(order):
        raise UsageError(f"The product law takes up to three columns with --x, not {len(x)}.")
    return order[: max(len(x), 1)]
