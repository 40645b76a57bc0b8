from __future__ import annotations

import numpy as np

from models.protocols import Pool
from models.selectors.top_k import TopK


def test_the_best_scores_come_first_and_equal_ones_in_the_order_given():
    assert TopK().select(Pool(scores=np.array([1.0, 3.0, 2.0, 3.0, -np.inf])), 3) == [1, 3, 2]
    assert TopK().select(Pool(scores=np.array([1.0, 3.0, 2.0, 3.0, -np.inf])), 9) == [1, 3, 2, 0]
