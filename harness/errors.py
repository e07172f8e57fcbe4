"""What can go wrong, as a tree; each error knows the exit code it ends the program with.

::

    HarnessError                  70  a bug of ours, unless a subclass says otherwise
    ├── UsageError                 2  an unknown name, a bad option: the command must change
    ├── PluginError                3  a plugin broke its contract
    ├── DataError                  4  a file or a checkpoint cannot be read as what it should be
    ├── SaveError                  4  a result could not be saved
    ├── ModelError                 4  a model could not answer: out of memory, a server's refusal
    ├── PartialError               4  some cell or sample failed, the rest stands
    └── NotComparableError         5  two results that must not be compared

Every message names the culprit, the evidence and the next step, in one to three lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """Root of the tree. ``str(error)`` is the whole message a user sees."""

    exit_code = 70


class UsageError(HarnessError):
    """The command line asks for something that does not exist or cannot be."""

    exit_code = 2


class PluginError(HarnessError):
    """A plugin broke its contract; the message names the plugin and the promise."""

    exit_code = 3


class DataError(HarnessError):
    """A file, a data set or a checkpoint cannot be read as what it should be."""

    exit_code = 4


class SaveError(HarnessError):
    """A result could not be saved: no space, no permission, a locked file."""

    exit_code = 4


class ModelError(HarnessError):
    """A model could not be loaded or could not answer."""

    exit_code = 4


class PartialError(HarnessError):
    """Something failed while the rest of the results stands."""

    exit_code = 4


class NotComparableError(HarnessError):
    """Two results differ in what must be equal before they are compared."""

    exit_code = 5


def suggestion(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """A sentence that helps with the unknown ``name``.

    Returns ``Did you mean 'a' or 'b'?`` where ``known`` holds close names, else a list of what
    there is (cut after a dozen), else an empty string.
    """
    names = sorted(set(known))
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=most, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(f"'{lowered[c]}'" for c in close) + "?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"There are: {shown}."
