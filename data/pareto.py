"""Domination between vectors of which larger entries are better: fronts, and the hypervolume above a reference point.

Plain Python, since `discover status` must answer at once; `models.acquisition.pareto` does the same with arrays.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

CITES = ("zhang2015nondominated", "while2012hypervolumes")
"""Keys of its papers."""

Vector = tuple[float, ...]


def fronts(points: Sequence[Vector]) -> list[list[int]]:
    """Return the positions of each front: the undominated points, those undominated once the first are gone, and so on.

    Two equal points do not dominate each other. Two entries take O(n log n).

    Args:
        points: of one length, no NaN.

    Reference: Zhang, Tian, Cheng and Jin, IEEE Trans. Evol. Comput. 19, 201 (2015): ENS with binary search.
    """
    found: list[list[int]] = []
    # Who dominates comes earlier, and who is dominated by a front is dominated by all fronts before it.
    for position in sorted(range(len(points)), key=lambda i: points[i], reverse=True):
        point = points[position]
        low, high = 0, len(found)
        while low < high:
            middle = (low + high) // 2
            if _beaten(point, found[middle], points):
                low = middle + 1
            else:
                high = middle
        if low == len(found):
            found.append([])
        found[low].append(position)
    return [sorted(front) for front in found]


def undominated(points: Sequence[Vector]) -> list[int]:
    """Return the positions of the points that no other dominates."""
    front: list[int] = []
    for position in sorted(range(len(points)), key=lambda i: points[i], reverse=True):
        if not _beaten(points[position], front, points):
            front.append(position)
    return sorted(front)


def _beaten(point: Vector, front: Sequence[int], points: Sequence[Vector]) -> bool:
    """Return whether a member of a front, the members in falling order, dominates a point that comes after them."""
    if len(point) <= 2:  # along a front of two entries the second rises: the last member has the largest
        other = points[front[-1]] if front else point
        return other != point and other[-1] >= point[-1]
    return any(
        points[i] != point and all(a >= b for a, b in zip(points[i], point, strict=True)) for i in reversed(front)
    )


def hypervolume(points: Iterable[Vector], reference: Vector) -> float:
    """Return the volume that at least one point dominates above a reference point; exact but for rounding.

    Args:
        points: of length K; those not above the reference in every entry add nothing.
        reference: of length K.
    """
    places, extent = _places(points, reference)
    return math.prod(extent) * _volume(list(places.values()))


def shares(front: Sequence[Vector], reference: Vector) -> list[float]:
    """Return of each point of a front the share of its hypervolume that is lost without it and its equals.

    Args:
        front: n points of length K, none of which dominates another.
        reference: of length K.
    """
    places, _ = _places(front, reference)
    whole = _volume(list(places.values()))
    if len(reference) == 2:
        own = _own_areas(places)
    else:
        own = {point: _own(place, [places[other] for other in places if other != point])
               for point, place in places.items()}  # fmt: skip
    return [own.get(point, 0.0) / whole if whole else 0.0 for point in front]


def inverted_generational_distance(points: Sequence[Vector], front: Sequence[Vector]) -> float:
    """Return the mean, over the members of a front, of the Euclidean distance to the nearest of some points.

    Args:
        points: found ones; none: the distance is infinite.
        front: the true one, or a sample of it.

    Reference: Coello Coello and Reyes Sierra, MICAI (2004).
    """
    if not points:
        return math.inf
    return math.fsum(min(math.dist(point, member) for point in points) for member in front) / len(front)


def r2_indicator(points: Sequence[Vector], utopia: Vector, weights: Sequence[Vector]) -> float:
    """Return the mean, over weights, of the least weighted Chebyshev distance of a point from a utopian one.

    Args:
        points: found ones; none: infinite.
        utopia: at least as good as anything in every entry.
        weights: of the entries, not negative.

    Reference: Hansen and Jaszkiewicz, IMM technical report 1998-7 (1998); divided by the number of weights.
    """
    if not points:
        return math.inf
    far = [
        min(max(w * abs(u - x) for w, u, x in zip(weight, utopia, point, strict=True)) for point in points)
        for weight in weights
    ]
    return math.fsum(far) / len(far)


def _places(points: Iterable[Vector], reference: Vector) -> tuple[dict[Vector, Vector], list[float]]:
    """Return the unequal points above the reference in the box from there to the best entries, and the box's sides.

    In shares of the box no product of four large numbers overflows.
    """
    above = [p for p in dict.fromkeys(points) if all(a > low for a, low in zip(p, reference, strict=True))]
    if not above:
        return {}, []
    sides = [max(entries) - low for entries, low in zip(zip(*above, strict=True), reference, strict=True)]
    places = {p: tuple((a - low) / side for a, low, side in zip(p, reference, sides, strict=True)) for p in above}
    return places, sides


def _volume(places: Sequence[Vector]) -> float:
    """Return the volume that is dominated above zero.

    Reference: While, Bradstreet and Barone, IEEE Trans. Evol. Comput. 16, 86 (2012): WFG, sliced by the last entry.
    """
    if not places:
        return 0.0
    if len(places[0]) == 1:
        return max(places)[0]
    if len(places[0]) == 2:
        return _area(places)
    if len(places[0]) == 3:
        return _swept(places)
    left = sorted((places[i] for i in undominated(places)), key=lambda place: place[-1])
    total = 0.0
    for position, place in enumerate(left):  # those behind reach higher in the last entry, so it limits none of them
        total += place[-1] * _own(place[:-1], [other[:-1] for other in left[position + 1 :]])
    return total


def _own(place: Vector, others: Iterable[Vector]) -> float:
    """Return the volume that is dominated by a place and by none of the others."""
    limited = [tuple(map(min, place, other)) for other in others]
    return max(math.prod(place) - _volume(limited), 0.0)


def _area(places: Sequence[Vector]) -> float:
    total, top = 0.0, 0.0
    for x, y in sorted(places, reverse=True):
        if y > top:
            total, top = total + x * (y - top), y
    return total


def _own_areas(places: Mapping[Vector, Vector]) -> dict[Vector, float]:
    """Return what each place of a front of two entries has for its own: the corner between its neighbours."""
    front = sorted(places, reverse=True)
    corners = [(math.inf, 0.0), *(places[key] for key in front), (0.0, math.inf)]
    return {
        key: (corners[i][0] - corners[i + 1][0]) * (corners[i][1] - corners[i - 1][1])
        for i, key in enumerate(front, start=1)
    }


def _swept(places: Sequence[Vector]) -> float:
    """Return the volume of three entries: the area of the first two, swept down the third."""
    xs: list[float] = []  # rising; the steps of what is dominated at the present height
    ys: list[float] = []  # falling
    total, area, height = 0.0, 0.0, math.inf
    for x, y, z in sorted(places, key=lambda place: place[2], reverse=True):
        if area:
            total += area * (height - z)
        height = z
        end = bisect_left(xs, x)
        if end < len(xs) and ys[end] >= y:
            continue
        first = end
        while first and ys[first - 1] <= y:
            first -= 1
        edge = xs[first - 1] if first else 0.0
        for step in range(first, end):
            area += (xs[step] - edge) * (y - ys[step])
            edge = xs[step]
        area += (x - edge) * (y - (ys[end] if end < len(ys) else 0.0))
        if end < len(xs) and xs[end] == x:
            end += 1
        xs[first:end], ys[first:end] = [x], [y]
    return total + area * height if area else 0.0
