"""Chat templates: what the model is sent, BOS counted, and how answers are kept apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from hf_tiny import write_model, write_tokenizer  # noqa: E402
from test_hf_models import ask, logprob, model_at  # noqa: E402

from harness.cli import invoke  # noqa: E402
from harness.errors import DataError, UsageError  # noqa: E402
from harness.plan import RunRequest, plan_models, run_name  # noqa: E402
from harness.plan import plan as planned  # noqa: E402
from harness.plugins import load_registry  # noqa: E402
from harness.types import Generate, Loglikelihood, Request  # noqa: E402
from harness_hf.chat import Chat, Rendered, Template  # noqa: E402

BARE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
WITH_BOS = "{{ bos_token }}" + BARE
PICKY = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + BARE
QUESTION = Generate(prompt="Once upon a time", max_tokens=4)
CHOICE = Loglikelihood(context="Once upon a time", continuation=" there was")


def chatty(folder: Path, *, bos: bool = False, template: str | None = WITH_BOS) -> Path:
    folder.mkdir(exist_ok=True)
    write_model(folder, "llama", max_position_embeddings=256)
    tokenizer = write_tokenizer(folder, bos=bos)
    if template is not None:
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
    return folder


def read(model: Any, request: Request) -> list[tuple[int, ...]]:
    """The token ids that really reach the network for ``request``."""
    seen: list[tuple[int, ...]] = []
    network = model._engine.network
    trunk = network.trunk

    def watched(ids: Any, *arguments: Any, **keywords: Any) -> Any:
        seen.extend(tuple(row) for row in ids.tolist())
        return trunk(ids, *arguments, **keywords)

    network.trunk = watched
    ask(model, [request])
    return seen


@pytest.mark.parametrize("request_", [QUESTION, CHOICE], ids=["generate", "loglikelihood"])
@pytest.mark.parametrize(
    ("bos", "template", "expected"),
    [
        (True, None, 1),
        (False, None, 0),
        (True, WITH_BOS, 1),
        (False, WITH_BOS, 1),
        (True, BARE, 0),  # the template alone decides, as in transformers and vLLM
        (False, BARE, 0),
    ],
)
def test_bos_is_there_once_or_not_at_all(
    tmp_path: Path, request_: Request, bos: bool, template: str | None, expected: int
) -> None:
    chatty(tmp_path, bos=bos, template=template)
    model: Any = model_at(tmp_path, **({"chat_template": "default"} if template else {}))
    (ids,) = read(model, request_)
    assert ids.count(0) == expected and ids[:1].count(0) == expected
    (sent,) = model.tokens(request_)
    shown = sent.ids if isinstance(request_, Generate) else sent.ids[:-1]  # the last is predicted
    assert shown == ids


def test_a_prompt_is_what_the_tokenizers_own_template_makes(tmp_path: Path) -> None:
    chatty(tmp_path)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    messages = [
        {"role": "system", "content": "Be, brief."},
        {"role": "user", "content": QUESTION.prompt},
    ]
    expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    model: Any = model_at(tmp_path, chat_template="default", system="Be, brief.")
    (sent,) = model.tokens(QUESTION)
    assert sent.ids == tuple(expected["input_ids"])


def test_a_choice_is_the_assistants_answer_without_its_blank(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chatty(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    context = "<s>[user] Once upon a time\n[assistant] "
    before = tokenizer(context, add_special_tokens=False)["input_ids"]
    # the template ends in a blank, which the first word must not swallow: the model writes after it
    after = tokenizer("there was", add_special_tokens=False)["input_ids"]
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    (answer,) = ask(model_at(tmp_path, chat_template="default"), [CHOICE])
    assert answer.logprob == pytest.approx(logprob(plain, before, after), abs=1e-4)


def test_the_turn_is_found_in_what_the_template_wrote() -> None:
    class Writer:
        def apply_chat_template(self, messages: Any, **_: Any) -> str:
            return f"user: {messages[-1]['content'].strip()} >"

    chat = Chat(Template(source="x"), Writer(), "m")
    assert chat.render("user") == Rendered(head="user: ", body="user", tail=" >")
    assert chat.render(" fog\n") == Rendered(head="user: ", body="fog", tail=" >")


def test_a_text_from_its_beginning_is_no_turn(tmp_path: Path) -> None:
    chatty(tmp_path)
    text = Loglikelihood(context="", continuation="Once upon a time")
    plain, chat = (
        ask(model_at(tmp_path, **options), [text])[0]
        for options in ({}, {"chat_template": "default"})
    )
    assert plain == chat


def test_a_long_turn_is_cut_inside_its_template(tmp_path: Path) -> None:
    chatty(tmp_path)
    model: Any = model_at(tmp_path, chat_template="default", max_length="64")
    texts = []
    for cut in ("start", "middle", "end"):
        request = Generate(prompt="one " * 30 + "two " * 30, max_tokens=8, cut=cut)  # type: ignore[arg-type]
        (sent,) = model.tokens(request)
        texts.append("".join(sent.pieces))
        assert len(sent.ids) == 56 and sent.cut > 0
        assert read(model, request) == [sent.ids], "what is shown is what the network reads"
        (answer,) = ask(model, [request])
        assert answer.prompt_truncated
    for text in texts:
        assert text.startswith("<s>[user] ") and text.endswith("\n[assistant] ")
    assert ["one" in text for text in texts] == [False, True, True]
    assert ["two" in text for text in texts] == [True, True, False]


# --- which template -------------------------------------------------------------------------------


def test_templates_are_found_by_name_and_by_file(tmp_path: Path) -> None:
    folder = chatty(tmp_path / "model", template=BARE)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "terse.jinja").write_text(
        "Q: {{ messages[-1].content }}"
    )
    file = tmp_path / "mine.jinja"
    file.write_text("A: {{ messages[-1].content }}")
    starts = {"default": "[user]", "terse": "Q: ", str(file): "A: "}
    digests = set()
    for wanted, start in starts.items():
        model: Any = model_at(folder, chat_template=wanted)
        (sent,) = model.tokens(QUESTION)
        assert "".join(sent.pieces).startswith(start)
        digests.add(model.info.settings["chat_template"])
    assert len(digests) == 3
    with pytest.raises(UsageError, match="neither a file nor a chat template"):
        _ = model_at(folder, chat_template="ters").info


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    none = chatty(tmp_path / "none", template=None)
    with pytest.raises(UsageError, match=r"has no chat template\.\nGive a file"):
        _ = model_at(none, chat_template="default").info
    with pytest.raises(UsageError, match="a system message needs a chat template"):
        model_at(none, system="Be brief.")
    (none / "chat_template.jinja").write_bytes(b"\xff{{ messages }}")
    with pytest.raises(DataError, match=r"jinja: cannot be read as a chat template"):
        _ = model_at(none, chat_template="default").info
    (none / "chat_template.jinja").unlink()
    settings = none / "tokenizer_config.json"
    stored = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps(stored | {"chat_template": [{"nam": "x"}]}), encoding="utf-8")
    with pytest.raises(DataError, match="lacks its name or its text"):
        _ = model_at(none, chat_template="default").info
    picky = chatty(tmp_path / "picky", template=PICKY)
    with pytest.raises(UsageError, match="refuses it: no system"):
        ask(model_at(picky, chat_template="default", system="Be brief."), [QUESTION])
    assert ask(model_at(picky, chat_template="default"), [QUESTION])[0].error is None


def test_template_and_system_are_part_of_what_answers_are_stored_under(tmp_path: Path) -> None:
    chatty(tmp_path)
    options = ({}, {"chat_template": "default"}, {"chat_template": "default", "system": "x"})
    settings = [json.dumps(dict(model_at(tmp_path, **one).info.settings)) for one in options]
    assert len(set(settings)) == 3


# --- the command ----------------------------------------------------------------------------------


def test_flags_reach_every_model_and_are_refused_where_they_cannot(tmp_path: Path) -> None:
    registry = load_registry()
    asked = RunRequest(models=("hf:x",), chat_template="default", system="a, b")
    (model,) = plan_models(registry, asked)
    assert dict(model.settings.options) == {"chat_template": "default", "system": "a, b"}
    own = RunRequest(models=("hf:x,chat_template=terse",), chat_template="default")
    assert plan_models(registry, own)[0].settings.options["chat_template"] == "terse"
    with pytest.raises(UsageError, match="takes no --chat-template"):
        plan_models(registry, RunRequest(models=("nano-1k",), chat_template="default"))


def test_only_a_chat_changes_the_name_of_a_run() -> None:
    registry = load_registry()
    request = RunRequest(models=("hf:x",), tasks=("piqa:y",))
    with_chat = RunRequest(models=("hf:x",), tasks=("piqa:y",), chat_template="default")
    # measured before the flags existed: old runs are found under the names they have
    assert run_name(planned(registry, request)).endswith("--429dfb7b")
    assert run_name(planned(registry, request)) != run_name(planned(registry, with_chat))


def test_a_run_in_a_chat_is_shown_token_by_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    chatty(tmp_path / "model")
    Path("data.jsonl").write_text('{"query": "They", "choices": ["ran", "sat"], "gold": 0}\n')
    common = ["-m", "hf:model", "-t", "hellaswag:data.jsonl", "--device", "cpu", "-o", "run"]
    assert invoke(["run", *common, "--chat-template", "--system", "Hm."]) == 0
    capsys.readouterr()
    assert invoke(["show", "run", "--samples", "1", "--tokens"]) == 0
    shown = capsys.readouterr().out.replace("¦", "")
    assert "│ <s>[system] Hm.\\n\n│ [user] They\\n\n│ [assistant] ‖ran" in shown
    assert invoke(["show", "run", "--samples", "1", "--tokens", "--json"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    assert sample["tokens"][0][0]["pieces"][0] == "<s>"
    assert invoke(["run", *common]) == 2
    assert "run with chat_template default, and this" in capsys.readouterr().err
    assert invoke(["tasks", "hellaswag:data.jsonl", "--sample", "1", "--tokens", "hf:model"]) == 0
    assert "‖ ran" in capsys.readouterr().out.replace("¦", "")
    write_tokenizer(tmp_path / "model", bos=True)
    assert invoke(["show", "run", "--samples", "1", "--tokens"]) == 2
    assert "its checkpoint has changed" in capsys.readouterr().err


def test_what_was_sent_is_shown_where_the_prompt_alone_is_not_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    chatty(tmp_path / "model", bos=True)
    rows = [{"text": "They ran. " * 40, "answer": "a"}, {"text": "Go.", "answer": "a"}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("task.toml").write_text(
        'path = "rows.jsonl"\ntemplate = "東京 {text}"\nanswer = "answer"\nmax_tokens = 4\n'
    )
    run = ["run", "-t", "toml:task.toml", "--device", "cpu"]
    assert invoke([*run, "-m", "hf:model", "-o", "plain"]) == 0
    chat = ["--chat-template", "--system", "Hm."]
    assert invoke([*run, "-m", "hf:model,max_length=200", "-o", "chat", *chat]) == 0
    capsys.readouterr()

    assert invoke(["show", "plain", "--samples", "2"]) == 0
    long, short = capsys.readouterr().out.split("── sample ")[1:]
    assert "what the model reads, after " in long and " tokens were cut before number 2:\n" in long
    assert f"│ <s>{'They ran. ' * 40}"[-60:] in long
    assert "what the model reads" not in short, "the prompt says it all"

    assert invoke(["show", "chat", "--samples", "2"]) == 0
    long, short = capsys.readouterr().out.split("── sample ")[1:]
    assert "what the model reads:\n│ <s>[system] Hm.\n│ [user] 東京 Go.\n│ [assistant] \n" in short
    assert "│ <s>[system] Hm.\n│ [user] " in long and " tokens were cut before number " in long

    (tmp_path / "model" / "config.json").unlink()
    assert invoke(["show", "chat", "--samples", "1"]) == 0
    shown = capsys.readouterr()
    assert "the prompt:\n" in shown.out and "cannot be shown: " in shown.err
