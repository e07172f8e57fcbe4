"""Time of the Hugging Face adapter against plain transformers, on one thread.

    python bench/hf_speed.py [--sizes 1M,10M] [--work translation,choices] [--items 32]

Each work is a set of requests of fixed lengths put to Llama models with random weights. ``plain``
is what evaluation scripts usually do with transformers: for text ``model.generate`` on prompts
padded on the left, for likelihoods one row per request and a log-softmax over all logits; the best
of batch sizes 1, 8 and 32. Prints items per CPU second of both, the ratio, and how far apart the
answers are. Nothing is timed but the answering: weights are loaded and warm.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tabulate
import torch

import harness_hf
from harness.types import Generate, Loglikelihood, ModelSettings, Request

SIZES = {
    "1M": {"hidden_size": 128, "num_hidden_layers": 5, "intermediate_size": 352},
    "10M": {"hidden_size": 320, "num_hidden_layers": 8, "intermediate_size": 864},
    "60M": {"hidden_size": 640, "num_hidden_layers": 12, "intermediate_size": 1728},
    "125M": {"hidden_size": 768, "num_hidden_layers": 18, "intermediate_size": 2048},
}
WORDS = [f"{a}{b}" for a in "bcdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "el")]


@dataclass(frozen=True, kw_only=True)
class Work:
    """Requests, and how many of them make one item."""

    name: str
    requests: tuple[Request, ...]
    per_item: int = 1


def sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def translation(draw: random.Random, items: int) -> Work:
    """Three worked examples and a sentence; 48 new tokens."""
    header = "".join(f"{sentence(draw, 20)} = {sentence(draw, 20)}\n" for _ in range(3))
    return Work(
        name="translation",
        requests=tuple(
            Generate(prompt=f"{header}{sentence(draw, draw.randint(8, 24))} =", max_tokens=48)
            for _ in range(items)
        ),
    )


def question(draw: random.Random, items: int) -> Work:
    """A passage of its own for each question; 16 new tokens."""
    return Work(
        name="question",
        requests=tuple(
            Generate(prompt=f"{sentence(draw, draw.randint(200, 300))}?", max_tokens=16)
            for _ in range(items)
        ),
    )


def choices(draw: random.Random, items: int, header: str = "") -> Work:
    """Four endings to a context of about 200 words."""
    requests = []
    for _ in range(items):
        context = f"{header}{sentence(draw, draw.randint(60 if header else 160, 240))} ="
        requests += [
            Loglikelihood(context=context, continuation=" " + sentence(draw, draw.randint(3, 12)))
            for _ in range(4)
        ]
    return Work(name="choices", requests=tuple(requests), per_item=4)


def choices_header(draw: random.Random, items: int) -> Work:
    """The same with worked examples of about 150 words before."""
    work = choices(draw, items, header=sentence(draw, 150) + "\n")
    return Work(name="choices+header", requests=work.requests, per_item=4)


def perplexity(draw: random.Random, items: int) -> Work:
    """Documents of 250 to 450 words."""
    return Work(
        name="perplexity",
        requests=tuple(
            Loglikelihood(context="", continuation=sentence(draw, draw.randint(250, 450)))
            for _ in range(items)
        ),
    )


WORKS: dict[str, Callable[[random.Random, int], Work]] = {
    "translation": translation,
    "question": question,
    "choices": choices,
    "choices+header": choices_header,
    "perplexity": perplexity,
}


def write_checkpoint(folder: Path, size: str, vocabulary: int) -> None:
    """A random Llama with a tokenizer of whole words, so that lengths are those of the texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    pieces = ["<s>", "</s>", "<unk>", "=", "?", "\n", *WORDS, *(" " + w for w in WORDS), " ="]
    pieces += [f"<{n}>" for n in range(vocabulary - len(pieces))]
    raw = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
    from tokenizers import Regex

    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[a-z=]+|\n|\?"), "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = LlamaConfig(
        **SIZES[size],
        vocab_size=vocabulary,
        num_attention_heads=8,
        num_key_value_heads=4 if size == "1M" else 8,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)


