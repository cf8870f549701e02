"""Faces drawn by the project: seeded, of any number and size, with votes that know the truth."""

from adafer.data.toy.reader import drawn, read

__all__ = ["drawn", "read"]
