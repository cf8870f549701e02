"""Flags that say which columns of a parquet, arrow or hub data set are read, and as what."""

import argparse
from typing import Protocol


class _Group(Protocol):
    """What flags are added to."""

    def add_argument(self, name: str, *, default: str, metavar: str, help: str) -> object:
        """Add a flag."""


def add_columns(group: _Group) -> None:
    """Add the flags, as `adafer train` has them."""
    group.add_argument(
        "--image-col", default="", metavar="NAME", help="parquet, arrow, hf: column of the faces"
    )
    group.add_argument(
        "--label-col", default="", metavar="NAME", help="parquet, arrow, hf: column of the labels"
    )
    group.add_argument(
        "--map", default="", metavar="A=B,...", help="parquet, arrow, hf: other names of classes"
    )


def columns_of(given: argparse.Namespace) -> dict[str, str]:
    """Settings that these flags gave."""
    return {"image_col": given.image_col, "label_col": given.label_col, "map": given.map}
