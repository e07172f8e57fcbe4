"""Leaderboards: models of any number of runs ranked in one table, with ties where tests say so."""

from __future__ import annotations

from harness.leaderboard.build import build_board
from harness.leaderboard.data import board_csv, board_document
from harness.leaderboard.formats import board_html, board_latex, board_markdown
from harness.leaderboard.gather import Source, read_source
from harness.leaderboard.records import Board, BoardRequest, Column, Entry, Row

__all__ = [
    "Board",
    "BoardRequest",
    "Column",
    "Entry",
    "Row",
    "Source",
    "board_csv",
    "board_document",
    "board_html",
    "board_latex",
    "board_markdown",
    "build_board",
    "read_source",
]
