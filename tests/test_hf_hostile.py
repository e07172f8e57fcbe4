"""Broken checkpoints end in a line or two that name the culprit, whatever is broken."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from hf_tiny import write_checkpoint, write_head, write_seq2seq  # noqa: E402
from test_hf_heads import model_of  # noqa: E402
from test_hf_models import ask  # noqa: E402

from harness.errors import DataError, HarnessError, UsageError  # noqa: E402
from harness.types import Classify, Generate, Loglikelihood, Tag  # noqa: E402

LABELS = ("negative", "positive")
REQUESTS: dict[str, Any] = {
    "hf": Generate(prompt="Once", max_tokens=2),
    "hf-tagger": Tag(tokens=("Once", "upon")),
    "hf-classifier": Classify(texts=("Once",), labels=tuple((name,) for name in LABELS)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_checkpoint(folder / "hf", "llama")
    write_head(folder / "hf-tagger", "bert", "TokenClassification", ("O", "B-PER"))
    write_head(folder / "hf-classifier", "bert", "SequenceClassification", LABELS)
    return folder


def config(**settings: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        stored = json.loads(path.read_text(encoding="utf-8")) | settings
        path.write_text(json.dumps(stored), encoding="utf-8")

    return change


def put(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8") and None


def in_shards(placed: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "one.safetensors")
        put("model.safetensors.index.json", json.dumps({"weight_map": placed}))(folder)

    return change


EVERY = tuple(REQUESTS)
BROKEN: list[tuple[str, tuple[str, ...], Callable[[Path], None], str]] = [
    ("no json", EVERY, put("config.json", "{nope"), "config.json: cannot be read as JSON"),
    ("a list", EVERY, put("config.json", "[1]"), "config.json: holds a JSON list"),
    ("a kind", EVERY, config(model_type=[1]), r"says model_type=\[1\], which names no"),
    ("layers", EVERY, config(num_hidden_layers=10**9), "says 1,000,000,000 layers, the weight"),
    ("text", EVERY, config(max_position_embeddings="many"), "max_position_embeddings=many: that"),
    ("less", EVERY, config(max_position_embeddings=-5), "says max_position_embeddings=-5: that is"),
    ("a word", EVERY[1:], config(hidden_size="x"), "config.json cannot be loaded: .*'hidden_size'"),
    ("labels", EVERY[1:], config(id2label={"x": "a", "y": "b"}), "cannot be loaded|no numbers"),
    ("no tokens", EVERY, put("tokenizer.json", ""), "tokenizer.json: cannot be read as JSON"),
    ("listed", EVERY, put("tokenizer_config.json", "[]"), "tokenizer_config.json: holds a JSON"),
    ("pointer", EVERY, put("model.safetensors", "version https://git-lfs"), "pointer of Git LFS"),
    (
        "shards",
        EVERY,
        in_shards({"a": "one.safetensors", "b": "two"}),
        "1 of 2 weight .* first two",
    ),
    ("numbers", EVERY, in_shards({"a": 1}), "weight_map names files that are no texts"),
    ("no end", ("hf",), put("generation_config.json", '{"eos_token_id": "x"}'), "'x', no token id"),
    (
        "behind",
        ("hf-tagger",),
        config(model_type="roberta", pad_token_id=100),
        "max_position_embeddings=64 and pad_token_id=100: that is no number of tokens",
    ),
]


@pytest.mark.parametrize(
    ("scheme", "broken", "words"),
    [
        pytest.param(scheme, change, words, id=f"{name}-{scheme}")
        for name, schemes, change, words in BROKEN
        for scheme in schemes
    ],
)
def test_what_is_broken_is_named(
    made: Path, tmp_path: Path, scheme: str, broken: Callable[[Path], None], words: str
) -> None:
    folder = Path(shutil.copytree(made / scheme, tmp_path / "copy"))
    broken(folder)
    with pytest.raises(DataError, match=words) as error:
        model = model_of(scheme, folder)
        _ = model.info
        ask(model, [REQUESTS[scheme]])
    assert len(str(error.value).splitlines()) <= 3
    assert str(folder) in str(error.value)


def test_a_file_that_may_not_be_read_is_named(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(made / "hf", tmp_path / "copy"))
    opened = Path.open

    def refused(self: Path, *arguments: Any, **keywords: Any) -> Any:
        if self.name == "model.safetensors":  # the tests may run as root, who may read all
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(DataError, match=r"model.safetensors cannot be read: Permission denied"):
        _ = model_of("hf", folder).info


@pytest.mark.parametrize("scheme", EVERY[1:])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"max_length": "1"}, "max_length=1 is not a whole number"),
        ({"trust_remote_code": "maybe"}, "trust_remote_code=maybe is neither"),
        ({"revision": "main"}, "is a folder: revision=main chooses"),
        ({"max_length": "9999"}, "max_length=9,999 is more than"),
        ({"device": "cuda:77"}, "cuda:77 asked for"),
    ],
)
def test_complaints_name_the_scheme_that_was_typed(
    made: Path, scheme: str, options: dict[str, str], words: str
) -> None:
    with pytest.raises(HarnessError, match=f"^{scheme}: .*{re.escape(words)}"):
        ask(model_of(scheme, made / scheme, **options), [REQUESTS[scheme]])
    with pytest.raises(HarnessError, match=f"^{scheme}: .* does not exist"):
        _ = model_of(scheme, made / "nowhere").info


@pytest.mark.parametrize("scheme", EVERY[1:])
def test_a_context_that_holds_no_text_is_refused(made: Path, scheme: str) -> None:
    """BERT's tokenizer puts two tokens around a text."""
    for length in ("2", "3"):
        model = model_of(scheme, made / scheme, max_length=length)
        if length == "2":
            with pytest.raises(UsageError, match=f"^{scheme}: .*2 tokens hold no text beside the"):
                ask(model, [REQUESTS[scheme]])
        else:
            (answer,) = ask(model, [REQUESTS[scheme]])
            assert answer.error is None
            assert all(len(read.ids) == 3 for read in model.tokens(REQUESTS[scheme]))


