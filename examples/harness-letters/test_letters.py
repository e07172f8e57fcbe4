"""The promises that every plugin makes, and one of this plugin's own."""

from harness_letters import HELD_OUT, TRAINING, LetterModel

from harness.testing import assert_conforms
from harness.types import Loglikelihood


def test_plugin_keeps_the_contract() -> None:
    assert_conforms("letters")


def test_no_held_out_word_is_trained_on() -> None:
    assert not set(HELD_OUT) & set(TRAINING)


def test_probabilities_of_the_next_byte_sum_to_one() -> None:
    model = LetterModel(3)
    assert abs(sum(model.probability(b"hap", byte) for byte in range(256)) - 1) < 1e-9


def test_longer_context_makes_a_frequent_ending_likelier() -> None:
    request = Loglikelihood(context="kind", continuation="ness")
    small, large = (next(LetterModel(order).respond([request]))[1] for order in (1, 4))
    assert small.logprob is not None and large.logprob is not None
    assert large.logprob > small.logprob
