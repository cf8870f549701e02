"""`adafer data show`: faces as a model sees them, before and after random variation."""

from pathlib import Path

from adafer.commands.columns import add_reading, reading_of
from adafer.errors import WordsError
from adafer.words import Words, command_parser


def data_show(words: list[str]) -> int:
    """Write a sheet of faces and print its path."""
    given = _parser().parse_known_words(words)
    from adafer.recipes import find_recipe
    from adafer.studies.data_show import show_data

    recipe = find_recipe("act-graves").changed(
        img_size=given.img_size,
        max_bad=given.max_bad,
        augment=given.augment,
        grey=not given.no_grey,
        **reading_of(given),
    )
    shown = show_data(
        recipe.data,
        split=given.split,
        count=_whole("count", given.count),
        draws=_whole("draws", given.draws),
        seed=_whole("seed", given.seed),
        output=given.output,
    )
    print(shown.path)
    return 0


def _parser() -> Words:
    parser = command_parser(
        "data show",
        "SOURCE [--split train] [--augment light] [...]",
        "Draw faces as a model sees them: each as it is, then as training varies it in its first\n"
        "epochs, with its label, the votes and the landmarks where the data has them. Writes a\n"
        "PNG and prints its path.",
        "  adafer data show toy\n"
        "  adafer data show ferplus/ --augment light --count 20 --draws 8\n"
        "  adafer data show faces/ --split test --augment none --draws 1",
    )
    parser.add_argument("source", metavar="SOURCE", help="a path of any layout, hf:, or toy")
    parser.add_argument(
        "--split", choices=("train", "val", "test"), default="train", help="(train)"
    )
    parser.add_argument("--count", default="12", metavar="N", help="faces (12)")
    parser.add_argument("--draws", default="6", metavar="N", help="variations of each (6)")
    parser.add_argument("--seed", default="0", help="which faces, and whose variations (0)")
    parser.add_argument(
        "--augment", default="strong", metavar="none|light|strong", help="level (strong)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.png", help="(data_show/NAME-SPLIT.png)"
    )
    group = parser.add_argument_group("reading SOURCE, as in `adafer train --help`")
    add_reading(group)
    group.add_argument("--img-size", default="48", help="side that the model sees (48)")
    group.add_argument("--no-grey", action="store_true", help="keep colour")
    group.add_argument("--max-bad", default="0", help="share of broken files allowed (0)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return parser


def _whole(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise WordsError(f"--{name} takes a whole number from 0 up, not {text!r}; correct it")
    return value
