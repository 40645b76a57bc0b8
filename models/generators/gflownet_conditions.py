"""What the generator `gflownet` is conditioned on, and the conditions that it is judged and sampled under."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.gflownet.conditioning.base import Conditioning
from models.gflownet.conditioning.inverse_temperature import InverseTemperature, InverseTemperatureOptions
from models.gflownet.conditioning.objectives import OfObjectives
from models.gflownet.judging.evaluation import Case
from models.protocols import Utilities
from models.registry import build


def conditioning_of(
    spec: dict[str, Any] | None, sample_beta: float | None, utilities: Utilities | None
) -> Conditioning | None:
    """Return the conditioning of a training, None without.

    Args:
        spec: `{kind, option...}`, or None.
        sample_beta: at which candidates are to be drawn; None: the highest.
        utilities: of the objectives of the campaign, None where there is one.

    Raises:
        ValueError: the parts do not go together.
    """
    conditioning = None if spec is None else build("conditioning", spec)
    if conditioning is not None and conditioning.of_objects:
        raise ValueError(
            f"The conditioning {conditioning.kind!r} is trained without a reward, and a campaign has one. Use it in a "
            "sampler file (`discover sampler`), or leave `conditioning` out."
        )
    law = _law(conditioning)
    if sample_beta is not None and law is None:
        raise ValueError(
            f"sample_beta is {sample_beta}, but the policy is not conditioned on beta. Leave it out, or set "
            "`conditioning: {kind: inverse_temperature}`."
        )
    if sample_beta is not None and law is not None and not law.low <= sample_beta <= law.high:
        raise ValueError(
            f"sample_beta is {sample_beta}, but the policy is trained for beta from {law.low} to {law.high} only. "
            "Choose one of these, or widen the range of the conditioning."
        )
    if spec is None or not isinstance(conditioning, OfObjectives):
        return conditioning
    require_objectives(conditioning, 1 if utilities is None else utilities.objectives)
    assert utilities is not None  # there are several objectives
    whole: OfObjectives = build("conditioning", {**spec, "objectives": utilities.objectives})
    return whole.sharpened(utilities.power)


def require_objectives(conditioning: Conditioning | None, k: int) -> None:
    """Refuse a trade-off where there is nothing to trade off, or one between another number of objectives.

    Raises:
        ValueError: it does not go with k objectives to improve.
    """
    if not isinstance(conditioning, OfObjectives):
        return
    told = conditioning.options.objectives
    if k < 2:
        raise ValueError(
            f"The conditioning {conditioning.kind!r} weighs several objectives against each other, and this campaign "
            "improves one. Leave `conditioning` out, use {kind: inverse_temperature}, or add an objective."
        )
    if told is not None and told != k:
        raise ValueError(
            f"The conditioning {conditioning.kind!r} is for {told} objectives, and this campaign improves {k}. Leave "
            "its option `objectives` out: it is known from the campaign."
        )


def case_of(conditioning: Conditioning | None, sample_beta: float | None) -> Case:
    """Return the condition that evaluations are made under: all objectives alike, at the beta of sampling."""
    if isinstance(conditioning, OfObjectives):
        raw = conditioning.middle(sample_beta)
    elif isinstance(conditioning, InverseTemperature):
        raw = torch.tensor([[sample_beta or conditioning.options.high]], dtype=torch.float64)
    else:
        return Case()
    return Case("", raw, conditioning.encode(raw), conditioning)


def conditions_of(conditioning: Conditioning | None, sample_beta: float | None, n: int) -> Tensor | None:
    """Return the encoded conditions (m, C) that n candidates are drawn under, an even grid of trade-offs; or None."""
    if isinstance(conditioning, OfObjectives):
        return conditioning.encode(conditioning.even(min(n, conditioning.options.proposed), sample_beta))
    return case_of(conditioning, sample_beta).encoded


def _law(conditioning: Conditioning | None) -> InverseTemperatureOptions | None:
    if isinstance(conditioning, OfObjectives):
        return conditioning.law
    return conditioning.options if isinstance(conditioning, InverseTemperature) else None
