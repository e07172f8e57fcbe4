"""What can go wrong with one attempt, sorted by what helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.errors import HarnessError


@dataclass(frozen=True, kw_only=True)
class Setback:
    """An attempt that failed and may succeed when it is repeated.

    ``wait`` is how many seconds the server asks to be left alone, ``refused`` says that it only
    asks for less (429), ``crowded`` that fewer requests at once may help, ``billable`` that it may
    have worked on an answer that never came, ``absent`` that nobody was there to take the request,
    ``replied`` that something came back, so that the server lives.
    """

    reason: str
    wait: float | None = None
    refused: bool = False
    crowded: bool = False
    billable: bool = False
    absent: bool = False
    replied: bool = False


class RetryableError(Exception):
    """Carries a :class:`Setback`."""

    def __init__(self, setback: Setback) -> None:
        """``setback`` says what happened."""
        super().__init__(setback.reason)
        self.setback = setback


class UnanswerableError(Exception):
    """This request has no answer, however often it is asked; the others may have theirs."""

    def __init__(self, said: str, *, billable: bool = False) -> None:
        """``billable``: the server worked on it."""
        super().__init__(said)
        self.billable = billable


class ForbiddenError(UnanswerableError):
    """A 403: it may concern this request (moderation), or the key and with it every request."""

    def __init__(self, said: str, everyone: HarnessError) -> None:
        """``everyone`` is the error where it concerns every request."""
        super().__init__(said)
        self.everyone = everyone


class GivenUpError(UnanswerableError):
    """Every attempt at this request failed; nobody can tell what would have become of it."""


class TooDearError(UnanswerableError):
    """This request was not asked, because it could have passed the bound on costs."""
