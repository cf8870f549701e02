"""The program of each process that trains with others; `adafer.launch` starts it."""

import os
import signal
import sys
import threading
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from adafer.engine.ranks import join, leave
from adafer.engine.signals import StopRequest
from adafer.errors import AdaferError
from adafer.experiment import train_ordered
from adafer.launch import read_order, tell
from adafer.progress import Console, Silence, Watcher
from adafer.recipe import Recipe


def main(place: Path) -> NoReturn:
    """Train as ordered, leave word of the end, and end."""
    sys.stdout, sys.stderr = Unheard(sys.stdout), Unheard(sys.stderr)
    rank = int(os.environ["RANK"])
    order = read_order(place)
    stop = StopRequest(order.hours)
    watcher: Watcher = Silence()
    if rank == 0:
        threading.Thread(target=_listen, args=(stop,), daemon=True).start()
        if order.show != "nothing":
            watcher = Console(quiet=order.show == "table")
    else:
        warnings.simplefilter("ignore")  # the first says the same
    try:
        ranks = join()
        run = train_ordered(Recipe.from_dict(order.recipe), order, watcher, stop, ranks)
        ranks.meet()
    except AdaferError as error:
        trace = traceback.format_exc()
        tell(place, rank, exit_code=error.exit_code, sentence=str(error), trace=trace)
        leave(1)
    except BaseException:
        traceback.print_exc()
        leave(1)
    if run is not None:
        tell(place, rank, run=str(run.path), signal=stop.signal)
    leave(0)


class Unheard:
    """A stream whose reader may be gone, with the one who started this: then nothing is said."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if anybody reads."""
        with suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, if anybody reads."""
        with suppress(BrokenPipeError):
            self._stream.flush()


def _listen(stop: StopRequest) -> None:
    """Stop in good order when the starter says so, by a signal's number, or is there no more.

    A starter that dies after it has said so was asked twice: then at once.
    """
    said = os.read(sys.stdin.fileno(), 1)
    stop.ask(said[0] if said else signal.SIGTERM)
    if said and not os.read(sys.stdin.fileno(), 1):
        os._exit(128 + said[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
