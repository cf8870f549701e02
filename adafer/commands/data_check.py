"""`adafer data check`: is a data set complete, sound, and free of copies across its splits?"""

from pathlib import Path

from adafer.commands.columns import add_reading, reading_of
from adafer.words import Words, command_parser


def data_check(words: list[str]) -> int:
    """Check a data set; 3 where a training would stop on it."""
    given = _parser().parse_known_words(words)
    from adafer.progress import Console
    from adafer.recipes import find_recipe
    from adafer.studies.data_check import check_data

    recipe = find_recipe("act-graves").changed(
        train_labels=given.train_labels,
        evaluation_faces=given.evaluation_faces,
        img_size=given.img_size,
        max_bad=given.max_bad,
        **reading_of(given),
    )
    checked = check_data(
        recipe.data,
        near=not given.no_near,
        faces=not given.no_faces,
        output=given.output,
        watcher=Console(),
    )
    return 3 if checked.stops else 0


def _parser() -> Words:
    parser = command_parser(
        "data check",
        "SOURCE [...]",
        "Look at every picture of a data set before a model does: counts of each class against\n"
        "the published ones, broken files, sizes, votes, and copies of a picture within and\n"
        "across splits: identical, mirrored, saved anew, resized, marked or cut differently.\n"
        "Writes a page, JSON, lists of duplicates and of broken files, and a contact sheet.\n"
        "Exit code 3 where a training would stop: too many broken files, or faces of validation\n"
        "or test that are in train pixel for pixel.",
        "  adafer data check ferplus/\n"
        "  adafer data check faces/ --no-near --max-bad 0.01\n"
        "  adafer data check faces/ --output checked --no-faces",
    )
    parser.add_argument("source", metavar="SOURCE", help="a path of any layout, hf:, or toy")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where it is written (data_check/NAME)"
    )
    parser.add_argument(
        "--no-near",
        action="store_true",
        help="find identical and exactly mirrored pictures only; near copies of 36,000 faces "
        "take about half a minute",
    )
    parser.add_argument(
        "--no-faces", action="store_true", help="write no picture of a face anywhere"
    )
    group = parser.add_argument_group("reading SOURCE, as in `adafer train --help`")
    add_reading(group)
    group.add_argument("--train-labels", default="votes", help="FER+: votes or majority (votes)")
    group.add_argument(
        "--evaluation-faces", default="majority", help="FER+: majority or votes (majority)"
    )
    group.add_argument("--img-size", default="48", help="side at which faces are compared (48)")
    group.add_argument("--max-bad", default="0", help="share of broken files allowed (0)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return parser
