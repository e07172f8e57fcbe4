"""Models behind a server against the same checkpoints at hand: equal texts, equal likelihoods."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer, Body

torch = pytest.importorskip("torch")
pytest.importorskip("openai")

from hf_tiny import write_model, write_tokenizer  # noqa: E402

import harness_hf  # noqa: E402
import harness_openai  # noqa: E402
from harness.errors import UsageError  # noqa: E402
from harness.testing import check_model  # noqa: E402
from harness.types import Generate, Loglikelihood, ModelSettings, Request, Response  # noqa: E402

PROMPTS = ("Once upon a time", "The keeper of the", "naïve café, 東", "x")
PAIRS = (
    ("Once upon a time", " there was a little boy"),
    ("Once upon a ", "time"),
    ("naïve", " café, 東京 and emoji 🙂"),
    ("東京", "京 and 🙂."),
    ("The", ""),
    ("", "The keeper of the lighthouse wrote"),
)
REQUESTS: tuple[Request, ...] = (
    *(Generate(prompt=prompt, max_tokens=12) for prompt in PROMPTS),
    *(Generate(prompt=prompt, max_tokens=12, stop=("e", "\n")) for prompt in PROMPTS),
    *(Loglikelihood(context=context, continuation=text) for context, text in PAIRS),
)


class Checkpoint:
    """A real model with the completions endpoint of OpenAI, or of vLLM."""

    def __init__(self, folder: Path, route: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.route = route
        self.lock = threading.Lock()

    def __call__(self, body: Body) -> Mapping[str, Any]:
        with self.lock, torch.inference_mode():
            ids = self.tokenizer(body["prompt"], return_tensors="pt")["input_ids"]
            drawn: dict[str, Any] = {"do_sample": False}
            if body.get("temperature"):
                torch.manual_seed(body["seed"])
                drawn = {"do_sample": True, "temperature": body["temperature"]}
            whole = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                **drawn,
                max_new_tokens=body["max_tokens"],
                pad_token_id=0,
            )  # without stop strings, as some servers do it: the adapter cuts
            new = whole[0, ids.shape[1] :]
            ended = len(new) < body["max_tokens"] or int(new[-1]) == self.model.config.eos_token_id
            choice: dict[str, Any] = {
                "text": self.text(whole[0].tolist(), ids.shape[1]),
                "finish_reason": "stop" if ended else "length",
            }
            if self.route in body or (self.route == "echo" and body.get("echo")):
                choice |= self.likelihoods(whole[0].tolist(), ids.shape[1])
        usage = {"prompt_tokens": ids.shape[1], "completion_tokens": len(new)}
        return {"choices": [choice], "usage": usage}

    def text(self, ids: list[int], start: int) -> str:
        """What the tokens from ``start`` add to the text before them."""
        before = self.tokenizer.decode(ids[:start], skip_special_tokens=True)
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))[len(before) :]

    def likelihoods(self, ids: list[int], prompt: int) -> dict[str, Any]:
        logits = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        rows = [None, *(logits[i - 1] for i in range(1, len(ids)))]
        pieces = [self.piece(ids, i) for i in range(len(ids))]
        chosen = [None if r is None else float(r[t]) for r, t in zip(rows, ids, strict=True)]
        if self.route == "prompt_logprobs":
            listed: list[Any] = [None]
            for i in range(1, prompt):
                best = int(rows[i].argmax())
                entry = {str(ids[i]): {"logprob": chosen[i], "decoded_token": pieces[i]}}
                entry.setdefault(str(best), {"logprob": float(rows[i][best])})
                listed.append(entry)
            return {"prompt_logprobs": listed}
        tops = [None if r is None else {"best": float(r.max())} for r in rows]
        return {"logprobs": {"tokens": pieces, "token_logprobs": chosen, "top_logprobs": tops}}

    def piece(self, ids: list[int], i: int) -> str:
        """One token's text: its special name, or what it adds; part of a character as U+FFFD."""
        if ids[i] in self.tokenizer.all_special_ids:
            return str(self.tokenizer.convert_ids_to_tokens(ids[i]))
        special = self.tokenizer.all_special_ids
        start = max((j + 1 for j in range(i) if ids[j] in special), default=0)
        before = self.tokenizer.decode(ids[start:i]).rstrip("\ufffd")
        return str(self.tokenizer.decode(ids[start : i + 1]))[len(before) :]


