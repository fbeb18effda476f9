"""The progress of a pool: one line for the whole run."""

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType

# How often the line changes on a terminal, and how often a log gets a new one.
ON_TERMINAL, IN_LOG = 1.0, 30.0
LONG = 60.0


class Progress:
    """Says how many cells are done, which are running, and how much time is left."""

    def __init__(
        self, cells: Mapping[int, tuple[str, float]], processes: int | None
    ) -> None:
        """cells: by number, a name and the estimated seconds, in the order of their start.

        processes: how many cells run at the same time; None if that is not known, so that
        only the number of finished cells is shown.
        """
        self.names = {number: name for number, (name, _) in cells.items()}
        self.estimates = {number: seconds for number, (_, seconds) in cells.items()}
        self.processes = processes
        self.waiting = list(cells)
        self.started: dict[int, float] = {}
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
        self._print(f"\r\033[K{line}" if self.on_terminal else line)

    def done(self, cell: int, seconds: float) -> None:
        """Note that a cell is finished, and how many seconds it took."""
        self.n_done += 1
        self.actual += seconds
        self.expected += self.estimates[cell]
        self.started.pop(cell, None)
        if cell in self.waiting:
            self.waiting.remove(cell)
        self._start_cells()

    def left(self) -> float:
        """Estimate the seconds left, corrected by how long cells took.

        Running cells that are late count, too: a long run must not wait for its first cell
        to end before it says that everything takes longer.
        """
        now = time.monotonic()
        ages = {cell: now - start for cell, start in self.started.copy().items()}
        pace = self.actual / self.expected if self.expected else 1.0
        late = [cell for cell in ages if ages[cell] > self.estimates[cell] * pace]
        actual = self.actual + sum(ages[cell] for cell in late)
        expected = self.expected + sum(self.estimates[cell] for cell in late)
        if late and expected:  # a finished checkpoint is expected to take 0 seconds
            pace = actual / expected
        running = [
            max(0.0, self.estimates[cell] * pace - age) for cell, age in ages.items()
        ]
        waiting = sum(self.estimates[cell] for cell in self.waiting) * pace
        return max([*running, (sum(running) + waiting) / (self.processes or 1)])

    def line(self) -> str:
        """Describe the state of the pool."""
        parts = [f"{self.n_done} of {len(self.estimates)} training runs done"]
        if self.started and not self.ended.is_set():
            running = ", ".join(self.names[cell] for cell in list(self.started))
            parts += [f"running: {running}", f"{format_time(self.left())} left"]
        return "; ".join(parts)

    def _start_cells(self) -> None:
        while self.waiting and len(self.started) < (self.processes or 0):
            self.started[self.waiting.pop(0)] = time.monotonic()

    def _tick(self) -> None:
        while not self.ended.wait(ON_TERMINAL if self.on_terminal else IN_LOG):
            if self.on_terminal:
                print(f"\r\033[K{self.line()}", end="", file=sys.stderr, flush=True)
            else:
                self._print(self.line())

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def format_time(seconds: float) -> str:
    """Format a duration: 40 s, 12 min, 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < LONG:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
