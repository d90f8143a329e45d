"""A tape in C++: one function that makes many steps a call."""

from graphdl.cpp.compiled import Compiled, Roles, compile_tape

__all__ = ["Compiled", "Roles", "compile_tape"]
