"""The commands of the shell: each reads its words, calls what they mean, prints what came of it.

Heavy modules are imported inside a command, because help must answer at once.
"""

from collections.abc import Callable

from adafer.commands.anchors import anchors
from adafer.commands.compare import compare, label_errors
from adafer.commands.crossval import crossval
from adafer.commands.data import data
from adafer.commands.doctor import doctor
from adafer.commands.evaluate import evaluate, report
from adafer.commands.explain import explain
from adafer.commands.export import export
from adafer.commands.lists import models, recipes
from adafer.commands.lr_find import lr_find
from adafer.commands.predict import predict
from adafer.commands.publish import publish
from adafer.commands.steps import steps
from adafer.commands.train import train

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "doctor": doctor,
    "train": train,
    "evaluate": evaluate,
    "crossval": crossval,
    "steps": steps,
    "explain": explain,
    "anchors": anchors,
    "compare": compare,
    "label-errors": label_errors,
    "data": data,
    "lr-find": lr_find,
    "predict": predict,
    "export": export,
    "publish": publish,
    "report": report,
    "recipes": recipes,
    "models": models,
}
"""What each word of the shell calls."""