@pytest.mark.parametrize("scheme", EVERY)
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_weights_that_are_no_numbers_give_no_answer(
    made: Path, tmp_path: Path, scheme: str, number: str
) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(made / scheme, tmp_path / "copy"))
    file = folder / "model.safetensors"
    weights = {name: weight.fill_(float(number)) for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    request = REQUESTS[scheme]
    if scheme == "hf":
        request = Loglikelihood(context="Once", continuation=" upon")
    (answer,) = ask(model_of(scheme, folder), [request])
    assert answer.error is not None and "the model computes" in answer.error


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_no_text_is_written_by_what_are_no_numbers(tmp_path: Path, kind: str) -> None:
    from safetensors.torch import load_file, save_file

    (write_seq2seq if kind == "t5" else write_checkpoint)(tmp_path, kind)
    file = tmp_path / "model.safetensors"
    weights = {name: weight.fill_(float("nan")) for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    model = model_of("hf", tmp_path)
    for _ in range(2):
        with pytest.raises(DataError, match="computes NaN instead of logits: its weights are"):
            ask(model, [REQUESTS["hf"]])


BROKEN_AT = {"bart": "model.encoder.embed_positions.weight"}
"""Where one row of a kind's weights is broken, if not where a token is embedded."""


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("llama", {}), ("llama", {"attn": "sdpa"}), ("gpt2_untied", {}), ("bloom", {}), ("bart", {})],
)
def test_a_text_that_leads_to_no_numbers_has_no_answer(
    tmp_path: Path, kind: str, options: dict[str, str], temperature: float
) -> None:
    """One row of the embeddings is NaN, as after a training that went wrong: texts that meet it
    come to nothing, the others are as without it."""
    from safetensors.torch import load_file, save_file

    extra = {"tie_word_embeddings": False} if kind == "bloom" else {}
    if kind == "bart":
        write_seq2seq(tmp_path, kind)
    else:
        write_checkpoint(tmp_path, kind, **extra)
    short, long = "The", "The keeper of the lighthouse wrote: 'No ship today, only fog' - Q"
    draw = {"temperature": temperature, "seed": 5} if temperature else {}
    asked: list[Any] = [Generate(prompt=p, max_tokens=4, **draw) for p in (short, long, "The sea")]
    asked += [Loglikelihood(context=p, continuation=" sea") for p in (short, long)]
    whole = ask(model_of("hf", tmp_path, **options), asked)
    assert all(answer.error is None for answer in whole)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    words = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")
    name = BROKEN_AT.get(kind) or next(n for n in weights if n.endswith(words))
    last = model_of("hf", tmp_path).tokens(asked[1])[0].ids[-1]
    weights[name][26 if kind == "bart" else last] = torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    # BART's encoder reads padding at all positions, also at the broken one
    found = ask(model_of("hf", tmp_path, 1 if kind == "bart" else None, **options), asked)
    assert [answer.error is None for answer in found] == [True, False, True, True, False]
    assert found[1].error == "the model computes logits that are no finite numbers"
    assert [found[n].text for n in (0, 2)] == [whole[n].text for n in (0, 2)]


def test_tokens_are_computed_ahead_from_no_token_that_is_none() -> None:
    """A GPU computes several before they are looked at, and would fail at a token that is none."""
    from harness_hf.generation import next_few
    from harness_hf.logits import NO_TOKEN, Logits
    from harness_hf.rows import Job, Row
    from harness_hf.tokens import Prompt, Stops

    read: list[list[int]] = []

    def step(ids: torch.Tensor) -> Logits:
        read.append(ids[:, -1].tolist())
        table = torch.eye(4)[[1, 2]]
        table[1] = torch.nan if len(read) == 2 else table[1]
        return Logits(rows=table)

    job = Job(prompt=Prompt(ids=(0,)), most=9, stops=Stops(strings=()), ends=frozenset())
    rows = [Row(number=n, job=job) for n in range(2)]
    chosen = next_few(step, torch.zeros((2, 1), dtype=torch.long), rows, look=3)
    assert chosen == [[1, 1, 1], [2, NO_TOKEN, 2]]
    assert read == [[0, 0], [1, 2], [1, 0]]


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_no_number_is_never_the_most_probable(broken: float) -> None:
    from harness_hf.logits import NO_TOKEN, most_probable

    table = torch.tensor([[0.0, 2.0, 1.0], [0.0, broken, 1.0], [-torch.inf, 0.0, -torch.inf]])
    assert most_probable(table).tolist() == [1, NO_TOKEN, 1]
    assert most_probable(torch.full((1, 3), -torch.inf)).tolist() == [NO_TOKEN]
