"""Pareto fronts as pure functions: which points no other dominates, their ranks, and the volume they dominate.

A point is one number for each objective, finite, and everywhere lower is better. It dominates another if it is nowhere
worse and somewhere better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Point = Sequence[float]


def dominates(point: Point, other: Point) -> bool:
    """Whether a point is nowhere worse than another and somewhere better; equal points do not dominate each other.

    Example:
        >>> dominates((1, 2), (1, 3)), dominates((1, 2), (0, 3)), dominates((1, 2), (1, 2))
        (True, False, False)
    """
    return all(a <= b for a, b in zip(point, other, strict=True)) and tuple(point) != tuple(other)


def non_dominated(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other dominates, in order; of equal points the first alone.

    Example:
        >>> non_dominated([(1, 3), (2, 2), (2, 3), (1, 3)])
        [0, 1]
    """
    found: list[int] = []
    # Whatever dominates a point comes before it in lexicographic order, so those found so far are all to look at.
    for index in sorted(range(len(points)), key=lambda i: tuple(points[i])):
        candidate = points[index]
        if not any(all(a <= b for a, b in zip(points[i], candidate, strict=True)) for i in found):
            found.append(index)
    return sorted(found)


def rank_and_crowding(points: Sequence[Point]) -> list[tuple[int, float]]:
    """For each point the number of its front, 0 for the best, and its crowding distance within that front.

    Source: Deb, Pratap, Agarwal & Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE
    Transactions on Evolutionary Computation 6(2), 2002, sections III-A and III-B; computed by pymoo.

    Raises:
        ModuleNotFoundError: pymoo is not installed.

    Example:
        >>> rank_and_crowding([(1, 3), (2, 2), (3, 1), (3, 3)])
        [(0, inf), (0, 1.0), (0, inf), (1, inf)]
    """
    if not points:
        return []
    numpy, sorting, crowding = pymoo_parts("rank_and_crowding")[:3]
    values = numpy.asarray(points, dtype=numpy.float64)
    found = [(0, 0.0)] * len(points)
    for rank, front in enumerate(sorting().do(values)):
        distances = [math.inf] * len(front) if len(front) <= 2 else crowding(values[front]).tolist()
        for index, distance in zip(front.tolist(), distances, strict=True):
            found[index] = (rank, distance)
    return found


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume of what some point dominates and what lies before the reference point; exact.

    Source: Zitzler & Thiele, "Multiobjective Optimization Using Evolutionary Algorithms", PPSN 1998. With more than two
    objectives it is computed by pymoo.

    Args:
        points: dominated ones, and such that are not better than the reference everywhere, add nothing.
        reference: as a point.

    Raises:
        ModuleNotFoundError: there are more than two objectives, and pymoo is not installed.

    Example:
        >>> hypervolume([(1, 3), (2, 2), (9, 0)], reference=(4, 4))
        5.0
    """
    within = [tuple(point) for point in points if all(a < b for a, b in zip(point, reference, strict=True))]
    front = sorted(within[index] for index in non_dominated(within))
    if not front:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - front[0][0])
    if len(reference) > 2:
        numpy, *_, volume = pymoo_parts("hypervolume")
        return float(volume(ref_point=numpy.asarray(reference, dtype=numpy.float64))(numpy.asarray(front, dtype=float)))
    total, height = 0.0, reference[1]
    for first, second in front:  # from the left, each goes deeper than the last
        total += (reference[0] - first) * (height - second)
        height = second
    return float(total)


def pymoo_parts(wanted_by: str) -> tuple[Any, Any, Any, Any]:
    """numpy, and of pymoo the non-dominated sorting, the crowding distance and the hypervolume.

    Raises:
        ModuleNotFoundError: it is not installed; says how to install it.
    """
    try:
        import numpy
        from pymoo.indicators.hv import HV
        from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
        from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{wanted_by} needs {error.name}, which is not installed: pip install 'lightning-nas[pareto]'"
        ) from error
    return numpy, NonDominatedSorting, calc_crowding_distance, HV
