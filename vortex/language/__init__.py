"""The language: what a flow may say, and how its text becomes a Graph."""
