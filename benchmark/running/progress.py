"""Progress of a training run: one bar per seed on a terminal, lines in a log."""

import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0


class EpochProgress:
    """Shows a training run's epoch, loss and time left. Call it after each epoch."""

    def __init__(self, label: str, epochs: int, done: int = 0, position: int = 0) -> None:
        """label: net and seed. done: epochs already trained. position: the bar's line."""
        self.on_terminal = sys.stderr.isatty()
        self.label = label
        self.bar = tqdm(
            total=epochs,
            initial=done,
            desc=self.label,
            unit="epoch",
            position=position,
            leave=True,
            dynamic_ncols=True,
            disable=not self.on_terminal,
        )
        self.epochs = epochs
        self.done = done
        self.started = self.last_line = time.monotonic()
        if done:
            tqdm.write(
                f"{self.label}: resumes after epoch {done}/{epochs}", file=sys.stderr
            )

    def __call__(self, epoch: int, loss: float) -> None:
        self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        self.bar.update()
        if epoch == self.epochs:
            self.bar.close()
        if not self.on_terminal:
            self._line(epoch, loss)

    def _line(self, epoch: int, loss: float) -> None:
        now = time.monotonic()
        due = now - self.last_line >= SECONDS_BETWEEN_LINES
        if not (due or epoch in (self.done + 1, self.epochs)):
            return
        self.last_line = now
        elapsed = now - self.started
        left = tqdm.format_interval(elapsed / (epoch - self.done) * (self.epochs - epoch))
        print(
            f"{self.label}: epoch {epoch}/{self.epochs}, loss {loss:.4f}, {left} left",
            file=sys.stderr,
            flush=True,
        )
