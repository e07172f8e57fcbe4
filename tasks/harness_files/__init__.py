"""What tasks read from files share: reading, checking, few-shot pools, generation tasks.

Declares no hook. Every reader raises :class:`harness.errors.DataError` with the file, the line or
byte, and the next step; nothing here reads a file at import time.
"""

from harness.reading import place, read_bytes, read_lines, read_text, shown
from harness_files.dataset import DataSet, Item
from harness_files.options import check_options, choice_option, data_file, number_option
from harness_files.rows import Row, check_ids, read_json, read_json_lines, read_table
from harness_files.shots import FewShot, Shot, few_shot
from harness_files.tasks import AnswerTask, Part

__all__ = [
    "AnswerTask",
    "DataSet",
    "FewShot",
    "Item",
    "Part",
    "Row",
    "Shot",
    "check_ids",
    "check_options",
    "choice_option",
    "data_file",
    "few_shot",
    "number_option",
    "place",
    "read_bytes",
    "read_json",
    "read_json_lines",
    "read_lines",
    "read_table",
    "read_text",
    "shown",
]
