"""Encoder-decoder checkpoints against transformers' own generation and full logits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from hf_tiny import write_seq2seq  # noqa: E402
from test_hf_models import ask, model_at, tokenizer_at  # noqa: E402

import harness_hf.generation  # noqa: E402
import harness_hf.seq2seq  # noqa: E402
from harness.errors import DataError  # noqa: E402
from harness.types import Generate, Loglikelihood  # noqa: E402
from harness_hf.sources import SourceSlots  # noqa: E402

PROMPTS = (
    "Once upon",
    "The keeper of the lighthouse wrote: 'No ship today",
    "a",
    "café, 東京 and emoji 🙂 stand",
    "Ben who loved the sea",
)
PAIRS = (
    ("Once upon a time", " there was a boy"),
    ("Once upon a time", " there was a ship"),
    ("Once upon a time ", "was"),
    ("", "The keeper of the lighthouse"),
    ("Once upon a time", ""),
    ("a", "b"),
)
JOINING = ["t5", "t5_tied", "bart", "bart_forced", "marian", "switch_transformers"]
JOINING += ["m2m_100", "pegasus"]
APART = ["led", "fsmt", "prophetnet"]
"""Whose rows begin together: without a mask of the decoder, or without a cache that works."""
KINDS = [*JOINING, *APART]


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    return folder, write_seq2seq(folder, request.param)


def expected_logprob(plain: Any, source: Sequence[int], before: list[int], rest: list[int]) -> Any:
    if not rest:
        return 0.0
    ids = torch.tensor([before + rest])
    with torch.no_grad():
        output = plain(  # FSMT looks ahead where it keeps a cache
            input_ids=torch.tensor([source]), decoder_input_ids=ids[:, :-1], use_cache=False
        )
    table = output.logits[0].double().log_softmax(-1)
    return float(sum(table[len(before) - 1 + n, token] for n, token in enumerate(rest)))


def written(plain: Any, ids: Any, most: int) -> Any:
    """What ``generate`` writes; ProphetNet's goes wrong with a cache."""
    cached = plain.config.model_type != "prophetnet"
    with torch.no_grad():
        return plain.generate(
            ids, max_new_tokens=most, do_sample=False, num_beams=1, use_cache=cached
        )[0]


def first_tokens(plain: Any) -> list[int]:
    forced = plain.generation_config.forced_bos_token_id
    return [plain.config.decoder_start_token_id] + ([] if forced is None else [forced])


