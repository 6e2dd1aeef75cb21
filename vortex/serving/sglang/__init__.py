"""Flows inside SGLang: a plug-in for its own entry point, an engine that drives it, and a server."""
