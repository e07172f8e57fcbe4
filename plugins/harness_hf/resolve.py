"""From ``PATH-OR-HUB-ID`` to a folder with a checkpoint, and the names it goes by."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ModelError, UsageError, suggestion
from harness.wording import family_of
from harness_hf.checkpoint import Checkpoint, open_checkpoint
from harness_hf.hubsize import check_before_fetching
from harness_hf.quiet import quiet

if TYPE_CHECKING:
    from harness_hf.options import Options

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
WANTED = ["*.json", "*.txt", "*.model", "*.safetensors", "*.py", "*.jinja"]


def find(options: Options) -> Checkpoint:
    """Return the checkpoint that ``options.source`` names, fetched from the hub if need be.

    Raises :class:`harness.errors.UsageError` for a path that does not exist or has no revisions and
    :class:`harness.errors.ModelError` for a hub id that cannot be had, or whose weights no memory
    here could hold.
    """
    folder = Path(options.source).expanduser()
    if folder.is_dir():
        if options.revision:
            raise UsageError(
                f"{options.who} is a folder: revision={options.revision} chooses among "
                "those of a hub id only.\nLeave it out, or name the id."
            )
        return open_checkpoint(folder)
    if folder.is_file():
        raise UsageError(
            f"{options.who} is a file.\n"
            f"Name the checkpoint's folder: {options.scheme}:{folder.parent}"
        )
    if not HUB_ID.fullmatch(options.source) or (folder.parent.is_dir() and "/" in options.source):
        raise UsageError(f"{options.scheme}: {_no_such_path(folder, options.source)}")
    check_before_fetching(options.source, options)
    return _from_hub(options.source, options)


def _no_such_path(folder: Path, source: str) -> str:
    near = folder.parent
    if not near.is_dir():
        return f"{source} does not exist, nor does the folder {near}."
    names = [p.name for p in near.iterdir() if p.is_dir()]
    return f"{source} does not exist. {suggestion(folder.name, names)}".rstrip()


def _from_hub(hub_id: str, options: Options) -> Checkpoint:
    from huggingface_hub import snapshot_download

    revision = options.revision
    try:
        with quiet():
            folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=WANTED))
            if not any(folder.glob("*.safetensors")):
                snapshot_download(hub_id, revision=revision, allow_patterns=["pytorch_model*"])
    except Exception as error:  # the hub client raises errors of a dozen libraries
        at = f" at revision {revision}" if revision else ""
        raise ModelError(
            f"{options.scheme}: {hub_id} is no folder here, not in the local cache{at}, and the "
            f"hub gave nothing: {_reason(error)}.\n"
            "Check the path or the id; without a network, fetch the checkpoint beforehand."
        ) from error
    return open_checkpoint(folder, hub_id=hub_id, commit=folder.name)


def _reason(error: Exception) -> str:
    """The kind of failure in a few words; the hub's own texts run over many lines."""
    kind = type(error).__name__
    words = {
        "RepositoryNotFoundError": "no such repository, or it is private",
        "GatedRepoError": "access must be asked for on the hub first",
        "RevisionNotFoundError": "no such revision",
        "OfflineModeIsEnabled": "offline mode is on",
        "LocalEntryNotFoundError": "it could not be reached",
        "ConnectError": "it could not be reached",
        "ConnectionError": "it could not be reached",
    }
    return words.get(kind, f"{kind}: {str(error).splitlines()[0] if str(error) else ''}"[:120])


def default_name(checkpoint: Checkpoint, options: Options) -> str:
    """What the model is called: by option, by ``harness_model.json``, else by its folder or id."""
    if options.name:
        return options.name
    noted = checkpoint.notes.get("name")
    if isinstance(noted, str) and noted:
        return noted
    return checkpoint.hub_id or checkpoint.folder.resolve().name


def default_family(checkpoint: Checkpoint, options: Options) -> str:
    """The family: by option, by ``harness_model.json``, else by the name without its size."""
    if options.family:
        return options.family
    noted = checkpoint.notes.get("family")
    if isinstance(noted, str) and noted:
        return noted
    return family_of(checkpoint.hub_id or checkpoint.folder.resolve().name)
