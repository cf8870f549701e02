"""`adafer explain`: why a model answers as it does."""

from pathlib import Path

from adafer.commands.run_choice import add_run, chosen_run
from adafer.words import Words, command_parser


def explain(words: list[str]) -> int:
    """Draw and check maps over faces."""
    given = _parser().parse_known_words(words)
    from adafer.progress import Console
    from adafer.studies.explain import explain_run
    from adafer.studies.explain_faces import Wish

    explain_run(
        chosen_run(given),
        methods=[name for name in given.method.split(",") if name] or ["gradcam"],
        wish=Wish(
            images=tuple(given.images),
            probe=given.probe,
            names=tuple(name for name in given.faces.split(",") if name),
            worst=given.worst,
            class_name=given.class_name,
        ),
        split=given.split,
        target=given.target,
        layer=given.layer,
        samples=given.samples,
        sanity=not given.no_sanity,
        name=given.name,
        save_probe=given.save_probe,
        which=given.which,
        device=given.device,
        watcher=Console(),
    )
    return 0


def _parser() -> Words:
    parser = command_parser(
        "explain",
        "[RUN] [--method gradcam,shap] [--worst 12 | --class fear | --images ...]",
        "Why does a model answer so? Maps over faces, at every step where it takes steps, what it\n"
        "looks at in each emotion, and sanity checks that say whether to believe the maps:\n"
        "weights shuffled stage by stage, marked pixels taken away and put in. Without a choice\n"
        "of faces, a right and a wrong one of each class. Methods:\n"
        "  gradcam, gradcam++  the usual ones, of a layer chosen by itself\n"
        "  hirescam            exact where the classifier reads a grid (recursive, TinyVGG)\n"
        "  attention           attention rollout of a vision transformer\n"
        "  shap, lime, occlusion  any model; need the extra `explain`, and more time",
        "  adafer explain runs/first --method gradcam,hirescam\n"
        "  adafer explain runs/first --method shap,lime --worst 8\n"
        "  adafer explain runs/first --class fear --save-probe fear.txt\n"
        "  adafer explain runs/second --probe fear.txt      the same faces, another model\n"
        "  adafer explain runs/first --images portraits/ --target happiness",
    )
    add_run(parser)
    parser.add_argument(
        "--method", default="gradcam", metavar="A,B,...", help="methods, by comma (gradcam)"
    )
    faces = parser.add_argument_group("faces: one of these")
    faces.add_argument(
        "--images", type=Path, nargs="+", default=(), metavar="PATH", help="pictures or folders"
    )
    faces.add_argument("--worst", type=int, default=0, metavar="N", help="N surest mistakes")
    faces.add_argument(
        "--class", dest="class_name", default="", metavar="NAME", help="right and wrong faces of it"
    )
    faces.add_argument("--faces", default="", metavar="ID,ID", help="faces by their names")
    faces.add_argument("--probe", type=Path, metavar="FILE", help="a list of names, one a line")
    parser.add_argument("--save-probe", type=Path, metavar="FILE", help="write the names chosen")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="(val)")
    parser.add_argument(
        "--target", default="predicted", help="class explained: predicted, label or a name"
    )
    parser.add_argument("--layer", default="", metavar="NAME", help="layer of a CAM, by its name")
    parser.add_argument(
        "--samples", type=int, default=0, metavar="N", help="evaluations of shap and lime a face"
    )
    parser.add_argument("--no-sanity", action="store_true", help="leave the checks out")
    parser.add_argument("--name", default="faces", help="folder below RUN/explain (faces)")
    parser.add_argument("--which", choices=("best", "last"), default="best", help="weights (best)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (auto)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return parser
