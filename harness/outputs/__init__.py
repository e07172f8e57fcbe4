"""Scores of outputs made elsewhere: files of texts, of answers by id, or of tagged tokens.

Texts are compared line by line with any scorer of :data:`harness.metrics.TEXT_SCORERS`. Where the
references have a format of their own (SQuAD, CoNLL columns), the task that reads it reads them,
so there is one reader and one grader for what a run asks and for what others answered.
"""

from harness.outputs.answers import is_json_name, read_answers, score_answers
from harness.outputs.entities import ENTITY_METRICS, score_columns, score_entities
from harness.outputs.lines import REFERENCE_FREE, score_lines
from harness.outputs.records import Outcome

__all__ = [
    "ENTITY_METRICS",
    "REFERENCE_FREE",
    "Outcome",
    "is_json_name",
    "read_answers",
    "score_answers",
    "score_columns",
    "score_entities",
    "score_lines",
]
