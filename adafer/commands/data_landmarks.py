"""`adafer data landmarks`: find five points of every face of a data set, once, into a file."""

from pathlib import Path

from adafer.commands.columns import add_reading, reading_of
from adafer.words import Words, command_parser


def data_landmarks(words: list[str]) -> int:
    """Write the file and print how many faces were found."""
    given = _parser().parse_known_words(words)
    from adafer.recipes import find_recipe
    from adafer.studies.data_landmarks import find_landmarks

    recipe = find_recipe("act-graves").changed(
        **reading_of(given),
    )
    for line in find_landmarks(recipe.data, Path(given.face_detector), given.output):
        print(line)
    return 0


def _parser() -> Words:
    parser = command_parser(
        "data landmarks",
        "SOURCE --face-detector YUNET.onnx [--output landmarks.csv]",
        "Find the eyes, the nose and the corners of the mouth of every face, in every split, and\n"
        "write them to a CSV that `adafer train grefel --landmarks FILE` reads. Faces that the\n"
        "detector does not find have empty cells. The detector is a file that you give; nothing\n"
        "is downloaded.",
        "  adafer data landmarks ferplus/ --face-detector face_detection_yunet.onnx\n"
        "  adafer train grefel --data ferplus/ --landmarks landmarks.csv",
    )
    parser.add_argument("source", metavar="SOURCE", help="a path of any layout, hf:, or toy")
    parser.add_argument(
        "--face-detector", required=True, metavar="FILE",
        help="the ONNX file of YuNet, from OpenCV's model zoo (face_detection_yunet)",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=Path("landmarks.csv"), metavar="FILE",
        help="(landmarks.csv)",
    )  # fmt: skip
    group = parser.add_argument_group("reading SOURCE, as in `adafer train --help`")
    add_reading(group)
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return parser
