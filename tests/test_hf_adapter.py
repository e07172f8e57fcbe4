"""The Hugging Face adapter: options, what it says of a checkpoint, stops, limits, memory."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, ModelError, UsageError
from harness.types import Generate, Loglikelihood, ModelSettings, Tag

torch = pytest.importorskip("torch")
from hf_tiny import write_checkpoint, write_model, write_tokenizer  # noqa: E402
from test_hf_models import ask, model_at, tokenizer_at  # noqa: E402
from transformers import AutoConfig  # noqa: E402

import harness_hf  # noqa: E402
from harness_hf import budget, generation  # noqa: E402
from harness_hf.budget import Costs  # noqa: E402
from harness_hf.checkpoint import Tensor  # noqa: E402
from harness_hf.described import Described  # noqa: E402
from harness_hf.memory import check_memory, free_bytes, whole_bytes  # noqa: E402
from harness_hf.options import read_options  # noqa: E402
from harness_hf.spending import Spending  # noqa: E402

TEXT = "The keeper of the lighthouse wrote: 'No ship today, only fog.'"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family") / "tiny-35k-llama"
    folder.mkdir()
    write_checkpoint(folder, "llama")
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A checkpoint to break."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


# --- what it says ---------------------------------------------------------------------------------


def test_spec_is_declared_without_heavy_imports() -> None:
    code = (
        "import sys, harness_hf\n"
        "specs = {spec.name: spec for spec in harness_hf.harness_models()}\n"
        "assert specs['hf'].kinds == {'generate', 'loglikelihood'}\n"
        "assert specs['hf-tagger'].kinds == {'tag'}\n"
        "assert specs['hf-classifier'].kinds == {'classify'}\n"
        "bad = {'torch', 'transformers', 'numpy', 'safetensors'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_info_of_a_local_checkpoint_needs_no_torch(made: Path) -> None:
    code = (
        "import sys, harness_hf\n"
        "from harness.types import ModelSettings\n"
        f"s = ModelSettings(argument={str(made)!r}, device='cpu')\n"
        "assert harness_hf.build(s).info.parameters.total\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_and_family(made: Path, copy: Path) -> None:
    info = model_at(made).info
    assert (info.name, info.family) == ("tiny-35k-llama", "tiny-llama")
    assert info.context_length == 64
    assert info.settings["dtype"] == "float32"
    notes = {"family": "lighthouse", "train_tokens": 12_000, "train_flops": 1.5e9}
    (copy / "harness_model.json").write_text(json.dumps(notes), encoding="utf-8")
    noted = model_at(copy).info
    assert (noted.family, noted.train_tokens, noted.train_flops) == ("lighthouse", 12_000, 1.5e9)
    assert model_at(copy, family="mine").info.family == "mine"
    settings = ModelSettings(argument=str(made))
    ours = harness_hf.build(settings, name="nano-1k", family="nano").info
    assert (ours.name, ours.family) == ("nano-1k", "nano")


@pytest.mark.parametrize(
    ("folder", "family"),
    [
        ("pythia-70m-deduped", "pythia-deduped"),
        ("pythia-1.4b", "pythia"),
        ("Qwen2.5-0.5B", "Qwen2.5"),
        ("Llama-3.2-1B-Instruct", "Llama-3.2-Instruct"),
        ("stories260K", "stories260K"),
        ("70m", "70m"),
        ("opt_125m", "opt"),
    ],
)
def test_family_is_the_name_without_sizes(
    made: Path, tmp_path: Path, folder: str, family: str
) -> None:
    shutil.copytree(made, tmp_path / folder)
    assert model_at(tmp_path / folder).info.family == family


def test_identity_follows_weights_and_tokenizer_only(made: Path, copy: Path) -> None:
    before = model_at(made).info.identity
    assert model_at(copy).info.identity == before
    (copy / "README.md").write_text("hello", encoding="utf-8")
    (copy / "harness_model.json").write_text('{"family": "x"}', encoding="utf-8")
    assert model_at(copy).info.identity == before
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert model_at(copy).info.identity != before


def test_sharded_and_pickled_weights_count_and_answer_the_same(made: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(made)
    sharded = Path(shutil.copytree(made, tmp_path / "sharded"))
    (sharded / "model.safetensors").unlink()
    plain.save_pretrained(sharded, max_shard_size="40KB")
    pickled = Path(shutil.copytree(made, tmp_path / "pickled"))
    (pickled / "model.safetensors").unlink()
    torch.save(plain.state_dict(), pickled / "pytorch_model.bin")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    request = Generate(prompt=TEXT, max_tokens=8)
    for folder in (sharded, pickled):
        assert model_at(folder).info.parameters == model_at(made).info.parameters
        assert ask(model_at(folder), [request]) == ask(model_at(made), [request])


def test_pickled_weights_with_code_are_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").unlink()
    mark = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (mark,))

    torch.save({"a": Evil()}, copy / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model\.bin: cannot be read"):
        _ = model_at(copy).info
    assert not mark.exists()


def test_tied_head_stored_twice_counts_once(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_model(tmp_path, "llama_tied")
    write_tokenizer(tmp_path)
    before = model_at(tmp_path).info.parameters
    state = load_file(tmp_path / "model.safetensors")
    state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert model_at(tmp_path).info.parameters == before
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    del config["tie_word_embeddings"]  # then the bytes decide
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert model_at(tmp_path).info.parameters == before


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtpye": "float32"}, "unknown option 'dtpye'. Did you mean 'dtype'?"),
        ({"dtype": "int3"}, "unknown dtype 'int3'. Allowed: auto, float32, bfloat16, float16"),
        ({"device": "gpu"}, "unknown device 'gpu'. Use auto, cpu, cuda, cuda:N or mps"),
        ({"max_length": "x"}, "max_length=x is not a whole number"),
        ({"trust_remote_code": "maybe"}, "trust_remote_code=maybe is neither true nor false"),
        ({"attn": "fast"}, "unknown attn 'fast'. Allowed: sdpa"),
    ],
)
def test_bad_options(made: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        harness_hf.build(ModelSettings(argument=str(made), options=options))
    assert message in str(error.value)
    assert str(error.value).count("\n") <= 2


def test_path_that_does_not_exist_suggests_a_near_one(made: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'tiny-35k-llama'"):
        _ = model_at(made.parent / "tiny-36k-llama").info
    with pytest.raises(UsageError, match="nor does the folder"):
        _ = model_at(Path("/no/such/place")).info
    with pytest.raises(UsageError, match=r"is a file\.\sName the checkpoint's folder"):
        _ = model_at(made / "config.json").info


def test_a_folder_has_no_revisions(made: Path) -> None:
    with pytest.raises(UsageError, match="is a folder: revision=main chooses among those of a hub"):
        _ = model_at(made, revision="main").info


def test_an_attention_that_is_not_installed_says_what_else_there_is(made: Path) -> None:
    from transformers.utils import is_flash_attn_2_available

    if is_flash_attn_2_available():
        pytest.skip("FlashAttention 2 is installed")
    with pytest.raises(ModelError, match=r"cannot use attn=flash_attention_2: (.|\n)*attn=sdpa"):
        ask(model_at(made, attn="flash_attention_2"), [Generate(prompt="a", max_tokens=1)])


def test_hub_id_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as error:
        _ = model_at(Path("no-such-organisation/no-such-model")).info
    assert "not in the local cache" in str(error.value)
    assert "Check the path or the id" in str(error.value)
    assert str(error.value).count("\n") <= 2


def test_what_the_hub_says_is_too_large_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            counts = {"parameters": {"BF16": 10**13}, "total": 10**13}
            body = json.dumps({"id": "org/giant", "siblings": [], "safetensors": counts}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(
        huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        with pytest.raises(ModelError, match=r"org/giant take 40,000\.0 GB in float32 .* in all"):
            _ = model_at(Path("org/giant")).info
    finally:
        server.shutdown()
        server.server_close()
    assert [path.partition("?")[0] for path in asked] == ["/api/models/org/giant"]


def test_missing_files_are_named(copy: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"config\.json is missing"):
        _ = model_at(empty).info
    (copy / "tokenizer.json").unlink()
    with pytest.raises(DataError, match="the tokenizer is missing"):
        _ = model_at(copy).info
    write_tokenizer(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(DataError, match="the weights are missing"):
        _ = model_at(copy).info
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(DataError, match="1 of 1 weight files"):
        _ = model_at(copy).info


@pytest.mark.parametrize("size", [0, 5, 200, -1])
def test_truncated_weights_say_how_many_bytes(copy: Path, size: int) -> None:
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:size])
    with pytest.raises(DataError, match=r"model\.safetensors: .*bytes") as error:
        _ = model_at(copy).info
    assert f"{len(content[:size]):,}" in str(error.value)


def test_corrupt_files(copy: Path) -> None:
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:8] + b"x" + content[9:])
    with pytest.raises(DataError, match="header is corrupt"):
        _ = model_at(copy).info
    weights.write_bytes(content + b"xx")
    with pytest.raises(DataError, match="corrupt: the header promises"):
        _ = model_at(copy).info
    (copy / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"config\.json: cannot be read as JSON"):
        _ = model_at(copy).info


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")


def test_missing_and_surplus_tensors(copy: Path) -> None:
    edit_config(copy, num_hidden_layers=3)
    with pytest.raises(DataError, match=r"9 missing \(model.layers.2"):
        ask(model_at(copy), [Generate(prompt="a", max_tokens=1)])
    edit_config(copy, num_hidden_layers=1)
    with pytest.raises(DataError, match=r"9 surplus \(model.layers.1"):
        ask(model_at(copy), [Generate(prompt="a", max_tokens=1)])
    edit_config(copy, num_hidden_layers=2, intermediate_size=50)
    with pytest.raises(
        DataError, match=r"of another shape \(model.*down_proj.weight: .* instead of"
    ):
        ask(model_at(copy), [Generate(prompt="a", max_tokens=1)])


def test_more_tokens_than_the_model_can_read(made: Path) -> None:
    with pytest.raises(UsageError, match=r"max_length=65 is more than the 64 tokens that .* can"):
        _ = model_at(made, max_length="65").info
    assert model_at(made, max_length="64").info.context_length == 64


def test_weights_that_cannot_fit_are_refused_with_the_numbers(made: Path) -> None:
    described = Described(read_options("hf", ModelSettings(argument=str(made), device="cpu")))
    check_memory(described)
    huge = Tensor(name="x", dtype="F32", shape=(10**12, 10), file=made)
    described.__dict__["tensors"] = (huge,)  # what the header of such a checkpoint would say
    with pytest.raises(ModelError, match=r"take 40,000\.0 GB in float32 .* and cpu has [\d,.]+ GB"):
        check_memory(described)
    fits = free_bytes("cpu")
    assert fits is None or 10**6 < fits < 10**14


def test_what_no_memory_of_the_machine_holds_is_refused_before_its_files_are_read(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(checkpoint: object) -> str:
        raise AssertionError("the weights were read")

    monkeypatch.setattr("harness_hf.described.digest", read)
    described = Described(read_options("hf", ModelSettings(argument=str(made), device="cpu")))
    described.__dict__["tensors"] = (Tensor(name="x", dtype="F32", shape=(10**12, 10), file=made),)
    if whole_bytes("cpu") is None:
        pytest.skip("this system does not say how much memory it has")
    with pytest.raises(ModelError, match=r"take 40,000\.0 GB .* and cpu has [\d,.]+ GB in all"):
        _ = described.info


def test_a_smaller_type_is_proposed_where_it_fits(made: Path) -> None:
    free = free_bytes("cpu")
    if free is None:
        pytest.skip("this system does not say how much memory is free")
    described = Described(read_options("hf", ModelSettings(argument=str(made), device="cpu")))
    shape = (free * 3 // 10,)  # 1.2 times what is free in float32, 0.6 times in bfloat16
    described.__dict__["tensors"] = (Tensor(name="x", dtype="F32", shape=shape, file=made),)
    with pytest.raises(ModelError, match="Use dtype=bfloat16"):
        check_memory(described)


def test_unknown_architecture(copy: Path) -> None:
    edit_config(copy, model_type="warp", architectures=["WarpForCausalLM"])
    with pytest.raises(DataError, match="does not know the architecture 'warp'"):
        ask(model_at(copy), [Generate(prompt="a", max_tokens=1)])


def test_a_configuration_without_its_architecture(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    del config["model_type"]
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(DataError, match="model_type is missing") as error:
        ask(model_at(copy), [Generate(prompt="a", max_tokens=1)])
    assert len(str(error.value).splitlines()) == 2


def test_weights_that_are_no_numbers_fail_their_answers_not_the_plugin(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_model(tmp_path, "llama")
    write_tokenizer(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})
    (answer,) = ask(model_at(tmp_path), [Loglikelihood(context="a", continuation=" b")])
    assert answer.error == "the model computes nan instead of a probability"


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("BertForTokenClassification", "cannot continue a text.\nWrite hf-tagger:"),
        ("BertForSequenceClassification", "cannot continue a text.\nWrite hf-classifier:"),
        ("BertForMaskedLM", "cannot continue a text.\nUse a language model"),
    ],
)
def test_other_heads_are_refused_before_loading(
    copy: Path, architecture: str, message: str
) -> None:
    edit_config(copy, architectures=[architecture])
    with pytest.raises(DataError, match=message):
        _ = model_at(copy).info


@pytest.mark.parametrize(
    ("config", "warned"),
    [
        ({"bos_token_id": 5, "eos_token_id": [6, 7]}, True),
        ({"bos_token_id": 5, "eos_token_id": [1, 7]}, False),
        ({"bos_token_id": None, "eos_token_id": 6}, False),
        ({"bos_token_id": 50256, "eos_token_id": 50256}, False),
    ],
)
def test_a_tokenizer_with_other_marks_is_told_of(
    copy: Path, caplog: pytest.LogCaptureFixture, config: dict[str, Any], warned: bool
) -> None:
    edit_config(copy, **config)
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        ask(model_at(copy), [Generate(prompt="a", max_tokens=1)])
    assert ("with ids 0 and 1, its config.json says 5 and 6" in caplog.text) == warned


def test_tokenizer_larger_than_the_model(tmp_path: Path) -> None:
    write_model(tmp_path, "llama", vocab_size=100)
    write_tokenizer(tmp_path)
    with pytest.raises(DataError, match="300 token ids, the model embeds 100"):
        ask(model_at(tmp_path), [Generate(prompt="a", max_tokens=1)])


def test_tokenizer_of_another_model_with_few_tokens(tmp_path: Path) -> None:
    write_model(tmp_path, "llama", vocab_size=700)
    write_tokenizer(tmp_path)
    with pytest.raises(DataError, match="300 token ids, the model embeds 700, most of which"):
        ask(model_at(tmp_path), [Generate(prompt="a", max_tokens=1)])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there(made: Path) -> None:
    with pytest.raises(UsageError, match="device cuda asked for, but torch"):
        _ = model_at(made, device="cuda").info
    with pytest.raises(UsageError, match="cuda:3 asked for, but torch sees 0"):
        _ = model_at(made, device="cuda:3").info


def test_loading_leaves_the_terminal_alone(copy: Path) -> None:
    edit_config(copy, num_hidden_layers=3)
    code = (
        "import harness_hf\n"
        "from harness.types import Generate, ModelSettings\n"
        "from harness.errors import DataError\n"
        f"m = harness_hf.build(ModelSettings(argument={str(copy)!r}, device='cpu'))\n"
        "try:\n    list(m.respond([Generate(prompt='a', max_tokens=2)]))\n"
        "except DataError:\n    pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


# --- answers --------------------------------------------------------------------------------------


def test_stop_strings_cut_where_they_first_occur(made: Path) -> None:
    model = model_at(made)
    requests = [Generate(prompt=p, max_tokens=24) for p in (TEXT, "Once upon", "a")]
    for request in requests:
        (free,) = ask(model, [request])
        assert free.text
        text = free.text
        for begin in range(0, len(text) - 3, 3):
            stop = text[begin : begin + 3]  # most span tokens
            stopped = Generate(prompt=request.prompt, max_tokens=24, stop=("never", stop))
            (answer,) = ask(model, [stopped])
            assert answer.text == text[: text.find(stop)]
            assert not answer.truncated
            assert (answer.tokens or 0) <= (free.tokens or 0)


def test_special_token_as_stop_string(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path)
    with torch.no_grad():  # all tokens equally probable: the first, BOS, is always chosen
        model.lm_head.weight.zero_()
    model.save_pretrained(tmp_path)
    free, stopped = ask(
        model_at(tmp_path),
        [Generate(prompt="a", max_tokens=6), Generate(prompt="a", max_tokens=6, stop=("<s>",))],
    )
    assert (free.text, free.tokens, free.truncated) == ("", 6, True)
    assert (stopped.text, stopped.tokens, stopped.truncated) == ("", 1, False)


def test_a_nameless_special_token_as_stop_string(tmp_path: Path) -> None:
    from tokenizers import AddedToken, Tokenizer

    model = write_checkpoint(tmp_path)
    path = str(tmp_path / "tokenizer.json")
    raw = Tokenizer.from_file(path)
    raw.add_special_tokens([AddedToken("<|end|>", special=True)])
    raw.save(path)
    with torch.no_grad():  # it alone follows any text
        model.lm_head.weight.zero_()
        model.lm_head.weight[raw.token_to_id("<|end|>")] = model.model.norm.weight
        model.model.layers[-1].mlp.down_proj.weight.zero_()
    model.save_pretrained(tmp_path)
    free, stopped = ask(
        model_at(tmp_path),
        [Generate(prompt="a", max_tokens=6, stop=stop) for stop in ((), ("<|end|>", "<|no|>"))],
    )
    assert (stopped.text, stopped.truncated) == ("", False)
    assert (stopped.tokens or 0) < (free.tokens or 0)


def test_truncation_is_marked(made: Path) -> None:
    long = TEXT * 4
    answers = ask(
        model_at(made),
        [
            Generate(prompt=long, max_tokens=8),
            Generate(prompt="a", max_tokens=8),
            Generate(prompt="a", max_tokens=500),
            Loglikelihood(context=long, continuation=" fog"),
            Generate(prompt=long, max_tokens=0),
        ],
    )
    assert [a.prompt_truncated for a in answers] == [True, False, False, True, True]
    assert [a.truncated for a in answers[:2]] == [True, True]
    assert answers[0].prompt_tokens == 64 - 8
    # the last scored token is not read: the rest of the context's room is the prompt's
    assert answers[3].prompt_tokens == 64 + 1 - (answers[3].tokens or 0)
    assert answers[2].tokens is not None and answers[2].tokens < 64


def test_long_texts_are_scored_in_windows(made: Path) -> None:
    model = model_at(made)
    (whole,) = ask(model, [Loglikelihood(context="", continuation=TEXT * 5)])
    ids = model._engine.codec.plain(TEXT * 5)  # type: ignore[attr-defined]
    assert whole.tokens == len(ids) > 2 * 64
    assert not whole.prompt_truncated
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(made)
    expected, done, ids = 0.0, 0, (0, *ids)
    while done < len(ids) - 1:
        scored = min(64, len(ids) - 1 - done)
        end = 1 + done + scored
        window = torch.tensor([ids[max(0, end - 65) : end]])
        with torch.no_grad():
            table = plain(window[:, :-1]).logits[0].double().log_softmax(-1)
        picked = table.gather(1, window[0, 1:, None]).squeeze(1)
        expected += float(picked[-scored:].sum())
        done += scored
    assert whole.logprob == pytest.approx(expected, abs=1e-3)


def test_greedy_says_whether_the_model_would_write_it(made: Path) -> None:
    (said,) = ask(model_at(made), [Generate(prompt=TEXT, max_tokens=1)])
    assert said.text
    right, wrong = ask(
        model_at(made),
        [
            Loglikelihood(context=TEXT, continuation=said.text),
            Loglikelihood(context=TEXT, continuation="~" if said.text != "~" else "#"),
        ],
    )
    assert (right.greedy, wrong.greedy) == (True, False)


def test_empty_texts(made: Path) -> None:
    empty, scored = ask(
        model_at(made),
        [Generate(prompt="", max_tokens=3), Loglikelihood(context="a", continuation="")],
    )
    assert empty.error is None and empty.prompt_tokens == 1
    assert (scored.logprob, scored.greedy, scored.tokens) == (0.0, True, 0)


def test_a_continuation_of_no_tokens_has_no_probability(tmp_path: Path) -> None:
    write_model(tmp_path, "llama")
    write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": " 東"}, "content": ""}
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    lost, kept = ask(
        model_at(tmp_path),
        [Loglikelihood(context="a", continuation=end) for end in (" 東", " fog")],
    )
    assert lost.error is not None and "no token of the continuation" in lost.error
    assert kept.error is None


def test_a_vocabulary_of_one_token(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    write_model(tmp_path, "llama", vocab_size=1, eos_token_id=None, pad_token_id=None)
    raw = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=raw).save_pretrained(tmp_path)
    written, scored = ask(
        model_at(tmp_path),
        [Generate(prompt="a", max_tokens=3), Loglikelihood(context="a", continuation=" b")],
    )
    assert (written.tokens, scored.logprob) == (3, 0.0)


def test_tokenizer_without_bos_and_eos(tmp_path: Path) -> None:
    write_model(tmp_path, "llama")
    write_tokenizer(tmp_path, "bare")
    bad, good = ask(
        model_at(tmp_path),
        [Generate(prompt="", max_tokens=3), Generate(prompt="a", max_tokens=3)],
    )
    assert bad.error is not None and "no BOS or EOS" in bad.error
    assert good.error is None


def test_tag_requests_are_answered_with_an_error(made: Path) -> None:
    (answer,) = ask(model_at(made), [Tag(tokens=("a",))])
    assert answer.error is not None and "tag" in answer.error


def watch(model: Any, see: Callable[[int], None]) -> None:
    """Call ``see`` with the number of rows before each forward pass of ``model``."""
    network = model._engine.network

    def wrap(forward: Any) -> Any:
        def watched(ids: Any, *arguments: Any, **keywords: Any) -> Any:
            see(len(ids))
            return forward(ids, *arguments, **keywords)

        return watched

    for name in {"trunk", "step", "branch", "together"} & set(dir(network)):
        setattr(network, name, wrap(getattr(network, name)))


def refuse_more_than(most: int) -> Callable[[int], None]:
    def see(rows: int) -> None:
        if rows > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")

    return see


def test_equal_requests_are_computed_once(made: Path) -> None:
    model = model_at(made)
    request = Loglikelihood(context=TEXT, continuation=" fog")
    rows: list[int] = []
    watch(model, rows.append)
    answers = ask(model, [request] * 5)
    assert len(set(answers)) == 1
    assert rows == [1]


@pytest.mark.parametrize(("held", "most"), [(1, 3), (6, 6), (1000, 12)])
def test_no_more_texts_are_continued_on_a_cpu_than_pay(
    made: Path, monkeypatch: pytest.MonkeyPatch, held: int, most: int
) -> None:
    """Twelve of 9 to 20 tokens, where keys and values of ``held`` such ones are to be held."""
    prompts = ["a" * n for n in range(1, 13)]
    expected = ask(model_at(made), [Generate(prompt=p, max_tokens=8) for p in prompts])
    costs = Costs.of(AutoConfig.from_pretrained(made), size=4, chunked=True)
    assert costs is not None
    longest = max(len(tokenizer_at(made)(p).input_ids) for p in prompts) + 8
    monkeypatch.setattr(budget, "CPU_HELD", held * longest * costs.kept)
    monkeypatch.setattr(budget.Costs, "of", lambda *_, **__: replace(costs, matrices=0))
    monkeypatch.setattr(generation, "PAYING_ROWS", 3)
    model = model_at(made)
    rows: list[int] = []
    watch(model, rows.append)
    assert ask(model, [Generate(prompt=p, max_tokens=8) for p in prompts]) == expected
    assert max(rows) == most


def test_answers_are_streamed(made: Path) -> None:
    model = model_at(made, 1)
    requests = [Generate(prompt="a" * n, max_tokens=2) for n in range(1, 6)]
    rows: list[int] = []
    watch(model, rows.append)
    next(iter(model.respond(requests)))
    assert len(rows) <= 3


# --- memory ---------------------------------------------------------------------------------------


def test_out_of_memory_halves_the_batch_and_goes_on(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    requests = [Generate(prompt=TEXT[:n], max_tokens=6) for n in range(10, 26)]
    requests += [Loglikelihood(context=TEXT[:n], continuation=" fog") for n in range(10, 26)]
    expected = ask(model_at(made), requests)
    model = model_at(made)
    watch(model, refuse_more_than(3))
    with caplog.at_level(logging.WARNING, logger="harness.hf"):
        answers = ask(model, requests)
    assert "going on with" in caplog.text
    assert [a.text for a in answers] == [a.text for a in expected]
    assert [a.logprob for a in answers if a.text is None] == pytest.approx(
        [a.logprob for a in expected if a.text is None], abs=1e-4
    )


def test_a_row_that_never_fits_fails_alone(made: Path) -> None:
    model = model_at(made)
    watch(model, refuse_more_than(0))
    answers = ask(
        model, [Generate(prompt="a", max_tokens=2), Loglikelihood(context="a", continuation="b")]
    )
    assert all(a.error is not None and "out of memory" in a.error for a in answers)


def test_loading_is_timed_and_a_closed_model_answers_again(made: Path) -> None:
    model = model_at(made)
    assert model.usage.load_seconds is None
    before = ask(model, [Generate(prompt="a", max_tokens=3)])
    assert model.usage.load_seconds > 0
    assert model.usage.peak_device_bytes is None
    assert model.usage.device == "cpu"
    model.close()
    model.close()
    assert ask(model, [Generate(prompt="a", max_tokens=3)]) == before


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_looked_for_while_a_model_loads(
    made: Path, monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    seen: list[bool] = []
    loading = Spending.loading

    @contextmanager
    def watched(self: Spending) -> Iterator[None]:
        with loading(self):
            yield
            seen.append(gc.isenabled())

    monkeypatch.setattr(Spending, "loading", watched)
    model = model_at(made)
    if not enabled:
        gc.disable()
    try:
        ask(model, [Generate(prompt="a", max_tokens=1)])
        assert seen == [False]
        assert gc.isenabled() is enabled  # as the caller had it
    finally:
        gc.enable()


def test_a_small_model_takes_one_thread_and_gives_the_others_back(made: Path) -> None:
    import torch

    model = model_at(made)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        answers = model.respond([Generate(prompt="a", max_tokens=3)])
        next(answers)
        assert torch.get_num_threads() == 1
        assert list(answers) == []
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
