"""Sparse attention as small programs: say it (language), compile it (compiler), serve it (serving)."""
