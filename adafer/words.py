"""How the command line reads words: plain parsers, one sentence for a wrong word."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, get_origin

from adafer.errors import WordsError
from adafer.flags import Flag


class Words(argparse.ArgumentParser):
    """A parser that answers a wrong word in one sentence, with the nearest right one."""

    def error(self, message: str) -> NoReturn:
        """Raise the sentence instead of printing usage."""
        raise WordsError(f"{message}; see `{self.prog} --help`")

    def parse_known_words(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse, refusing flags that do not exist.

        Raises:
            WordsError: with the nearest flag.
        """
        known, rest = self.parse_known_args(words)
        if rest:
            options = [option for action in self._actions for option in action.option_strings]
            near = get_close_matches(rest[0].split("=")[0], options, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"see `{self.prog} --help`"
            raise WordsError(f"{self.prog} does not know {rest[0]!r}; {hint}")
        return known


def dashed(word: str) -> str:
    """Accept `--train_csv` for `--train-csv`."""
    if not word.startswith("--"):
        return word
    name, mark, value = word.partition("=")
    return name.replace("_", "-") + mark + value


def command_parser(name: str, usage: str, about: str, examples: str) -> Words:
    """Return the parser of one command, with its description and examples."""
    return Words(
        prog=f"adafer {name}",
        usage=f"adafer {name} {usage}",
        description=about,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_flag(group: Any, flag: Flag) -> None:
    """Add one setting of a recipe, shown with its value."""
    word = "--" + flag.name.replace("_", "-")
    shown = ",".join(map(str, flag.default)) if isinstance(flag.default, tuple) else flag.default
    text = f"{flag.help} ({shown})".replace("%", "%%")
    if flag.kind is bool:
        group.add_argument(
            word, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text
        )
        return
    metavar = "|".join(flag.choices) if flag.choices else flag.kind.__name__.upper()
    if get_origin(flag.kind) is tuple:
        metavar = "A,B,..."
    group.add_argument(word, default=argparse.SUPPRESS, metavar=metavar, help=text)
