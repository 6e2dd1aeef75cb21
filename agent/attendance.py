"""Who still proposes in this run: a proposer leaves when its budget is spent, when it fails alike again and again, or
when it has nothing new to say; the others take its share."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.mix import STRIKES, Seat, in_vain, is_final
from search.candidate import Entry
from vortex.errors import BudgetSpent, CallError


class NobodyLeft(Exception):
    """Every proposer has left. `error` is the first that a person can mend; None: budgets and ideas are at their end."""

    def __init__(self, error: CallError | None) -> None:
        super().__init__("every proposer has left")
        self.error = error


@dataclass
class Attendance:
    """`note` tells, once, that a proposer left and why. Nothing is kept: who left is asked again in the next run."""

    seats: Sequence[Seat]
    note: Callable[[str], None]
    _left: dict[str, CallError | None] = field(default_factory=dict)
    _last: CallError | None = None
    _still: bool = False
    _strikes: dict[str, tuple[str, int]] = field(default_factory=dict)

    def present(self) -> list[Seat]:
        return [seat for seat in self.seats if seat.label not in self._left]

    def review(self, entries: Sequence[Entry]) -> None:
        """Begins a round; sends away those whose last candidates were all in vain. Raises NobodyLeft."""
        self._last = None
        for seat in self.present():
            if seat.spec.model and (reason := in_vain(entries, seat.label)):
                self._leave(seat, reason, None)
        if not self.present():
            raise NobodyLeft(self._error())

    def nothing_came(self) -> None:
        """A round is empty: where somebody failed or has left by an error, the next would be as well. Raises NobodyLeft."""
        error = self._last or self._error()
        if error is not None or not self.present():
            raise NobodyLeft(error)

    def _error(self) -> CallError | None:
        return next((error for error in self._left.values() if error is not None), None)

    def failed(self, seat: Seat, error: CallError) -> None:
        """Counts an error; one that will not go away, or that came too often in a row, sends the proposer away."""
        self._last = None if isinstance(error, BudgetSpent) else error
        before, count = self._strikes.get(seat.label, ("", 0))
        told = f"{error.code}: {error.message}"
        count = count + 1 if told == before else 1
        self._strikes[seat.label] = told, count
        if is_final(error) or count >= STRIKES:
            self._leave(seat, error.message, None if isinstance(error, BudgetSpent) else error)
        else:
            self.note(f"{seat.label}: {error.message}")

    def succeeded(self, seat: Seat) -> None:
        self._strikes.pop(seat.label, None)

    def plateau(self, number: int, still: bool, patience: int) -> None:
        """Tells when the weights after a plateau begin to hold, and when they cease to."""
        if still and not self._still:
            rounds = f"{patience} round{'' if patience == 1 else 's'}"
            self.note(f"no gain in {rounds}: from round {number} on, weights after a plateau")
        elif self._still and not still:
            self.note(f"the frontier gains again: from round {number} on, weights as before the plateau")
        self._still = still

    def _leave(self, seat: Seat, reason: str, error: CallError | None) -> None:
        self._left[seat.label] = error
        names = ", ".join(one.label for one in self.present())
        self.note(f"{seat.label} proposes no more: {reason}" + (f"; {names} take its share" if names else ""))
