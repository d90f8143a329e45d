"""What a typical mistake is, in the tables of this folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """A mistake of a beginner.

    name   what is done
    code   what is written, with the names of tests/mistakes/world.py
    says   what an error or a warning must contain: where | what was received | what was expected | how to fix it
    meant  a sentence of the guide that says why this is no mistake, in place of `says`
    """

    name: str
    code: str
    says: str = ""
    meant: str = ""