class Plain:
    """The usual way, on the same weights."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.tokenizer.pad_token = "</s>"

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request], batch_size: int) -> list[Any]:
        order = sorted(range(len(requests)), key=lambda i: -self._length(requests[i]))
        found: dict[int, Any] = {}
        for at in range(0, len(order), batch_size):
            part = order[at : at + batch_size]
            batch: list[Any] = [requests[i] for i in part]
            do = self._generate if isinstance(batch[0], Generate) else self._score
            found |= dict(zip(part, do(batch), strict=True))
        return [found[i] for i in range(len(requests))]

    def _length(self, request: Any) -> int:
        if isinstance(request, Generate):
            return len(request.prompt)
        return len(request.context) + len(request.continuation)

    def _generate(self, batch: list[Generate]) -> list[str]:
        inputs = self.tokenizer([r.prompt for r in batch], return_tensors="pt", padding=True)
        inputs.pop("token_type_ids", None)
        out = self.model.generate(
            **inputs, max_new_tokens=batch[0].max_tokens, do_sample=False, pad_token_id=1
        )
        new = out[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return texts

    def _score(self, batch: list[Loglikelihood]) -> list[float]:
        encode = self.tokenizer.encode
        rows, counts = [], []
        for request in batch:
            context = encode(request.context) or [0]
            whole = encode(request.context + request.continuation)
            if not request.context:
                whole = [0, *whole]
            rows.append(torch.tensor(whole))
            counts.append(len(whole) - len(context))
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        table = self.model(ids[:, :-1]).logits.float().log_softmax(-1)
        sums = []
        for row, (whole, count) in enumerate(zip(rows, counts, strict=True)):
            part = table[row, len(whole) - 1 - count : len(whole) - 1]
            sums.append(float(part.gather(1, whole[-count:, None]).sum()))
        return sums


def timed(do: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    start = time.process_time()
    result = do()
    return time.process_time() - start, result


def difference(ours: list[Any], plain: list[Any]) -> str:
    """Texts that differ, or the largest difference of log-likelihoods."""
    if isinstance(plain[0], str):
        wrong = sum(a.text.split() != b.split() for a, b in zip(ours, plain, strict=True))
        return f"{wrong} of {len(plain)} texts"
    return f"{max(abs(a.logprob - b) for a, b in zip(ours, plain, strict=True)):.1e} nats"


def measure(folder: Path, works: Sequence[Work], repeats: int) -> Iterator[list[Any]]:
    model = harness_hf.build(ModelSettings(argument=str(folder), device="cpu"))
    plain = Plain(folder)
    list(model.respond(works[0].requests[:4]))
    for work in works:
        items = len(work.requests) / work.per_item
        best = min(
            (
                timed(
                    lambda w=work: [
                        r for _, r in sorted(model.respond(w.requests), key=lambda x: x[0])
                    ]
                )
                for _ in range(repeats)
            ),
            key=lambda x: x[0],
        )
        others = [(*timed(lambda w=work, b=b: plain.answer(w.requests, b)), b) for b in (1, 8, 32)]
        seconds, answers, batch = min(others, key=lambda o: o[0])
        yield [
            work.name,
            items / seconds,
            batch,
            items / best[0],
            seconds / best[0],
            difference(best[1], answers),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1M,10M")
    parser.add_argument("--work", default=",".join(WORKS))
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    works = [WORKS[w](random.Random(0), arguments.items) for w in arguments.work.split(",")]
    rows = []
    for size in arguments.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(Path(folder), size, arguments.vocabulary)
            for row in measure(Path(folder), works, arguments.repeats):
                rows.append([size, *row])
                print(".", end="", flush=True)
    print()
    headers = ["model", "work", "plain items/s", "at batch", "ours items/s", "ratio", "difference"]
    print(tabulate.tabulate(rows, headers, floatfmt=("", "", ".2f", "", ".2f", ".2f", "")))


if __name__ == "__main__":
    main()
