"""`adafer evaluate` and `adafer report`: what a trained model is worth, as tables and as a page."""

from pathlib import Path

from adafer.commands.run_choice import add_run, chosen_run
from adafer.errors import WordsError
from adafer.words import command_parser


def evaluate(words: list[str]) -> int:
    """Measure a trained model on a split."""
    parser = command_parser(
        "evaluate",
        "[RUN] [--split val|test|train] [...]",
        "Measure a trained model on a split: tables, figures and the report page. Every use of\n"
        "the test split is counted in run.json, because a split that chooses no longer tests.",
        "  adafer evaluate runs/first\n"
        "  adafer evaluate runs/first --split test --data ferplus/\n"
        "  adafer evaluate runs/first --max-steps 5\n"
        "  adafer evaluate runs/first --calibrate       fit a temperature on validation",
    )
    add_run(parser)
    parser.add_argument("--data", help="SOURCE to measure on (the run's own)")
    parser.add_argument("--split", choices=("val", "test", "train"), default="val", help="(val)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where tables go (RUN/eval/SPLIT)"
    )
    parser.add_argument("--which", choices=("best", "last"), default="best", help="weights (best)")
    parser.add_argument("--max-steps", type=int, metavar="T", help="another T than in training")
    parser.add_argument("--mirror", action="store_true", help="average with the mirrored face")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="fit a temperature on the run's own validation faces first, and keep it",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (auto)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    if given.calibrate and (given.split != "val" or given.data or given.max_steps or given.mirror):
        raise WordsError(
            "--calibrate fits on the run's own validation faces; leave --split, --data, "
            "--max-steps and --mirror out, then evaluate as you like"
        )
    from adafer import evaluation
    from adafer.progress import Console

    model = chosen_run(given)

    if given.calibrate:
        from adafer.studies.calibrate import calibrate

        calibrate(model, which=given.which, device=given.device, watcher=Console())
    evaluation.evaluate(
        model,
        data=given.data,
        split=given.split,
        output=given.output,
        which=given.which,
        max_steps=given.max_steps,
        mirror=given.mirror,
        device=given.device,
        watcher=Console(),
    )
    return 0


def report(words: list[str]) -> int:
    """Write a run's page again and print its path."""
    parser = command_parser(
        "report",
        "[RUN] [--split val|test|train]",
        "Write a run's report.html again from its tables.",
        "  adafer report runs/first --split test",
    )
    add_run(parser)
    parser.add_argument("--split", choices=("val", "test", "train"), default="val", help="(val)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer import evaluation

    print(evaluation.report(chosen_run(given), split=given.split))
    return 0