def test_generation_equals_transformers_one_by_one(
    checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = checkpoint
    tokenizer = tokenizer_at(folder)
    requests = [Generate(prompt=p, max_tokens=7 + n) for n, p in enumerate(PROMPTS)]
    expected = []
    for request in requests:
        ids = tokenizer(request.prompt, return_tensors="pt").input_ids
        size = request.max_tokens + (plain.generation_config.forced_bos_token_id is not None)
        found = written(plain, ids, size)
        expected.append(tokenizer.decode(found[1:], skip_special_tokens=True))
    assert len(set(expected)) > 2
    for batch_size, look in ((1, 1), (2, 1), (None, 1), (2, 3), (None, 8)):
        model: Any = model_at(folder, batch_size)
        monkeypatch.setattr(harness_hf.generation, "look_on", lambda _, look=look: look)
        assert [a.text for a in ask(model, requests)] == expected


def test_waiting_rows_join_those_that_go_on(
    checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = checkpoint
    kind = plain.config.model_type
    begun: list[tuple[int, int]] = []
    append = SourceSlots.append

    def watched(self: Any, other: Any, *, room: int = 0) -> None:
        begun.append((self.length, other.length))
        append(self, other, room=room)

    model: Any = model_at(folder, 2)
    admits = model._engine.reader.admits
    monkeypatch.setattr(SourceSlots, "append", watched)
    ask(model, [Generate(prompt=p, max_tokens=3 + 2 * n) for n, p in enumerate(PROMPTS)])
    farther = [pair for pair in begun if pair[0] > pair[1]]
    assert bool(farther) is admits is (kind not in APART)


@pytest.mark.parametrize("place", ["SourceSlots.append", "EncoderDecoder.step"])
def test_without_memory_rows_are_read_again_up_to_where_they_were(
    place: str, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = checkpoint
    requests = [Generate(prompt=p, max_tokens=5 + 2 * n) for n, p in enumerate(PROMPTS)]
    expected = ask(model_at(folder), requests)
    model: Any = model_at(folder, 3)
    _ = model._engine.reader
    owner, name = place.split(".")
    kind = getattr(harness_hf.seq2seq, owner)
    plain, left = getattr(kind, name), [3]

    def tight(*arguments: Any, **by: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(*arguments, **by)

    monkeypatch.setattr(kind, name, tight)
    assert ask(model, requests) == expected


def test_more_is_written_than_a_table_of_positions_holds(tmp_path: Path) -> None:
    plain = write_seq2seq(tmp_path, "bart")
    requests = [
        Generate(prompt=f"{prompt}{n}", max_tokens=9 + 7 * n)
        for n in range(6)
        for prompt in PROMPTS[:3]
    ]
    model = model_at(tmp_path, 2)
    lengths = []
    network = model._engine.network
    step = network.step

    def watched(ids: Any, slots: Any) -> Any:
        found = step(ids, slots)
        lengths.append(slots.length)
        return found

    network.step = watched
    assert ask(model, requests) == ask(model_at(tmp_path, 1), requests)
    assert max(lengths) == plain.config.max_position_embeddings


def test_a_padding_token_has_no_position_where_the_decoder_gives_it_none(tmp_path: Path) -> None:
    write_seq2seq(tmp_path, "m2m_100")
    model: Any = model_at(tmp_path)
    assert model._engine.reader.admits
    network, padding = model._engine.network, 2
    with torch.inference_mode():
        _, slots = network.begin(network.encode([(5, 6, 7)]), [(1, 8, 9)])
        _, others = network.begin(network.encode([(5, 9)]), [(1,)])
        slots.append(others)
        found = network.step(torch.tensor([[padding], [padding]]), slots).table()
        for row, source, text in ((0, (5, 6, 7), (1, 8, 9)), (1, (5, 9), (1,))):
            alone = network.whole(network.encode([source]), [(*text, padding)]).table()
            assert found[row].tolist() == pytest.approx(alone[0].tolist(), abs=1e-4)


def test_loglikelihood_equals_transformers_one_by_one(checkpoint: Any) -> None:
    folder, plain = checkpoint
    tokenizer = tokenizer_at(folder)
    expected = []
    for context, continuation in PAIRS:
        kept = context.rstrip()
        source = tokenizer(kept).input_ids
        rest = tokenizer(context[len(kept) :] + continuation, add_special_tokens=False).input_ids
        expected.append(expected_logprob(plain, source, first_tokens(plain), rest))
    requests = [Loglikelihood(context=c, continuation=t) for c, t in PAIRS]
    for batch_size in (1, 2, None):
        answers = ask(model_at(folder, batch_size), requests)
        assert [a.logprob for a in answers] == pytest.approx(expected, abs=1e-4)


def test_each_prompt_is_encoded_once(checkpoint: Any) -> None:
    folder, _ = checkpoint
    model: Any = model_at(folder)
    network = model._engine.network
    encode, texts = network.encode, []

    def watched(asked: Any) -> Any:
        texts.extend(asked)
        return encode(asked)

    network.encode = watched
    ask(model, [Loglikelihood(context="Once", continuation=t) for t in (" a", " b", " c")])
    assert len(texts) == (3 if network.alone else 1)


def test_parameters_equal_the_loaded_model(checkpoint: Any) -> None:
    folder, plain = checkpoint
    counts = model_at(folder).info.parameters
    # Marian's places are sines: parameters to transformers, though neither learnt nor stored
    if plain.config.model_type == "marian":
        return
    assert counts.total == sum(p.numel() for p in plain.parameters())
    tables = {id(m.weight): m.weight for m in plain.modules() if isinstance(m, torch.nn.Embedding)}
    head = plain.get_output_embeddings().weight
    tables[id(head)] = head
    relative = [
        m.weight
        for name, m in plain.named_modules()
        if name.endswith(("relative_attention_bias", "ngram_embeddings"))
    ]
    for weight in relative:  # learnt, but no embedding of tokens or places
        del tables[id(weight)]
    assert counts.non_embedding == counts.total - sum(w.numel() for w in tables.values())


def test_long_prompts_and_texts(tmp_path: Path) -> None:
    write_seq2seq(tmp_path, "bart")
    model: Any = model_at(tmp_path)
    long = PROMPTS[1] * 4
    cut, free, windowed = ask(
        model,
        [
            Generate(prompt=long, max_tokens=4),
            Generate(prompt="a", max_tokens=500),
            Loglikelihood(context="a", continuation=long),
        ],
    )
    assert (cut.prompt_truncated, cut.prompt_tokens) == (True, 64)
    assert not free.prompt_truncated and (free.tokens or 0) < 64
    assert windowed.tokens is not None and windowed.tokens > 64
    (encoder, decoder) = model.tokens(Generate(prompt=long, max_tokens=4))
    assert (encoder.role, decoder.role, len(encoder.ids)) == ("encoder", "decoder", 64)
    assert encoder.pieces[-1] == "</s>" and encoder.cut > 0


def test_a_long_text_is_scored_in_passes_within_the_budget(tmp_path: Path) -> None:
    write_seq2seq(tmp_path, "bart")
    requests = [
        Loglikelihood(context="", continuation=PROMPTS[1] * 24),
        Loglikelihood(context="", continuation="a boat"),
        Loglikelihood(context="a", continuation="b"),
    ]
    model: Any = model_at(tmp_path)
    whole = ask(model, requests)
    tables: list[tuple[int, int]] = []
    network = model._engine.network
    forward = network.model.forward

    def watched(**inputs: Any) -> Any:
        found = forward(**inputs)
        tables.append((inputs["decoder_input_ids"].numel(), found.logits.shape[:-1].numel()))
        return found

    network.model.forward = watched
    model._engine.budget = replace(model._engine.budget, tokens=200)
    answers = ask(model, requests)
    assert [a.logprob for a in answers] == pytest.approx([a.logprob for a in whole], rel=1e-6)
    assert [a.tokens for a in answers] == [a.tokens for a in whole]
    assert len(tables) > 3 and max(read for read, _ in tables) <= 200
    # of no token but the scored ones are there logits
    assert sum(logits for _, logits in tables) == sum(a.tokens or 0 for a in answers)


def test_stop_strings_and_memory(tmp_path: Path) -> None:
    write_seq2seq(tmp_path, "t5")
    model: Any = model_at(tmp_path)
    requests = [Generate(prompt=p, max_tokens=12) for p in PROMPTS]
    free = [answer.text or "" for answer in ask(model, requests)]
    stopped = [
        Generate(prompt=p, max_tokens=12, stop=(text[3:5],))
        for p, text in zip(PROMPTS, free, strict=True)
    ]
    for answer, text in zip(ask(model, stopped), free, strict=True):
        assert answer.text == text[: text.find(text[3:5])]
    network = model._engine.network
    encode = network.encode

    def refuse(texts: Any) -> Any:
        if len(texts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encode(texts)

    network.encode = refuse
    assert [answer.text for answer in ask(model, requests)] == free


def test_choices_that_do_not_fit_together_are_read_one_by_one(tmp_path: Path) -> None:
    write_seq2seq(tmp_path, "t5")
    requests = [Loglikelihood(context="Once upon", continuation=t) for t in (" a", " b", " fog c")]
    expected = ask(model_at(tmp_path), requests)
    model: Any = model_at(tmp_path)
    network = model._engine.network
    read = network.read

    def refuse(source: Any, texts: Any, index: Any) -> Any:
        if len(texts) > 1 or len(texts[0]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return read(source, texts, index)

    network.read = refuse
    *short, long = ask(model, requests)
    assert [a.logprob for a in short] == pytest.approx([a.logprob for a in expected[:2]], abs=1e-4)
    assert long.error == "out of memory even for this request alone"


def test_a_decoder_without_a_first_token_is_named(tmp_path: Path) -> None:
    write_seq2seq(tmp_path, "t5")
    for name in ("config.json", "generation_config.json"):
        stored = json.loads((tmp_path / name).read_text(encoding="utf-8"))
        stored.pop("decoder_start_token_id", None)
        (tmp_path / name).write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(DataError, match="with which token its decoder begins"):
        ask(model_at(tmp_path), [Generate(prompt="a", max_tokens=1)])


def test_what_surrounds_a_text_is_there_once_whoever_puts_it(tmp_path: Path) -> None:
    # BART's tokenizer writes <s> and </s>; a chat template may write them, too.
    from tokenizers import Tokenizer, processors

    write_seq2seq(tmp_path, "bart")
    raw = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    raw.save(str(tmp_path / "tokenizer.json"))
    template = tmp_path / "chat.jinja"
    for text in ("{{ messages[0].content }}", "<s>{{ messages[0].content }}</s>"):
        template.write_text(text)
        options: tuple[dict[str, str], ...] = ({}, {"chat_template": str(template)})
        for chosen in options:
            encoder, _ = model_at(tmp_path, **chosen).tokens(Generate(prompt="Once upon"))
            assert (encoder.ids.count(0), encoder.ids.count(1)) == (1, 1)
            assert (encoder.ids[0], encoder.ids[-1]) == (0, 1)
