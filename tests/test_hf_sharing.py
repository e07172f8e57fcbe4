"""Common beginnings computed once: the plan, and that answers stay the same."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from hf_tiny import write_checkpoint  # noqa: E402
from test_hf_models import ask, generated, logprob, model_at, tokenizer_at  # noqa: E402

from harness.types import Generate, Loglikelihood  # noqa: E402
from harness_hf.attention import BLOCK  # noqa: E402
from harness_hf.lean import LeanNetwork  # noqa: E402
from harness_hf.modules import ModuleNetwork  # noqa: E402
from harness_hf.scoring import Scorer  # noqa: E402
from harness_hf.sharing import (  # noqa: E402
    LEAST_HEADER,
    LEAST_TRUNK,
    MOST_BRANCH_TOKENS,
    bundles,
    clusters,
    common,
)
from harness_hf.taken import take_apart  # noqa: E402
from harness_hf.tokens import Window  # noqa: E402

IDS = st.lists(st.integers(0, 2), min_size=2, max_size=60).map(tuple)


@given(one=IDS, other=IDS)
def test_common_is_the_longest_equal_beginning(one: Any, other: Any) -> None:
    length = common(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]
    assert common(one, other, start=length) == length


def grown(seed: int, count: int) -> list[tuple[int, ...]]:
    """Texts that branch off from each other at random places."""
    draw = random.Random(seed)
    texts: list[tuple[int, ...]] = [tuple(draw.randrange(9) for _ in range(40))]
    while len(texts) < count:
        old = draw.choice(texts)
        kept = old[: draw.randrange(len(old) + 1)]
        texts.append(kept + tuple(draw.randrange(9) for _ in range(draw.randint(2, 30))))
    return texts


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 40))
def test_plan_places_every_text_once_and_truly(seed: int, count: int) -> None:
    texts = grown(seed, count)
    limits = [max(0, len(t) - 2) for t in texts]
    found = clusters(texts, limits=limits, worth=lambda c: len(c.members) > 2)
    assert sorted(m for c in found for m in c.members) == list(range(count))
    for cluster in found:
        size = len(cluster.header)
        assert size == 0 or size >= LEAST_HEADER
        for member in cluster.members:
            assert texts[member][:size] == cluster.header
            assert size <= limits[member]
        rows = bundles(texts, cluster.members, header=size)
        assert sorted(m for b in rows for m in b.members) == sorted(cluster.members)
        for bundle in rows:
            first = texts[bundle.members[0]]
            if len(bundle.members) > 1:
                assert bundle.trunk - size >= LEAST_TRUNK
            for member in bundle.members:
                assert texts[member][: bundle.trunk] == first[: bundle.trunk]
                assert size < bundle.trunk + (len(bundle.members) == 1) <= len(texts[member])


@pytest.mark.parametrize("name", ["embeddings.token_type_ids", "embeddings.position_ids"])
def test_no_texts_share_a_row_where_a_table_bounds_its_width(name: str) -> None:
    model = SimpleNamespace(
        forward=lambda input_ids, position_ids, cache: None,
        get_output_embeddings=lambda: None,
        named_buffers=lambda: [(name, None)],
    )
    assert ModuleNetwork(model, torch.device("cpu")).shares == (not name.endswith("type_ids"))


def test_very_many_choices_become_several_rows_of_bounded_width() -> None:
    context = tuple(range(100))
    texts = [(*context, *(number + 1000 * place for place in range(20))) for number in range(90)]
    rows = bundles(texts, range(90), header=0)
    branches = [sum(len(texts[m]) - row.trunk for m in row.members) for row in rows]
    assert 2 < len(rows) < 9 and max(branches) <= MOST_BRANCH_TOKENS


def test_choices_of_a_question_become_one_row() -> None:
    context = tuple(range(50))
    texts = [(*context, 90 + n, 7, 8) for n in range(4)]
    (bundle,) = bundles(texts, range(4), header=0)
    assert bundle.trunk == 50


# --- answers --------------------------------------------------------------------------------------

HEADER = "Once upon a time there was a keeper of the lighthouse; fog. "  # some 24 tokens
KINDS = ("llama", "gpt_neox", "gpt2", "opt", "gemma", "bloom", "mistral_window")
"""Two that are run lean, three by their modules with all sharing, two with none."""
CONTEXTS = ("The sea", "Ben wrote a ship today only", "naïve café and emoji 🙂")
ENDINGS = (" of fog", " slept", " the little boy who loved the sea", ".")


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    longer = {"n_positions": 128} if request.param == "gpt2" else {"max_position_embeddings": 128}
    return folder, write_checkpoint(folder, request.param, **longer)


def test_choices_behind_a_header_equal_single_passes(checkpoint: Any) -> None:
    folder, plain = checkpoint
    tokenizer = tokenizer_at(folder)
    pairs = [(h + c, e) for h in (HEADER * 2, "") for c in CONTEXTS for e in ENDINGS]
    expected = []
    for context, ending in pairs:
        before = tokenizer(context).input_ids
        whole = tokenizer(context + ending).input_ids
        expected.append(logprob(plain, before, whole[len(before) :]))
    requests = [Loglikelihood(context=c, continuation=e) for c, e in pairs]
    for batch_size in (3, None):
        answers = ask(model_at(folder, batch_size), requests)
        assert [a.logprob for a in answers] == pytest.approx(expected, abs=1e-4)
    shuffled = list(range(len(requests)))
    random.Random(1).shuffle(shuffled)
    answers = ask(model_at(folder), [requests[n] for n in shuffled])
    again = [answers[shuffled.index(n)].logprob for n in range(len(requests))]
    assert again == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("known", [0, 30])
def test_rows_in_one_pass_equal_those_in_two(
    architecture: str, known: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trunks and branches of very different lengths, scored from before they part or behind it."""
    longer = {"n_positions": 512} if architecture == "gpt2" else {"max_position_embeddings": 512}
    write_checkpoint(tmp_path, architecture, **longer)
    network = model_at(tmp_path)._engine.network  # type: ignore[attr-defined]
    draw = random.Random(known)
    header = tuple(draw.randrange(20) for _ in range(known))
    windows = []
    for trunk, branches in ((9, 2), (3 * BLOCK + 8, 4), (70, 12), (40, 1)):
        context = header + tuple(draw.randrange(20) for _ in range(trunk))
        for number in range(branches):
            ids = (*context, 20 + number, *(draw.randrange(20) for _ in range(draw.randint(0, 9))))
            scored = draw.randint(1, len(ids) - len(context) + 5)
            windows.append(Window(ids=ids, scored=scored))
    rows: list[int] = []
    together = LeanNetwork.together

    def watched(self: Any, ids: Any, *given: Any, **by: Any) -> Any:
        rows.append(len(ids))
        return together(self, ids, *given, **by)

    monkeypatch.setattr(LeanNetwork, "together", watched)

    def scored() -> list[Any]:
        found = dict(Scorer(network, rows=None, tokens=400).run([[w] for w in windows]))
        return [found[number] for number in range(len(windows))]

    once = scored()
    assert rows
    monkeypatch.setattr(LeanNetwork, "joins", False)
    twice = scored()
    assert [s.logprob for s in once] == pytest.approx([s.logprob for s in twice], abs=1e-4)
    assert [s.greedy for s in once] == [s.greedy for s in twice]
    with torch.inference_mode():
        for window, found in zip(windows, once, strict=True):
            ids = torch.tensor([window.ids[:-1]])
            table = network.trunk(ids, torch.arange(ids.shape[1]), header=None, keep=False)[0]
            own = table.table().log_softmax(-1)[-window.scored :]
            wanted = own.gather(1, torch.tensor(window.ids[-window.scored :])[:, None]).sum()
            assert found.logprob == pytest.approx(float(wanted), abs=1e-4)


