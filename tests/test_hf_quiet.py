"""What reaches the terminal of a run besides our own words: nothing."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

pytest.importorskip("torch")
from hf_tiny import write_checkpoint, write_seq2seq, write_tokenizer
from test_hf_models import model_at

from harness.types import Generate

REFUSE = "import harness_hf.probe as p; p.take_apart = lambda *_, **__: None; "
ASK = """
import sys
from harness.types import Generate, Loglikelihood, ModelSettings
import harness_hf
model = harness_hf.build(ModelSettings(argument=sys.argv[1], device="cpu"))
asked = [Generate(prompt="The fog", max_tokens=4), Loglikelihood(context="A", continuation=" b")]
assert len([r for _, r in model.respond(asked) if r.error is None]) == 2
"""


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_no_warning_of_transformers_reaches_the_terminal(tmp_path: Path, kind: str) -> None:
    """Llama as its modules compute it, where the lean pass is refused, and an encoder-decoder."""
    if kind == "t5":
        write_seq2seq(tmp_path, kind)
        if not (tmp_path / "tokenizer.json").is_file():
            write_tokenizer(tmp_path)
    else:
        write_checkpoint(tmp_path, kind)
    done = subprocess.run(
        [sys.executable, "-c", REFUSE + ASK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_closed_model_is_freed_without_a_search_for_garbage(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "llama")
    model = model_at(tmp_path)
    list(model.respond([Generate(prompt="The fog", max_tokens=4)]))
    weights = weakref.ref(model._engine.network)
    gc.disable()
    try:
        model.close()
        assert weights() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({}, "5000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
    ],
)
def test_threads_are_told_to_wait_briefly_before_pytorch_is_there(
    told: dict[str, str], found: str
) -> None:
    ask = """
import os, sys, harness_hf
from harness.types import ModelSettings
harness_hf.build(ModelSettings(argument="nowhere", device="cpu"))
assert "torch" not in sys.modules
print(os.environ.get("GOMP_SPINCOUNT"))
"""
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=False, env=kept | told
    )
    assert (done.stdout.strip(), done.stderr) == (found, "")