@pytest.fixture(scope="module", params=["bytes", "bytes with BOS", "pieces with BOS"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("served") / "tiny"
    write_model(made, "llama")
    write_tokenizer(made, request.param.split()[0], bos="BOS" in request.param)
    return made


def in_order(pairs: Iterator[tuple[int, Response]]) -> list[Response]:
    answers = dict(pairs)
    return [answers[i] for i in range(len(answers))]


@pytest.mark.parametrize("route", ["echo", "prompt_logprobs"])
def test_a_server_gives_the_answers_of_the_checkpoint_at_hand(folder: Path, route: str) -> None:
    at_hand = harness_hf.build(ModelSettings(argument=str(folder), dtype="float32"))
    checkpoint = Checkpoint(folder, route)
    adds_bos = checkpoint.tokenizer("a")["input_ids"][0] == 0
    options = {"endpoint": "completions"} | ({} if adds_bos else {"bos": "<s>"})
    with ApiServer(answer=checkpoint) as server:
        served = harness_openai.build(ModelSettings(argument=f"tiny@{server.url}", options=options))
        expected = in_order(at_hand.respond(REQUESTS))
        for request, ours, theirs in zip(
            REQUESTS, expected, in_order(served.respond(REQUESTS)), strict=True
        ):
            assert theirs.error is None, request
            assert (theirs.text, theirs.greedy) == (ours.text, ours.greedy), request
            assert theirs.logprob == pytest.approx(ours.logprob, abs=1e-3), request
            if isinstance(request, Loglikelihood) and request.continuation:
                assert (theirs.prompt_tokens, theirs.tokens) == (ours.prompt_tokens, ours.tokens)


def test_a_text_without_a_beginning_is_refused_in_words(tmp_path: Path) -> None:
    write_model(tmp_path, "llama")
    write_tokenizer(tmp_path)
    with ApiServer(answer=Checkpoint(tmp_path, "echo")) as server:
        settings = ModelSettings(argument=f"tiny@{server.url}", options={"endpoint": "completions"})
        whole = Loglikelihood(context="", continuation="The sea.")
        ((_, answer),) = harness_openai.build(settings).respond([whole])
        assert "bos=<s>" in str(answer.error)


def test_the_adapter_keeps_every_promise_of_a_model(tmp_path: Path) -> None:
    write_model(tmp_path, "llama")
    write_tokenizer(tmp_path)
    with ApiServer(answer=Checkpoint(tmp_path, "echo")) as server:
        text = f"openai:tiny@{server.url},endpoint=completions,bos=<s>"
        results = check_model(text)
    assert [result.line for result in results if result.status == "failed"] == []
    drawn = next(r for r in results if r.check.startswith("drawn answers"))
    assert drawn.status == "passed" and len(results) > 8


@pytest.fixture(scope="module")
def transformers_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The server that comes with transformers, with a small checkpoint; needs its own extras."""
    for package in ("fastapi", "uvicorn", "rich"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"`transformers serve` needs {package}")
    folder = tmp_path_factory.mktemp("transformers") / "tiny"
    write_model(folder, "llama")
    write_tokenizer(folder)
    script = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", script, "serve", str(folder), "--device", "cpu"]
    command += ["--dtype", "float32", "--port", "0", "--log-level", "info"]
    process = subprocess.Popen(
        command,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said = line if line.strip() else said
            found = re.search(r"running on (http://[^ ]+)", line)
            if found:
                yield folder, f"{found[1]}/v1"
                return
        pytest.skip(f"`transformers serve` did not start: {said}")
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_the_server_of_transformers_gives_the_same_greedy_texts(
    transformers_server: tuple[Path, str],
) -> None:
    folder, url = transformers_server
    wanted = [request for request in REQUESTS if isinstance(request, Generate)]
    at_hand = harness_hf.build(ModelSettings(argument=str(folder), dtype="float32"))
    served = harness_openai.build(
        ModelSettings(argument=f"{folder}@{url}", options={"endpoint": "completions"})
    )
    expected = in_order(at_hand.respond(wanted))
    found = in_order(served.respond(wanted))
    assert [r.text for r in found] == [r.text for r in expected]
    with pytest.raises(UsageError, match="gives no log-probabilities"):
        served.prepare(frozenset({"loglikelihood"}))
