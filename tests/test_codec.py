from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.codec import from_json, to_json
from harness.errors import DataError
from harness.types import (
    CellRecord,
    Classify,
    Generate,
    Loglikelihood,
    Metric,
    ModelInfo,
    Parameters,
    Response,
    SampleRecord,
    Score,
    Tag,
)

requests = st.one_of(
    st.builds(Generate, prompt=st.text(), max_tokens=st.integers(1, 9), stop=st.just(("\n",))),
    st.builds(Loglikelihood, context=st.text(), continuation=st.text()),
    st.builds(Loglikelihood, context=st.text(), continuation=st.text(), cut=st.just("end")),
    st.builds(Tag, tokens=st.lists(st.text()).map(tuple)),
    st.builds(Tag, tokens=st.just(("a",)), types=st.lists(st.text()).map(tuple)),
    st.builds(Classify, texts=st.just(("a", "b")), labels=st.just((("no", "0"), ("yes",)))),
)
responses = st.builds(
    Response,
    text=st.none() | st.text(),
    logprob=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    tags=st.none() | st.lists(st.text()).map(tuple),
    logprobs=st.none() | st.lists(st.floats(-9, 0)).map(tuple),
    truncated=st.booleans(),
)
samples = st.builds(
    SampleRecord,
    id=st.text(),
    requests=st.lists(requests).map(tuple),
    responses=st.lists(responses).map(tuple),
    reference=st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5),
    stats=st.dictionaries(st.text(), st.lists(st.floats(0, 9), min_size=1).map(tuple)),
)


def record() -> CellRecord:
    metric = Metric(name="bleu", formula="bleu", bounds=(0.0, 100.0), signature="x")
    return CellRecord(
        model=ModelInfo(name="m", family="f", identity="i", parameters=Parameters(total=3)),
        task="t",
        status="complete",
        scores=(Score(metric=metric, value=1.5, ci=(1.0, 2.0), n=3, signature="s"),),
    )


@given(samples)
def test_every_sample_record_survives_json(sample: SampleRecord) -> None:
    text = json.dumps(to_json(sample))
    assert from_json(SampleRecord, json.loads(text), where="x") == sample


def test_a_cell_record_survives_json() -> None:
    text = json.dumps(to_json(record()))
    assert from_json(CellRecord, json.loads(text), where="x") == record()


def test_an_unknown_field_is_refused_by_name() -> None:
    data = to_json(record()) | {"colour": "red"}
    with pytest.raises(DataError, match=r"cells/x.json .* unknown field 'colour'"):
        from_json(CellRecord, data, where="cells/x.json")


def test_a_missing_field_is_refused_by_name() -> None:
    data = to_json(record())
    del data["task"]
    with pytest.raises(DataError, match="missing field 'task'"):
        from_json(CellRecord, data, where="x")


@pytest.mark.parametrize("bad", [None, 3, "x", [], {"model": 3}])
def test_other_json_is_refused(bad: object) -> None:
    with pytest.raises(DataError):
        from_json(CellRecord, bad, where="x")


def test_a_wrong_type_and_a_wrong_word_are_refused() -> None:
    with pytest.raises(DataError, match="int was expected"):
        from_json(CellRecord, to_json(record()) | {"asked": "many"}, where="x")
    with pytest.raises(DataError, match="is none of"):
        from_json(CellRecord, to_json(record()) | {"status": "fine"}, where="x")


def test_what_is_not_finite_becomes_null() -> None:
    assert to_json((float("nan"), float("inf"), 1.0)) == [None, None, 1.0]


def test_what_is_at_its_default_and_came_later_is_not_written() -> None:
    assert to_json(Tag(tokens=("a",))) == {"kind": "tag", "tokens": ["a"]}
    assert to_json(Tag(tokens=("a",), types=("PER",)))["types"] == ["PER"]
    assert "logprobs" not in to_json(Response(text="a"))
    assert "tags" in to_json(Response(text="a"))
