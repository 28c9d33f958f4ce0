"""Yearly sunspot numbers, shipped with the package."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import pydl
from pydl.data.dataset import Dataset
from pydl.errors import FileFormatError

_FILE = Path(__file__).parent.parent / "files" / "sunspots.csv"


class Sunspots(Dataset[float]):
    """The mean number of sunspots of the 309 years from 1700 to 2008. Sample i is year 1700 + i.

    Attributes:
        years: int64 (309,).
        series: float64 (309,), from 0 to 190.2.
    `SlidingWindows(Sunspots().series, length)` makes the examples of a forecast.
    Source: US National Geophysical Data Center, public domain.
    """

    def __init__(self) -> None:
        with open(_FILE, newline="", encoding="ascii") as file:
            rows = list(csv.reader(file))
        if rows[0] != ["YEAR", "SUNACTIVITY"] or len(rows) != 310:
            raise FileFormatError(f"Sunspots: {_FILE} is damaged: {len(rows)} rows, columns {rows[0]}")
        self.years = np.array([int(row[0]) for row in rows[1:]], np.int64)
        self.series = np.array([float(row[1]) for row in rows[1:]], np.float64)

    def __len__(self) -> int:
        return len(self.series)

    def __getitem__(self, index: int) -> float:
        return float(self.series[index])

    def tensor(self, dtype: pydl.dtype = pydl.float32) -> pydl.Tensor:
        """The series (309,)."""
        return pydl.from_numpy(self.series.copy()).to(dtype)

    def __repr__(self) -> str:
        return f"Sunspots({len(self)} years from {self.years[0]})"
