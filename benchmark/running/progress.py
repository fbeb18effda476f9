"""The progress of a pool: one line for the whole run."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from types import TracebackType

# How often the line changes on a terminal, and how often a log gets a new one.
ON_TERMINAL, IN_LOG = 1.0, 30.0
# In the log of a long run: at most one line per this share of the time passed.
LOG_SHARE = 0.02
LONG = 60.0


@dataclass(frozen=True)
class Epochs:
    """How far a cell is.

    when: the last epoch ended, in seconds since 1970. guesses: its loss is still that of
    guessing.
    """

    done: int
    total: int
    when: float
    guesses: bool = False


class Progress:
    """Says how many cells are done, which are running, and how much time is left."""

    def __init__(
        self,
        cells: Mapping[int, tuple[str, float]],
        processes: int | None,
        epochs_of: Callable[[int], Epochs | None] = lambda _: None,
    ) -> None:
        """cells: by number, a name and the estimated seconds, in the order of their start.

        processes: how many cells run at the same time; None if that is not known, so that
        only the number of finished cells is shown. epochs_of: looks how far a cell is; it
        is called only for cells that have been running for a while.
        """
        self.names = {number: name for number, (name, _) in cells.items()}
        self.estimates = {number: seconds for number, (_, seconds) in cells.items()}
        self.processes = processes
        self.waiting = list(cells)
        self.started: dict[int, float] = {}
        self.epochs_of = epochs_of
        # What looks at running cells found: the last one, and the first in this run.
        self.first: dict[int, Epochs] = {}
        self.last: dict[int, Epochs] = {}
        self.warned: set[int] = set()
        self.n_done = 0
        self.actual = self.expected = 0.0
        self.began = time.monotonic()
        self.on_terminal = sys.stderr.isatty()
        self.ended = threading.Event()
        self.ticking = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        self._start_cells()
        n_cells = len(self.names)
        cells = f"{n_cells} training run{'s' if n_cells > 1 else ''}"
        if self.processes:
            self._print(
                f"{cells}, {self.processes} at a time: about {format_time(self.left())}"
            )
        else:
            self._print(cells)
        self.ticking.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ended.set()
        self.ticking.join()
        took = time.monotonic() - self.began
        line = f"{self.line()} in {format_time(took)}"
        if self.processes and error is None:
            busy = min(1.0, self.actual / took / self.processes)
            line += f", processors busy {busy:.0%} of the time"
        elif kind is KeyboardInterrupt:
            line += "; run the same command again to resume"
        self._print(f"\r\033[K{line}" if self.on_terminal else line)

    def done(self, cell: int, seconds: float) -> None:
        """Note that a cell is finished, and how many seconds it took."""
        self.n_done += 1
        self.actual += seconds
        self.expected += self.estimates[cell]
        for running in (self.started, self.first, self.last):
            running.pop(cell, None)
        if cell in self.waiting:
            self.waiting.remove(cell)
        self._start_cells()

    def left(self) -> float:
        """Estimate the seconds left, corrected by how long cells and epochs took.

        Running cells that are late count, too: a long run must not wait for its first cell
        to end before it says that everything takes longer.
        """
        now = time.monotonic()
        ages = {cell: now - start for cell, start in self.started.copy().items()}
        by_epochs = {cell: self._left_by_epochs(cell) for cell in ages}
        # What these running cells will have taken at the end.
        known = {cell: ages[cell] + s for cell, s in by_epochs.items() if s is not None}
        pace = self._pace(known)
        late = {
            c: ages[c] for c in ages.keys() - known if ages[c] > self.estimates[c] * pace
        }
        pace = self._pace(known | late)
        running = [
            max(0.0, known.get(cell, self.estimates[cell] * pace) - age)
            for cell, age in ages.items()
        ]
        waiting = [self.estimates[cell] * pace for cell in self.waiting.copy()]
        return until_the_last_ends(running, waiting, self.processes or 1)

    def line(self) -> str:
        """Describe the state of the pool."""
        parts = [f"{self.n_done} of {len(self.estimates)} training runs done"]
        if self.started and not self.ended.is_set():
            running = ", ".join(map(self._describe, list(self.started)))
            parts += [f"{format_time(self.left())} left", f"running: {running}"]
        return "; ".join(parts)

    def _describe(self, cell: int) -> str:
        epochs = self.last.get(cell)
        how_far = f" (epoch {epochs.done}/{epochs.total})" if epochs else ""
        return f"{self.names[cell]}{how_far}"

    def _pace(self, running: Mapping[int, float]) -> float:
        """Return how many times as long as estimated cells take: finished and running."""
        expected = self.expected + sum(self.estimates[cell] for cell in running)
        if not expected:  # a finished checkpoint is expected to take 0 seconds
            return 1.0
        return (self.actual + sum(running.values())) / expected

    def _left_by_epochs(self, cell: int) -> float | None:
        """Return how many seconds a running cell needs if its next epochs are as fast."""
        first, last = self.first.get(cell), self.last.get(cell)
        if not first or not last or first.done == last.done:
            return None
        per_epoch = (last.when - first.when) / (last.done - first.done)
        left = per_epoch * (last.total - last.done) - (time.time() - last.when)
        return max(0.0, left)

    def _look(self) -> None:
        for cell, start in self.started.copy().items():
            age = time.monotonic() - start
            if age > LONG and (found := self.epochs_of(cell)):
                self.last[cell] = found
                if found.guesses and cell not in self.warned:
                    self.warned.add(cell)
                    self._warn(cell, found.done)
                # The run may have resumed what was interrupted yesterday.
                if time.time() - found.when < age:
                    self.first.setdefault(cell, found)

    def _warn(self, cell: int, epochs: int) -> None:
        line = (
            f"note: {self.names[cell]}: after {epochs} epochs, its loss is still that of "
            "guessing; if that does not change, try a lower learning rate (lr)"
        )
        self._print(f"\r\033[K{line}" if self.on_terminal else line)

    def _start_cells(self) -> None:
        while self.waiting and len(self.started) < (self.processes or 0):
            self.started[self.waiting.pop(0)] = time.monotonic()

    def _tick(self) -> None:
        while not self.ended.wait(self._pause()):
            self._look()
            line = self.line()
            if self.on_terminal:
                # A longer line would not be overwritten.
                room = shutil.get_terminal_size().columns - 1
                if len(line) > room:
                    line = f"{line[: room - 1]}…"
                print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
            else:
                self._print(line)

    def _pause(self) -> float:
        passed = time.monotonic() - self.began
        return ON_TERMINAL if self.on_terminal else max(IN_LOG, LOG_SHARE * passed)

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def until_the_last_ends(
    running: Sequence[float], waiting: Sequence[float], processes: int
) -> float:
    """Return the seconds until all tasks have ended.

    running: how much longer these take. waiting: how long these will take, in the order of
    their start; each starts as soon as a process is free.
    """
    free_in = [*running, *[0.0] * (processes - len(running))]
    heapify(free_in)
    for seconds in waiting:
        heapreplace(free_in, free_in[0] + seconds)
    return max(free_in)


def format_time(seconds: float) -> str:
    """Format a duration: 40 s, 12 min, 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < LONG:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
