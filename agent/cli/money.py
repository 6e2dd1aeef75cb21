"""Money and tokens in a few words."""
from search.store.calls import Spent


def money_text(dollars: float) -> str:
    """`$0`, `$0.0042`, `$1.23`, `$1,204.50`: cents, and below one cent two figures."""
    if 0 < dollars < 0.01:
        return f"${dollars:.2g}" if dollars >= 0.0001 else "<$0.0001"
    return f"${dollars:,.2f}" if dollars else "$0"


def count_text(count: float) -> str:
    """`812`, `45k`, `3.4M`."""
    if count < 1000:
        return f"{count:.0f}"
    return f"{count / 1000:.3g}k" if count < 999_500 else f"{count / 1e6:.3g}M"


def spent_text(spent: Spent, dollars: float | None = None) -> str:
    """`$1.23 of $20, 45k tokens, 31 calls, 2 failed, 1 lost (≤ $0.30)`."""
    limit = "" if dollars is None else f" of {money_text(dollars)}"
    told = [f"{money_text(spent.dollars)}{limit}", f"{count_text(spent.tokens)} tokens",
            f"{spent.calls} call{'s' * (spent.calls != 1)}"]
    if spent.failed:
        told.append(f"{spent.failed} failed")
    if spent.in_flight:
        told.append(f"{spent.in_flight} in flight (≤ {money_text(spent.in_flight_nanos / 1e9)})")
    if spent.lost:
        told.append(f"{spent.lost} lost (≤ {money_text(spent.lost_nanos / 1e9)})")
    return ", ".join(told)
