"""Where texts that we did not write are evaluated: a child without network, secrets, files to write or processes to start."""
from evaluator.sandbox.choice import Standing, allow_unsafe, run, standing, unsafe
from evaluator.sandbox.reading import read_flow
from evaluator.sandbox.sandbox import Sandbox

__all__ = ["Sandbox", "Standing", "allow_unsafe", "read_flow", "run", "standing", "unsafe"]
