"""One network of the campaign: drawn until it can be trained, trained in every way, compared with torch."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial

import torch

from tests.agreement.agreeing import disagreement
from tests.agreement.networks import Artist, Drawn
from tests.agreement.reference import Reference, Result, train
from tests.agreement.ways import WAYS, Trained

LARGEST = 1e4
"""Of a loss, beyond which a network is drawn anew."""


@dataclass
class Verdict:
    """What became of a network in one way of training.

    verdict  agreed, ill-conditioned, chaotic, disagreed, failed, or not made
    used     whether steps were made in that way; if not, `reason` says why
    """

    seed: int
    way: str
    verdict: str
    text: str = ""
    used: bool = True
    reason: str = ""
    warnings: list[str] = field(default_factory=list)


def trainable(drawn: Drawn) -> bool:
    """Whether it takes rows, parameters train, and the losses stay within bounds."""
    reference = Reference(drawn, everything=False)
    values = list(reference.training)
    engine = drawn.network().engine
    if not values or not engine.plan(engine.losses).inputs:
        return False
    try:
        losses = train(drawn).losses.values()
    except RuntimeError as error:
        if "does not require grad" in str(error):
            return False
        raise
    return all(math.isfinite(loss) and abs(loss) <= LARGEST for loss in losses)


@lru_cache(maxsize=200)
def draw(seed: int) -> Drawn:
    """The network of a seed."""
    attempt = 0
    while not trainable(drawn := Artist(seed, attempt).paint()):
        attempt += 1
    return drawn


def check(seed: int, ways: Iterable[str]) -> list[Verdict]:
    """Train the network of a seed in some ways."""
    drawn = draw(seed)

    @cache
    def expected(everything: bool, finish: bool) -> Result:
        return train(drawn, everything, finish)

    return [_judge(drawn, way, expected) for way in ways]


def _judge(drawn: Drawn, way: str, expected) -> Verdict:
    everything, finish = way == "loop", way != "loop"
    try:
        trained: Trained = WAYS[way](drawn)
    except Exception as error:
        return Verdict(drawn.seed, way, "failed", "".join(traceback.format_exception_only(error)).strip())
    found = Verdict(
        drawn.seed, way, "not made", used=trained.used > 0, reason=trained.reason, warnings=trained.warnings
    )
    if trained.result.states:
        noisy = partial(train, drawn, everything, finish)
        found.verdict, found.text = disagreement(
            trained.result, expected(everything, finish), drawn.dtype, lambda seed: noisy(noise=seed)
        )
    return found


def prepare() -> None:
    """What every process does first."""
    torch.set_num_threads(1)
