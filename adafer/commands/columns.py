"""Flags that say how a SOURCE is read, the columns of a parquet, arrow or hub data set too."""

import argparse
from typing import Protocol


class _Group(Protocol):
    """What flags are added to."""

    def add_argument(self, name: str, *, default: str, metavar: str = ..., help: str) -> object:
        """Add a flag."""


def add_reading(group: _Group) -> None:
    """Add what says how a SOURCE is read: layout, order of numbers, roots, columns."""
    group.add_argument("--layout", default="auto", help="its layout (auto)")
    group.add_argument("--label-order", default="auto", help="whose numbers its labels are (auto)")
    group.add_argument("--roots", default="", metavar="A,B", help="where its paths are looked for")
    _add_columns(group)


def reading_of(given: argparse.Namespace) -> dict[str, str]:
    """Settings that these flags gave, the SOURCE with them."""
    return {
        "data": given.source,
        "layout": given.layout,
        "label_order": given.label_order,
        "roots": given.roots,
        **_columns_of(given),
    }


def _add_columns(group: _Group) -> None:
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


def _columns_of(given: argparse.Namespace) -> dict[str, str]:
    """Settings that these flags gave."""
    return {"image_col": given.image_col, "label_col": given.label_col, "map": given.map}
