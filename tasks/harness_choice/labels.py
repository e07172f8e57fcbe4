"""Classification: which label's words go on best after the text.

The Chinese patterns are OpenCompass' (``FewCLUE_*_ppl``, ``afqmc_ppl``), SST-2's is
lm-evaluation-harness', AG News' that of Zhao et al. 2021 (arXiv:2102.09690).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness_choice.choices import Choice, ChoiceSet
from harness_files import Row, read_json_lines, read_table
from harness_files.rows import is_json_lines, read_tabs, unrepeated, wrong_type


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """How labelled rows become choices.

    ``words`` maps each label, as the file writes it, to its continuation; ``ask`` makes the
    context of a row. ``texts`` takes what a classifier reads, one text or a pair, and ``names``
    are those that classifiers call the labels by, in the order of ``words``. ``numbers`` are the
    labels in the order in which the hub's copy numbers them from 0, where it does.
    """

    words: Mapping[str, str]
    ask: Callable[[Row], str]
    texts: Callable[[Row], tuple[str, ...]]
    names: tuple[str, ...]
    rows: Callable[[str], Iterable[Row]] = read_json_lines
    label: str = "label"
    numbers: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """Each label's names: the usual ones, parted by a bar, then the file's own."""
        return tuple(
            tuple(dict.fromkeys((*names.split("|"), key)))
            for names, key in zip(self.names, self.words, strict=True)
        )

    def __call__(self, path: str) -> Iterator[Choice]:
        """Read a file's choices."""
        labels = list(self.words)
        for number, row in enumerate(unrepeated(self.rows(path), "id", "idx"), start=1):
            context, label = self.ask(row), self._label(row)
            if label not in labels:
                wanted = f"one of {', '.join(labels)}"
                raise wrong_type(f"{row.place}: '{self.label}'", wanted, label)
            yield Choice(
                id=str(number),
                options=tuple((context, words) for words in self.words.values()),
                right=(labels.index(label),),
                texts=self.texts(row),
            )

    def _label(self, row: Row) -> str:
        value = row.value(self.label)
        if type(value) is int and 0 <= value < len(self.numbers):
            return self.numbers[value]
        return str(value)


def _sst2_rows(path: str) -> Iterator[Row]:
    """Sentence and label parted by a tab, without quoting; or JSON lines, as GLUE's copies."""
    if is_json_lines(path):
        yield from read_json_lines(path)
        return
    for row in read_tabs(path, ("sentence", "label")):
        if row.fields["label"] != "label":  # GLUE's own files have a header
            yield row


def _ag_news_rows(path: str) -> Iterator[Row]:
    """The authors' CSV; or the hub's rows of text and label, which count classes from 0."""
    if not is_json_lines(path):
        yield from read_table(path, columns=("class", "title", "description"), header=False)
        return
    for row in read_json_lines(path):
        fields = {"text": row.filled("text"), "class": row.number("label") + 1}
        yield Row(fields=fields, place=row.place)


REVIEWS = "则生成答案“负面”。"
FEELINGS = {"负面": "Negative", "正面": "Positive"}


def _eprstmt_rows(path: str) -> Iterator[Row]:
    """FewCLUE's rows; or the hub's, whose ``input`` is an instruction and the review after it."""
    for row in read_json_lines(path):
        if row.has("sentence") or not row.has("input"):
            yield row
            continue
        _, _, review = row.filled("input").partition(REVIEWS)
        feeling = row.text("output")
        fields = {"sentence": review.strip(), "label": FEELINGS.get(feeling, feeling)}
        yield Row(fields=fields, place=row.place)


def _filled(*keys: str) -> Callable[[Row], tuple[str, ...]]:
    return lambda row: tuple(row.filled(key).strip() for key in keys)


def _pattern(text: str, *keys: str) -> Callable[[Row], str]:
    """A context from a row's texts, put into ``text`` one after the other."""
    fill = _filled(*keys)
    return lambda row: text.format(*fill(row))


def _ag_news(row: Row) -> str:
    if row.has("text"):
        return f"Article: {row.filled('text').strip()}\nAnswer:"
    title, description = _filled("title", "description")(row)
    return f"Article: {title}. {description}\nAnswer:"


