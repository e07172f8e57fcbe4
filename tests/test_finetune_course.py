"""How one cell is trained: updates, warm-up, the weights that are kept, when it is given up."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

import hf_tiny  # noqa: E402
import train_tiny  # noqa: E402

from harness.training import FinetuneRequest, Start, TrainingPoint  # noqa: E402
from harness.types import RequestKind  # noqa: E402
from harness_train.finetune import course, ready, starting, training  # noqa: E402
from harness_train.finetune.cells import Cell  # noqa: E402
from harness_train.finetune.examples import Example, Labelled, Prompted, Tagged  # noqa: E402

TAGGED = tuple(
    Tagged(
        tokens=("we", "like", *("mo",) * (i % 5), "."), tags=("O", "O", *("B-X",) * (i % 5), "O")
    )
    for i in range(12)
)
PROMPTED = tuple(Prompted(prompt="the road to", answer=" long" * (1 + i % 5)) for i in range(12))
LABELLED = tuple(
    Labelled(texts=("near" if i % 4 else "long",), label=str(i % 4 == 0)) for i in range(12)
)
CONTRARY = tuple(Labelled(texts=one.texts, label=str(one.label == "False")) for one in LABELLED)


@dataclass
class Toy:
    """One cell over examples, that can be trained in several ways."""

    prepared: ready.Ready
    request: FinetuneRequest
    texts: ready.Texts
    model: Any = None

    def train(self, *, scale: float = 1.0, **changes: Any) -> tuple[training.Trained, list[str]]:
        """Train its model, freshly made and without dropout; what it said comes second."""
        request = replace(self.request, **changes)
        cell, base = self.prepared.cell, self.prepared.base
        again = ready.make_ready(cell, base, self.texts, request)
        self.model = again.model(request)
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        plan = training.Plan(
            name="x",
            kind=request.kind,
            seed=0,
            device="cpu",
            dtype="float32",
            learning_rate=0.01 * scale,
            steps=again.steps,
        )
        said: list[str] = []
        return training.train_cell(self.model, again.data, plan, request, said.append), said

    def weights(self) -> dict[str, Any]:
        """Without the keys' bias: no gradient reaches it but rounding, which AdamW blows up."""
        named = self.model.state_dict().items()
        return {name: weight.clone() for name, weight in named if "key.bias" not in name}


def toy(
    folder: Path, kind: RequestKind, texts: tuple[Example, ...], others: tuple[Example, ...] = ()
) -> Toy:
    if kind == "generate":
        hf_tiny.write_model(folder, "llama")
        hf_tiny.write_tokenizer(folder)
    else:
        train_tiny.write_bert(folder)
    start = Start(folder=folder, name="toy", family="toy")
    request = FinetuneRequest(
        models=(start,),
        kind=kind,
        task="x",
        train=None,  # type: ignore[arg-type]
        output=folder,
        epochs=2,
        batch_size=8,
        device="cpu",
        dtype="float32",
    )
    labels = {"tag": ("O", "B-X", "I-X"), "classify": ("False", "True")}.get(kind, ())
    read = ready.Texts(train=texts, validation=others or texts, labels=labels)
    cell = Cell(start=start, method="full", share=1.0, seed=0)
    base = starting.open_base(start, kind, None)
    return Toy(ready.make_ready(cell, base, read, request), request, read)


KINDS: list[tuple[RequestKind, tuple[Example, ...]]] = [
    ("tag", TAGGED),
    ("classify", LABELLED),
    ("generate", PROMPTED),
]


@pytest.mark.parametrize(("kind", "texts"), KINDS)
def test_accumulated_batches_learn_what_a_large_one_does(
    tmp_path: Path, kind: RequestKind, texts: tuple[Example, ...]
) -> None:
    """Texts of several lengths: the mean of the means of two halves is not the mean of all."""
    one = toy(tmp_path, kind, texts)
    trained, _ = one.train()
    large = one.weights()
    again, _ = one.train(batch_size=3, accumulate=3)  # 9, 3 of 12 texts
    assert again.spent_tokens == trained.spent_tokens
    one.train(batch_size=4, accumulate=2)
    torch.testing.assert_close(one.weights(), large, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "texts"), KINDS)
