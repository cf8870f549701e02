"""Stop in good order: on a signal, or when the time is over."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from adafer.errors import AdaferError

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")


class Interrupted(AdaferError):
    """A training that a signal ended, saved; its exit code is the shell's, 128 + the signal."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("stopped by a signal and saved; go on with `adafer train --resume`")
        self.exit_code = 128 + signal_number


class StopRequest:
    """Ask once and the training saves and ends; ask twice and the process ends at once.

    Call it to learn whether a stop was asked for; `reason` says why. Signals that were ignored at
    the start (`nohup`, a background shell) stay ignored. `hours` is measured on a clock that does
    not jump with the time of day.
    """

    def __init__(
        self, hours: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.reason: str | None = None
        self.signal: int | None = None
        self._clock = clock
        self._deadline = None if hours is None else clock() + hours * 3600
        self._before: dict[int, Any] = {}
        self._owner = os.getpid()

    def __call__(self) -> bool:
        """Whether the training should save and end."""
        if self.reason is None and self._deadline is not None and self._clock() >= self._deadline:
            self.reason = "the time is over"
        return self.reason is not None

    def __enter__(self) -> "StopRequest":
        """Listen, where this is the main thread; elsewhere only the time counts."""
        if threading.current_thread() is threading.main_thread():
            for name in SIGNALS:
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hand the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        forked = os.getpid() != self._owner
        if forked and number == signal.SIGINT:
            return  # Ctrl-C reaches a forked loader too; its parent decides
        if forked or self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.ask(number)

    def ask(self, number: int) -> None:
        """Ask in the name of a signal that another process received."""
        self.signal = number
        self.reason = f"{signal.Signals(number).name} was received"
