"""`adafer compare` and `adafer label-errors`: what several runs say of the same data."""

from pathlib import Path

from adafer.words import command_parser


def compare(words: list[str]) -> int:
    """Compare runs on the same faces."""
    parser = command_parser(
        "compare",
        "RUN RUN [RUN ...] [--split val|test]",
        "Compare runs on the same faces, from the tables that `evaluate` and `steps` wrote:\n"
        "figures side by side, McNemar's test and paired intervals, seeds grouped, the settings\n"
        "that differ. The first sentence says which is better, or that the faces cannot tell.",
        "  adafer compare runs/first runs/second\n"
        "  adafer compare runs/a runs/a-2 runs/b --split test --output compare/ab",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument("--split", choices=("val", "test", "train"), default="val", help="(val)")
    parser.add_argument("--common", action="store_true", help="compare only the faces they share")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where it goes (compare/NAMES)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.progress import Console
    from adafer.studies import compare as study

    study.compare(
        given.runs,
        split=given.split,
        common=given.common,
        output=given.output,
        watcher=Console(),
    )
    return 0


def label_errors(words: list[str]) -> int:
    """Rank the faces whose label is probably wrong."""
    parser = command_parser(
        "label-errors",
        "RUN [RUN ...] [--split val|test]",
        "Rank the faces whose label is probably wrong, by confident learning (cleanlab, the extra\n"
        "`labels`) on faces that the model never trained on: the validation or test faces of a\n"
        "run, or all faces of a cross-validation, fold by fold. Look before you correct.",
        "  adafer label-errors runs/first\n"
        "  adafer label-errors runs/tinyvgg-crossval --output suspects/",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument("--split", choices=("val", "test", "train"), default="val", help="(val)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where it goes (label_errors)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.progress import Console
    from adafer.studies.label_errors import label_errors as study

    study(given.runs, split=given.split, output=given.output, watcher=Console())
    return 0
