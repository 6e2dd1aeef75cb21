"""When two flows are the same algorithm: a normal form in index notation, deeper than what is compiled, and its hash."""