def _ag_news_text(row: Row) -> tuple[str, ...]:
    """As the hub's copy joins them, which published classifiers were trained on."""
    if row.has("text"):
        return (row.filled("text").strip(),)
    return (" ".join(_filled("title", "description")(row)),)


TOPICS = (" World", " Sports", " Business", " Technology")
TNEWS_TOPICS = {
    "100": "故事",
    "101": "文化",
    "102": "娱乐",
    "103": "体育",
    "104": "财经",
    "106": "房产",
    "107": "汽车",
    "108": "教育",
    "109": "科技",
    "110": "军事",
    "112": "旅游",
    "113": "国际",
    "114": "股票",
    "115": "农业",
    "116": "电竞",
}
TNEWS_NAMES = (
    *("story", "culture", "entertainment", "sports", "finance", "house", "car", "edu", "tech"),
    *("military", "travel", "world", "stock", "agriculture", "game"),
)
"""CLUE's ``label_desc``, after ``news_``."""

READERS: Mapping[str, tuple[str, Labelling]] = {
    "afqmc": (
        "AFQMC, Chinese: do two sentences mean the same",
        Labelling(
            words={"0": "不同。", "1": "相似。"},
            ask=_pattern("{}，{}", "sentence1", "sentence2"),
            texts=_filled("sentence1", "sentence2"),
            names=("different", "similar"),
        ),
    ),
    "ag_news": (
        "AG News, four topics, CSV of class, title, description",
        Labelling(
            words={str(number): words for number, words in enumerate(TOPICS, start=1)},
            ask=_ag_news,
            texts=_ag_news_text,
            names=("World", "Sports", "Business", "Technology|Sci/Tech|Science"),
            rows=_ag_news_rows,
            label="class",
        ),
    ),
    "bustm": (
        "BUSTM, Chinese: do two sentences mean the same",
        Labelling(
            words={"0": "毫不相关。", "1": "一个意思。"},
            ask=_pattern("{}。\n{}。\n两句话说的", "sentence1", "sentence2"),
            texts=_filled("sentence1", "sentence2"),
            names=("different", "similar"),
        ),
    ),
    "eprstmt": (
        "EPRSTMT, Chinese: is a review positive",
        Labelling(
            words={"Negative": "消极。", "Positive": "积极。"},
            ask=_pattern("内容： “{}”。情绪分类：", "sentence"),
            texts=_filled("sentence"),
            names=("negative", "positive"),
            rows=_eprstmt_rows,
        ),
    ),
    "ocnli": (
        "OCNLI, Chinese: does one sentence follow from another",
        Labelling(
            words={"entailment": "对", "neutral": "可能", "contradiction": "错"},
            ask=_pattern(
                "阅读文章：{}\n根据上文，回答如下问题：{}？\n答：", "sentence1", "sentence2"
            ),
            texts=_filled("sentence1", "sentence2"),
            names=("entailment", "neutral", "contradiction"),
            numbers=("neutral", "entailment", "contradiction"),
        ),
    ),
    "sst2": (
        "SST-2, sentiment of a sentence, TSV or JSON lines",
        Labelling(
            words={"0": " negative", "1": " positive"},
            ask=_pattern(
                "{}\nQuestion: Is this sentence positive or negative?\nAnswer:", "sentence"
            ),
            texts=_filled("sentence"),
            names=("negative", "positive"),
            rows=_sst2_rows,
        ),
    ),
    "tnews": (
        "TNEWS, Chinese news titles, fifteen topics",
        Labelling(
            words={label: f"{topic}新闻" for label, topic in TNEWS_TOPICS.items()},
            ask=_pattern("{}\n这篇新闻属于：", "sentence"),
            texts=_filled("sentence"),
            numbers=tuple(TNEWS_TOPICS),
            names=tuple(
                f"news_{name}|{topic}"
                for name, topic in zip(TNEWS_NAMES, TNEWS_TOPICS.values(), strict=True)
            ),
        ),
    ),
}

LABELS: tuple[ChoiceSet, ...] = tuple(
    ChoiceSet(
        name=name,
        description=description,
        read=read,
        category="classification",
        labels=read.labels,
    )
    for name, (description, read) in READERS.items()
)
