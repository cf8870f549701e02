"""What a report is made of: a context to read from, sections, and the blocks in a section.

Legend: N faces, C classes, S side of a picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from adafer.metrics import Scores
from adafer.predictions import Predictions


class Faces(Protocol):
    """Pictures (S, S, 3) or (S, S, 1) by their place: an array, or what reads them when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a report may read; whatever a run does not have is left empty."""

    predictions: Predictions
    scores: Scores
    history: Sequence[Mapping[str, Any]] = ()  # rows of results.csv
    recipe: Mapping[str, Any] = field(default_factory=dict)  # Recipe.to_dict()
    run: Mapping[str, Any] = field(default_factory=dict)  # run.json
    faces: Faces | None = None  # as in predictions
    name: str = ""  # of the run
    split: str = ""  # train, val or test
    notes: tuple[str, ...] = ()  # sentences about the data, its protocol first
    max_steps: int | None = None  # T, where it was changed after training
    source: str = ""  # of the faces, where they are not the run's own

    def __post_init__(self) -> None:
        assert self.faces is None or len(self.faces) == len(self.predictions)

    @property
    def longest(self) -> int:
        """T, the most steps a face could have taken; 0 for a model without steps."""
        if self.predictions.steps is None:
            return 0
        model = self.recipe.get("model")
        set_to = model.get("max_steps") if isinstance(model, Mapping) else None
        taken = len(self.scores.step_counts or ())
        depths = self.predictions.step_correct
        if self.max_steps is not None:
            return max(self.max_steps, taken)
        if depths is None and isinstance(set_to, int):
            return max(set_to, taken)
        return taken


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table; `share` from 0 to 1 draws a small bar behind it."""

    text: str
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text and numbers; the first column names the row."""

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[tuple[Cell, ...], ...] = ()
    text_columns: tuple[int, ...] = (0,)  # the others are numbers
    folded: str = ""  # behind this sentence until it is opened


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing of our own making: SVG markup that holds no text from outside."""

    kind: ClassVar[str] = "chart"
    title: str
    svg: str
    legend: tuple[tuple[str, str], ...] = ()  # words and colour name
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """One cell of a heat map; `level` from 0 to 10 is its colour, None is nothing there."""

    text: str
    below: str = ""
    level: int | None = None
    means: str = ""


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """A table of classes by classes in colour."""

    kind: ClassVar[str] = "heatmap"
    title: str
    rows: str  # what a row is
    columns: str  # what a column is
    names: tuple[str, ...]
    cells: tuple[tuple[HeatCell, ...], ...]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One horizontal bar; `share` from 0 to 1 is its length."""

    name: str
    text: str
    share: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Horizontal bars with their values beside them."""

    kind: ClassVar[str] = "bars"
    title: str
    bars: tuple[Bar, ...]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Face:
    """One face and what the model said; `picture` is a data URI, or empty where there is none."""

    picture: str
    alt: str
    label: str
    prediction: str
    probability: str
    right: bool
    name: str
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Faces side by side under one sentence."""

    kind: ClassVar[str] = "gallery"
    title: str
    caption: str
    faces: tuple[Face, ...]
    longest: int = 0  # T, for the dots under a face


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number, what it is called, and what it means."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Numbers side by side."""

    kind: ClassVar[str] = "figures"
    figures: tuple[Figure, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and values under headings; `typed` names are words that a person types."""

    kind: ClassVar[str] = "facts"
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    typed: bool = False


@dataclass(frozen=True, kw_only=True)
class Points:
    """Sentences in a list, each with the words it is about."""

    kind: ClassVar[str] = "points"
    points: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two or more pictures side by side in one data URI, and what is said about them."""

    picture: str
    alt: str
    said: str
    below: tuple[str, ...] = ()
    tiles: int = 2


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of pictures under one sentence."""

    kind: ClassVar[str] = "pairs"
    title: str
    caption: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One large picture as a data URI."""

    kind: ClassVar[str] = "sheet"
    title: str
    picture: str
    alt: str
    caption: str = ""


Block = Table | Chart | Heatmap | Bars | Gallery | Figures | Facts | Points | Pairs | Sheet


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, one sentence computed from the data, and what shows it."""

    title: str
    reading: str
    blocks: tuple[Block, ...] = ()
