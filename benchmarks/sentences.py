"""Sentences to speak, each different from all others: nothing may come from a cache unless it is meant to.

Made of the Harvard sentences (IEEE Recommended Practice for Speech Quality Measurements, 1969): two of them, joined,
last five seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Final

HARVARD: Final = (
    "The birch canoe slid on the smooth planks",
    "Glue the sheet to the dark blue background",
    "It's easy to tell the depth of a well",
    "These days a chicken leg is a rare dish",
    "Rice is often served in round bowls",
    "The juice of lemons makes fine punch",
    "The box was thrown beside the parked truck",
    "The hogs were fed chopped corn and garbage",
    "Four hours of steady work faced us",
    "A large size in stockings is hard to sell",
    "The boy was there when the sun rose",
    "A rod is used to catch pink salmon",
    "The source of the huge river is the clear spring",
    "Kick the ball straight and follow through",
    "Help the woman get back to her feet",
    "A pot of tea helps to pass the evening",
    "Smoky fires lack flame and heat",
    "The soft cushion broke the man's fall",
    "The salt breeze came across from the sea",
    "The girl at the booth sold fifty bonds",
)


def sentences() -> Iterator[str]:
    """Over a thousand sentences of about five seconds, in an order that does not change."""
    for joined in ("and", "but", "so"):
        for first, second in permutations(HARVARD, 2):
            yield f"{first}, {joined} {second[0].lower()}{second[1:]}."
