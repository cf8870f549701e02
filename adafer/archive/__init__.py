"""Unpack a data set's zip safely: no escape, no bomb, all or nothing."""

from adafer.archive.entries import MARKER, Limits
from adafer.archive.unpack import extract_dataset

__all__ = ["MARKER", "Limits", "extract_dataset"]
