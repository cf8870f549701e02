"""`adafer steps`: how a model spends its steps, and whether that is worth anything."""

from pathlib import Path

from adafer.commands.run_choice import add_run, chosen_run
from adafer.words import command_parser


def steps(words: list[str]) -> int:
    """Study the steps of a trained model on a split."""
    parser = command_parser(
        "steps",
        "[RUN] [--split val|test] [...]",
        "Does a model look longer at harder faces, and does it help? Steps per emotion, accuracy\n"
        "at every depth and in measured milliseconds, agreement with annotators where there are\n"
        "votes, and controls: fixed depths, shuffled and random steps, confidence, entropy,\n"
        "margin and patience exits at equal mean steps, an oracle. The page starts with a\n"
        "verdict in words. Every use of the test split is counted in run.json.",
        "  adafer steps runs/first\n  adafer steps runs/first --split test --data ferplus/",
    )
    add_run(parser)
    parser.add_argument("--data", help="SOURCE to study on (the run's own)")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="(val)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where it is written (RUN/steps/SPLIT)"
    )
    parser.add_argument("--which", choices=("best", "last"), default="best", help="weights (best)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (auto)")
    parser.add_argument("--no-clock", action="store_true", help="measure no milliseconds")
    parser.add_argument(
        "--label-errors",
        action="store_true",
        help="list labels that look wrong (needs the extra `labels`)",
    )
    parser.add_argument(
        "--copies",
        type=Path,
        metavar="FILE",
        help="duplicates.csv of `adafer data check`: leave out faces with a copy in train",
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.progress import Console
    from adafer.studies.steps import study_steps

    study_steps(
        chosen_run(given),
        data=given.data,
        split=given.split,
        output=given.output,
        which=given.which,
        device=given.device,
        clock=not given.no_clock,
        label_errors=given.label_errors,
        copies=given.copies,
        watcher=Console(),
    )
    return 0