def test_checkpointed_gradients_learn_the_same(
    tmp_path: Path, kind: RequestKind, texts: tuple[Example, ...]
) -> None:
    one = toy(tmp_path, kind, texts)
    one.train()
    plain = one.weights()
    one.train(gradient_checkpointing=True)
    torch.testing.assert_close(one.weights(), plain, rtol=0, atol=0)


def test_training_stops_early_and_keeps_the_best_weights(tmp_path: Path) -> None:
    """What is learnt is wrong of the validation texts, so scores fall once anything is learnt."""
    one = toy(tmp_path, "classify", LABELLED, CONTRARY)
    points: list[TrainingPoint] = []
    trained, said = one.train(epochs=20, patience=2, watch=points.append)
    points = [point for point in points if "validation/loss" in point.values]
    scores = [point.values["validation/macro_f1"] for point in points]
    best = max(range(len(points)), key=lambda i: (scores[i], -points[i].values["validation/loss"]))
    assert len(points) == best + 3 < 20  # two epochs of patience
    assert trained.step == points[best].step < points[-1].step
    assert trained.scores["macro_f1"] == scores[best] > scores[-1]
    assert said[-1] == (
        f"stopped early, no better for 2 epochs: the weights of step {trained.step} are kept"
    )
    kept = one.weights()
    one.train(epochs=20, patience=2)
    torch.testing.assert_close(one.weights(), kept, rtol=0, atol=0)
    assert measured(one) == pytest.approx(trained.scores["loss"], rel=1e-5)
    _, said = one.train(epochs=6, patience=0)
    assert len(said) == 6 and "stopped" not in "".join(said)


def measured(one: Toy) -> float:
    """The validation loss of the weights in the model now, by other code."""
    data = one.prepared.data
    with torch.no_grad():
        losses = [
            torch.nn.functional.cross_entropy(
                one.model.eval()(input_ids=torch.tensor([row["input_ids"]])).logits,
                torch.tensor([row["labels"]]),
            )
            for row in data.validation.rows
        ]
    return float(sum(losses) / len(losses))


def test_the_rate_warms_up_and_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def noted(self: Any, *arguments: Any, **keywords: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    toy(tmp_path, "classify", LABELLED).train(epochs=5, batch_size=6, warmup=0.4)
    up = [0.01 * i / 4 for i in range(4)]
    assert rates == pytest.approx([*up, *(0.01 * (1 - i / 6) for i in range(6))])


def test_weighted_classes_find_more_of_the_rare_one(tmp_path: Path) -> None:
    """The texts are alike, so that the weights alone decide: a guess is the rare label's or not."""
    alike = tuple(replace(one, texts=("near",)) for one in LABELLED)  # 3 of 12 are "True"
    one = toy(tmp_path, "classify", alike)
    chances = []
    for weighted in (False, True):
        one.train(epochs=40, patience=0, batch_size=12, class_weights=weighted)
        row = one.prepared.data.train.rows[0]["input_ids"]
        with torch.no_grad():
            logits = one.model.eval()(input_ids=torch.tensor([row])).logits
        chances.append(float(logits.softmax(-1)[0, 1]))
    assert chances == pytest.approx([0.25, 0.5], abs=0.05)


def test_a_loss_far_above_the_untrained_models_is_divergence(tmp_path: Path) -> None:
    one = toy(tmp_path, "classify", LABELLED, (*LABELLED, *CONTRARY))  # none can please both
    with pytest.raises(course.DivergedError, match="untrained and never below") as caught:
        one.train(scale=3000.0, batch_size=12, warmup=0.0)
    assert caught.value.step == 2


def test_a_validation_loss_that_is_no_number_is_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last update of a training may break the weights, and no loss of training shows it."""
    watch = course.watch

    def broken(model: Any, kind: RequestKind, steps: int, told: course.Course) -> Any:
        found = watch(model, kind, steps, told)
        evaluated = found.on_evaluate

        def on_evaluate(args: Any, state: Any, control: Any, metrics: Any, **more: Any) -> None:
            last = state.global_step == steps
            evaluated(args, state, control, metrics | ({"eval_loss": math.nan} if last else {}))

        found.on_evaluate = on_evaluate
        return found

    monkeypatch.setattr(training, "watch", broken)
    with pytest.raises(course.DivergedError, match="the validation loss is nan") as caught:
        toy(tmp_path, "classify", LABELLED).train()
    assert caught.value.step == 4
