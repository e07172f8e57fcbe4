"""What a model reads for a request, token by token, for the commands that print it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.codec import to_json
from harness.errors import UsageError
from harness.plan import PlannedModel
from harness.rendering import Sends
from harness.types import Request, TokenView


def sends_of(planned: PlannedModel) -> Sends:
    """The view of a model that shows its tokens; no weights are loaded.

    Raises UsageError where the model has none.
    """
    model: object = planned.build()
    if not isinstance(model, TokenView):
        raise UsageError(
            f"Model '{planned.text}' of plugin {planned.spec.plugin.name} does not show its "
            "tokens.\n"
            "Leave out --tokens, or name a model that does, such as hf:PATH."
        )
    return model.tokens


def tokens_entry(requests: Sequence[Request], sends: Sends | None) -> dict[str, object]:
    """For a sample's JSON: what is read for each request, pass by pass."""
    if sends is None:
        return {}
    return {"tokens": [[to_json(sent) for sent in sends(request)] for request in requests]}
