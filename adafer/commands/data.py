"""`adafer data`: look at faces before training on them."""

from collections.abc import Callable
from difflib import get_close_matches

from adafer.commands.data_check import data_check
from adafer.commands.data_landmarks import data_landmarks
from adafer.commands.data_show import data_show
from adafer.commands.data_split import data_extract, data_split
from adafer.errors import WordsError

ABOUT = """\
usage: adafer data check|show|split|extract|landmarks ...

Look at faces before training on them; most of a model's faults are in its data.

  check     is it complete and sound? counts against the published ones, broken files, duplicates,
            faces in two splits, class balance, as a page
  show      a batch as the model sees it, before and after random variation
  split     divide it anew into train, validation and test, or folds, with no person in two of them
  extract   unpack a zip, safely
  landmarks find five points of every face, for models that read them

examples:
  adafer data extract faces.zip faces
  adafer data check faces                             read the page; mend what it names
  adafer data split faces --output split              where there is no validation or test
  adafer data show split
  adafer train --data split

`adafer data WORD --help` explains each.
"""

WORDS: dict[str, Callable[[list[str]], int]] = {
    "check": data_check,
    "show": data_show,
    "split": data_split,
    "extract": data_extract,
    "landmarks": data_landmarks,
}
"""What each word after `adafer data` calls."""


def data(words: list[str]) -> int:
    """Call what the next word means."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(ABOUT)
        return 0
    if words[0] not in WORDS:
        near = get_close_matches(words[0], WORDS, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "`adafer data --help` lists the words"
        raise WordsError(f"adafer data has no word {words[0]!r}; {hint}")
    return WORDS[words[0]](words[1:])
