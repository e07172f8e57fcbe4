"""Chat templates: a prompt as a user's turn, with a system message if one is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, UsageError, suggestion
from harness_hf.checkpoint import read_json
from harness_hf.tokens import TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_hf.options import Options

OWN = "default"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A Jinja template and the system message that goes with it."""

    source: str
    system: str | None = None

    @property
    def digest(self) -> str:
        """Which template it is, for the settings that answers are stored under."""
        return f"sha256:{hashlib.sha256(self.source.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A text in its template: what stands before it, the text as the template left it, what
    stands behind. Where the template changed the text, all is the text."""

    head: str
    body: str
    tail: str

    @property
    def text(self) -> str:
        """All of it."""
        return self.head + self.body + self.tail


class Chat:
    """Renders prompts with a template; the template alone decides about BOS, as in transformers
    (``apply_chat_template``) and vLLM, so nothing is added to what it writes."""

    def __init__(self, template: Template, tokenizer: Any, source: str) -> None:
        """Try the template once; raises :class:`harness.errors.UsageError` if it refuses."""
        self.template = template
        self.tokenizer = tokenizer
        try:
            self.render("a")
        except TokenError as error:
            raise UsageError(
                f"hf: {source}: {error}.\nGive another template or leave out --system."
            ) from error

    def render(self, text: str) -> Rendered:
        """``text`` as the user's turn, up to where the assistant answers.

        Raises :class:`harness_hf.tokens.TokenError` where the template raises.
        """
        system = self.template.system
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        try:
            whole = self.tokenizer.apply_chat_template(
                messages,
                chat_template=self.template.source,
                tokenize=False,
                add_generation_prompt=True,
            )
        except Exception as error:  # a template is a program: it may raise anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TokenError(f"the chat template refuses it: {reason[:200].rstrip('.')}") from error
        body = text if text in whole else text.strip()
        at = whole.rfind(body) if body else -1
        if at < 0:
            return Rendered(head="", body=whole, tail="")
        return Rendered(head=whole[:at], body=body, tail=whole[at + len(body) :])


def find_template(folder: Path, options: Options) -> Template | None:
    """The template that ``options`` ask for, read from files alone.

    ``default`` is the tokenizer's own; else a file, or the name of one of the tokenizer's several.
    Raises :class:`harness.errors.UsageError` for one that is not there.
    """
    wanted = options.chat_template
    if wanted is None:
        return None
    known = _templates(folder)
    if wanted in known:
        return Template(source=known[wanted], system=options.system)
    path = Path(wanted).expanduser()
    if path.is_file():
        return Template(source=_read(path), system=options.system)
    if wanted == OWN and not known:
        raise UsageError(
            f"hf: the tokenizer of {options.source} has no chat template.\n"
            "Give a file with --chat-template FILE, or ask without one."
        )
    raise UsageError(
        f"hf: {wanted} is neither a file nor a chat template of {options.source}. "
        f"{suggestion(wanted, known)}".rstrip()
    )


def _templates(folder: Path) -> Mapping[str, str]:
    """The templates that the tokenizer's files hold, by name; the usual one is ``default``."""
    found: dict[str, str] = {}
    config = folder / "tokenizer_config.json"
    stored = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(stored, str):
        found[OWN] = stored
    elif isinstance(stored, list):
        try:
            found |= {str(one["name"]): str(one["template"]) for one in stored}
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{config}: a chat template in its list lacks its name or its text.\n"
                "Take the tokenizer_config.json that the weights were saved with."
            ) from error
    for path in sorted(folder.glob("additional_chat_templates/*.jinja")):
        found[path.stem] = _read(path)
    own = folder / "chat_template.jinja"
    if own.is_file():
        found[OWN] = _read(own)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a chat template: {error}.") from error
