"""The door: finds the command, turns an error into one sentence and an exit code."""

import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches

from adafer.commands import COMMANDS
from adafer.errors import AdaferError, WordsError
from adafer.responsible_use import NOTICE
from adafer.words import dashed

ABOUT = f"""\
Adaptive facial expression recognition: models that look longer at harder faces.

commands:
  doctor     checks of the machine, the data and a recipe, before a long training
  train      train a model; without words: act-graves on faces drawn by the project
  crossval   K-fold cross-validation: every face predicted once, intervals, resumable
  evaluate   measure a trained model on a split and write its tables and report
  steps      does it look longer at harder faces, and does that help: controls, people, verdict
  explain    why does it answer so: maps over faces, and whether to believe them
  anchors    what do GReFEL's anchors do, and does its confidence follow people?
  compare    runs side by side on the same faces, with paired tests
  data       check, show, split or extract a data set; find landmarks
  label-errors   faces whose label is probably wrong
  lr-find    a learning rate, from a short run with rising rates
  predict    read the apparent expression of face pictures
  export     write a trained model as one ONNX file, checked against PyTorch
  publish    put a trained model on the Hugging Face Hub, with an honest card
  report     write a run's report page again
  recipes    list the recipes that `train` knows
  models     list the models and their parameters

first steps:
  adafer train                                the main job, about two minutes on two cores
  adafer train act-graves --data FOLDER       your own faces; the layout is recognised
  adafer train transfer-resnet50 --data FOLDER   fine-tune a published backbone
  adafer data check FOLDER                    counts, broken files, copies across splits
  adafer evaluate runs/act-graves --split test
  adafer steps runs/act-graves                does it look longer at harder faces?
  adafer predict runs/act-graves face.jpg

`adafer COMMAND --help` explains a command. Exit codes: 0 done, 1 failed, 2 wrong words,
3 wrong data, 4 wrong machine.

{NOTICE}
"""


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = list(sys.argv[1:] if words is None else words)
    sys.exit(run(given))


def run(words: list[str]) -> int:
    """Run one command and return its exit code."""
    debug = "--debug" in words
    words = [dashed(word) for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except AdaferError as error:
        if debug:
            traceback.print_exc()
        print(f"adafer: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("adafer: stopped", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(ABOUT)
        return 0
    if words[0] == "--version":
        from adafer import __version__

        print(f"adafer {__version__}")
        return 0
    if words[0] not in COMMANDS:
        near = get_close_matches(words[0], COMMANDS, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "`adafer --help` lists them"
        raise WordsError(f"no command {words[0]!r}; {hint}")
    try:
        return COMMANDS[words[0]](words[1:])
    except SystemExit as done:
        return int(done.code or 0)
