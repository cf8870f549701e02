"""`adafer publish`: a trained model on the Hugging Face hub, with its card."""

import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adafer.commands.run_choice import add_run, chosen_run
from adafer.errors import WordsError
from adafer.words import Words, command_parser

if TYPE_CHECKING:
    from adafer.export.release import Release

_TOKEN = re.compile(r"--?(hf-?)?(auth-?)?(token|api-?key|password)(=.*)?", re.IGNORECASE)
_CARD_BYTES = 1_000_000


def publish(words: list[str]) -> int:
    """Check what would go out, show it, and upload it unless this is a dry run."""
    _refuse_token(words)
    given = _parser().parse_known_words(words)
    from huggingface_hub import get_token

    from adafer.export.publish import publish as upload
    from adafer.export.release import prepare_release
    from adafer.hub_models import checked_name
    from adafer.tokens import provide_token

    repository = checked_name(given.repo)
    release = prepare_release(
        chosen_run(given),
        repository,
        card=None if given.card is None else _text(given.card),
        data_note=given.data_note,
        license=given.license,
        tell=print,
    )
    if given.dry_run:
        print(release.card)
    _show(release)
    if given.dry_run:
        print("dry run: nothing was sent")
        return 0
    _quiet_client()
    if get_token() is None:  # Kaggle and Colab keep it in their secrets
        provide_token("HF_TOKEN", print)
    done = upload(release, private=given.private, update=given.update)
    what = f"{done.written} files in one commit" if done.written else "nothing to do, all is there"
    print(f"{done.url}  {what}")
    print(f'adafer.load("{done.repository}", revision="{done.commit}", sha256="{done.sha256}")')
    return 0


def _parser() -> Words:
    parser = command_parser(
        "publish",
        "[RUN] --repo OWNER/NAME [--private] [--dry-run] [--update]",
        "Put a trained model on the Hugging Face hub: weights, ONNX, recipe, figures and a model\n"
        "card, in one commit. Nothing but a fixed list of files is sent: no face, no path of this\n"
        "machine. The token is HF_TOKEN or that of `hf auth login`, never a flag.",
        "  adafer publish runs/first --repo jane/fer-small --dry-run   the card and the list\n"
        "  adafer publish runs/first --repo jane/fer-small --private\n"
        "  adafer publish runs/first --repo jane/fer-small --update    replace what was published\n"
        "  adafer publish runs/mine --repo jane/mine --data-note 'Our own studio pictures, CC0.'",
    )
    add_run(parser)
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="where on the hub")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the card and the files; send nothing"
    )
    parser.add_argument(
        "--update", action="store_true", help="replace what a repository holds already"
    )
    parser.add_argument(
        "--card", type=Path, metavar="FILE", help="your own card, made from that of --dry-run"
    )
    parser.add_argument(
        "--data-note",
        default="",
        metavar="TEXT",
        help="name, origin and licence of data that adafer does not know",
    )
    parser.add_argument(
        "--license",
        default="",
        metavar="ID",
        help="of the weights, such as mit (apache-2.0 for drawn faces, else other)",
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return parser


def _refuse_token(words: list[str]) -> None:
    if any(_TOKEN.fullmatch(word) for word in words):
        raise WordsError(
            "a token is never a flag, since it stays in the shell's history and others see it "
            "there; set HF_TOKEN or log in with `hf auth login`, and replace that token"
        )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _CARD_BYTES:
            raise WordsError(f"{path} is larger than 1 MB, which no card is; name the card's file")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise WordsError(f"--card {path} is no text that can be read; correct the path") from None


def _show(release: "Release") -> None:
    print(f"{release.repository}: {len(release.files)} files, {_size(release.size)}")
    for place, data in release.files.items():
        print(f"  {_size(len(data)):>9}  {place}")
    if release.left_out:
        print("left out:")
    for found in release.left_out:
        print(f"  {found.place}: {found.reason}")


def _size(number: int) -> str:
    return f"{number / 1e6:.2f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"


def _quiet_client() -> None:
    """Keep the hub's client from saying what our sentences say, and from bars in a log."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()
