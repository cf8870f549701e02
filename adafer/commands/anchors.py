"""`adafer anchors`: what the corrections of a GReFEL model do, and whether they follow people."""

from pathlib import Path

from adafer.commands.run_choice import add_run, chosen_run
from adafer.words import command_parser


def anchors(words: list[str]) -> int:
    """Study the anchors of a trained model on a split."""
    parser = command_parser(
        "anchors",
        "[RUN] [--split val|test] [...]",
        "What do the anchors of a GReFEL model do? Faces and anchors in two dimensions, distances\n"
        "to each class, the most corrected faces with their votes, and whether the corrected\n"
        "confidence follows annotators better than the classifier alone. Writes faces.csv,\n"
        "anchors.json and a page. Every use of the test split is counted in run.json.",
        "  adafer anchors outputs/grefel\n  adafer anchors outputs/grefel --split test",
    )
    add_run(parser)
    parser.add_argument("--split", choices=("val", "test"), default="val", help="(val)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where it is written (RUN/anchors/SPLIT)"
    )
    parser.add_argument("--which", choices=("best", "last"), default="best", help="weights (best)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (auto)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.progress import Console
    from adafer.studies.anchors import study_anchors

    study_anchors(
        chosen_run(given),
        split=given.split,
        output=given.output,
        which=given.which,
        device=given.device,
        watcher=Console(),
    )
    return 0
