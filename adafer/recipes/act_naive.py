"""Recursive network with a naive halting rule: the answer of the step at which a face halts."""

from dataclasses import replace

from adafer.recipes.act_graves import ACT_GRAVES
from adafer.settings.model import RecursiveSettings

ACT_NAIVE = replace(
    ACT_GRAVES,
    name="act-naive",
    summary="recursive network, naive halting (cumulative probability, finished faces masked)",
    model=RecursiveSettings(halting="naive", halt_bias=-1.0),
)
"""The plain form of adaptive computation. The halting unit learns from the ponder cost alone.

Starts at four steps (bias -1), because the ponder cost can only shorten the thinking.
"""
