"""The best of many, not too many of one family."""

from models.generators.spreading import spread


def test_objects_are_spread_over_families_as_far_as_there_are_enough():
    objects = ["a1", "a2", "a3", "b1", "c1"]
    assert spread(objects, lambda obj: obj[0], 4, 2) == ("a1", "a2", "b1", "c1")
    assert spread(objects, lambda obj: obj[0], 5, 1) == ("a1", "b1", "c1", "a2", "a3")


def test_no_more_families_are_asked_for_than_are_needed():
    asked = []
    assert spread(["a1", "b1", "c1"], lambda obj: asked.append(obj) or obj[0], 2, 1) == ("a1", "b1")
    assert asked == ["a1", "b1"]