def test_generation_behind_a_header_equals_single_prompts(checkpoint: Any) -> None:
    folder, plain = checkpoint
    tokenizer = tokenizer_at(folder)
    draw = random.Random(0)
    words = " ".join(CONTEXTS).split()
    prompts = [HEADER * (n % 3) + " ".join(draw.sample(words, n % 5 + 1)) for n in range(12)]
    lengths = [draw.randint(1, 12) for _ in prompts]
    asked = list(zip(prompts, lengths, strict=True))
    expected = [generated(plain, tokenizer, p, n) for p, n in asked]
    requests = [Generate(prompt=p, max_tokens=n) for p, n in asked]
    for batch_size in (4, None):
        answers = ask(model_at(folder, batch_size), requests)
        assert [a.text for a in answers] == expected


def test_lean_passes_are_used_where_they_are_known(tmp_path: Path) -> None:
    for architecture, name in (
        ("llama", "LeanNetwork"),
        ("gpt_neox", "LeanNetwork"),
        ("qwen2", "LeanNetwork"),
        ("mistral_window", "ModuleNetwork"),
        ("gpt2", "LeanNetwork"),
        ("gpt2_untied", "LeanNetwork"),
        ("opt", "LeanNetwork"),
        ("bloom", "ModuleNetwork"),
    ):
        write_checkpoint(tmp_path / architecture, architecture)
        engine = model_at(tmp_path / architecture)._engine  # type: ignore[attr-defined]
        assert type(engine.network).__name__ == name


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_an_attention_that_is_asked_for_computes(tmp_path: Path, attention: str) -> None:
    write_checkpoint(tmp_path, "llama")
    requests = [Loglikelihood(context="Once upon a", continuation=" time"), Generate(prompt="a")]
    model: Any = model_at(tmp_path, attn=attention)
    answers = ask(model, requests)
    network = model._engine.network
    assert type(network).__name__ == "ModuleNetwork"
    assert network.model.config._attn_implementation == attention
    lean = ask(model_at(tmp_path), requests)
    assert answers[0].logprob == pytest.approx(lean[0].logprob, abs=1e-4)
    assert answers[1].text == lean[1].text


