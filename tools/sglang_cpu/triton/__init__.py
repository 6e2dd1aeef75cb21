"""Triton as far as SGLang's files need it to be imported: kernels are written down and cannot be launched."""
import importlib

from _stand_in import DECORATING, stand_in


class JITFunction:
    def __init__(self, fn):
        self.fn = fn
        self.__name__ = getattr(fn, "__name__", "kernel")
        self.__module__ = getattr(fn, "__module__", "")
        self.arg_names = []

    def __getitem__(self, grid):
        return self

    def __call__(self, *given, **named):
        raise NotImplementedError(f"kernel {self.__name__} was launched, and Triton is not installed")

    run = warmup = __call__


def jit(fn=None, **options):
    return JITFunction(fn) if fn is not None else JITFunction


def autotune(*given, **options):
    return lambda fn: fn


heuristics = autotune


class Config:
    def __init__(self, kwargs=None, **options):
        self.kwargs = kwargs or {}
        self.__dict__.update(options)


def cdiv(a, b):
    return -(-a // b)


def next_power_of_2(n):
    return 1 << max(0, (n - 1).bit_length())


DECORATING.add("triton")
stand_in(__name__, "3.6.0")
language, runtime, testing, compiler = (importlib.import_module(f"triton.{name}")
                                        for name in ("language", "runtime", "testing", "compiler"))
runtime.JITFunction = JITFunction


class _Constant:
    def __init__(self, value=None):
        self.value = value

    def __class_getitem__(cls, key):
        return cls


language.constexpr = _Constant
language.dtype = type("dtype", (), {})