@pytest.mark.parametrize("extra", [{"attention_bias": True}, {"mlp_bias": True}, {"head_dim": 12}])
def test_variants_of_llama(tmp_path: Path, extra: dict[str, Any]) -> None:
    plain = write_checkpoint(tmp_path, "llama", max_position_embeddings=128, **extra)
    tokenizer = tokenizer_at(tmp_path)
    requests = [Generate(prompt=HEADER + c, max_tokens=9) for c in CONTEXTS]
    expected = [generated(plain, tokenizer, r.prompt, 9) for r in requests]
    assert [a.text for a in ask(model_at(tmp_path), requests)] == expected


def test_a_lean_pass_that_differs_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import harness_hf.parts

    write_checkpoint(tmp_path)
    monkeypatch.setattr(harness_hf.parts.Layer, "scale", 0.5)  # as if scores were scaled oddly
    model = model_at(tmp_path, trust_remote_code="true")  # loaded by transformers
    engine = model._engine  # type: ignore[attr-defined]
    assert type(engine.network).__name__ == "ModuleNetwork"


@pytest.mark.parametrize(
    ("architecture", "extra"),
    [
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
        ("gpt2", {"scale_attn_weights": False}),
        ("gpt2", {"activation_function": "relu", "layer_norm_epsilon": 0.1}),
        ("gpt2", {"n_inner": 24}),
        ("opt", {"word_embed_proj_dim": 16}),
        ("opt", {"do_layer_norm_before": False}),
        ("opt", {"enable_bias": False}),
        ("opt", {"layer_norm_elementwise_affine": False}),
        ("opt", {"activation_function": "gelu"}),
    ],
)
def test_variants_of_learnt_positions(
    tmp_path: Path, architecture: str, extra: dict[str, Any]
) -> None:
    length = "n_positions" if architecture == "gpt2" else "max_position_embeddings"
    plain = write_checkpoint(tmp_path, architecture, **{length: 128}, **extra)
    tokenizer = tokenizer_at(tmp_path)
    requests = [Generate(prompt=HEADER + c, max_tokens=9) for c in CONTEXTS]
    expected = [generated(plain, tokenizer, r.prompt, 9) for r in requests]
    model = model_at(tmp_path)
    assert [a.text for a in ask(model, requests)] == expected
    known = {"activation_function", "layer_norm_epsilon", "n_inner", "enable_bias"}
    network = model._engine.network  # type: ignore[attr-defined]
    lean = "LeanNetwork" if extra.keys() <= known else "ModuleNetwork"
    assert type(network).__name__ == lean
    assert (take_apart(plain, most=64) is None) is (lean == "ModuleNetwork")
