"""The sampler file: what is trained on what, with which loss, and how it is judged.

Components are written `{kind: name, option: value, ...}`; their options are checked where they are built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from data.config import Spec, read_mapping, validated


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _row(value: Any) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _different(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError(f"each seed is trained once; got {list(values)}")
    return values


class EvaluationConfig(_Strict):
    """How the policy is judged at every `training.evaluate_every`-th step."""

    max_states: int = Field(default=100_000, ge=0)
    """Spaces of up to so many states are enumerated and judged exactly, which asks for the reward of every object; 0:
    none is."""
    held_out: int = Field(default=64, ge=3)
    """Objects whose log-probability is estimated, where the space is not enumerated."""
    draws: int = Field(default=10, ge=1)
    """Backward trajectories per held-out object."""
    samples: int = Field(default=256, ge=2)
    """Objects drawn from the policy at an evaluation, where the space is not enumerated."""
    top_k: int = Field(default=100, ge=2)
    """Best objects found in training whose rewards and diversity are told."""
    mode_reward: float | None = Field(default=None, gt=0)
    """Least reward of a mode. None: that of the best of the objects that the held-out ones are chosen from."""
    mode_distance: float | None = Field(default=None, ge=0)
    """Modes are further apart than this. None: every object with the reward is a mode."""
    distance: Literal["auto", "tanimoto", "hamming", "overlap"] = "auto"
    """auto: tanimoto of molecules, Euclidean of real numbers, 1 - cos of angles, hamming of strings and tuples of one
    length, else overlap."""
    conditions: tuple[float | tuple[float, ...], ...] | None = Field(default=None, min_length=1)
    """Conditions at which a conditional sampler is judged. None: beta = 1, the middle of the range and its end."""

    def condition_rows(self) -> list[tuple[float, ...]] | None:
        """Return one row of numbers per condition, or None if they are left to the conditioning."""
        return None if self.conditions is None else [_row(value) for value in self.conditions]


class GraphsConfig(_Strict):
    """Many graphs of which one network learns: those of the `folder` of the environment, or of its law, `random`."""

    train: int | None = Field(default=None, ge=1)
    """Graphs that are trained on. None: 200 of a law; of a folder all that are not held out."""
    test: int = Field(default=50, ge=1)
    """Graphs that are held out, and judged on."""
    draws: int = Field(default=20, ge=1)
    """Solutions of a graph of which the best counts."""
    exact: int = Field(default=70, ge=0)
    """Graphs of up to so many vertices are solved exactly too, if the problem is an independent set or a clique."""
    solve: tuple[Path, ...] = ()
    """Files of graphs for which solutions are wanted at the end."""


_OF_GFLOWNETS = ("policy", "reward", "backward_policy", "conditioning")


class SamplerConfig(_Strict):
    """Training of a GFlowNet on an environment or on the objects of a space, or of a diffusion sampler on a density.

    Each seed is a training of its own.
    """

    environment: Spec | None = None
    space: Spec | None = None
    """As in a campaign file; instead of `environment`."""
    density: Spec | None = None
    """A density over real vectors, which a diffusion sampler learns; instead of `environment`."""
    graphs: GraphsConfig | None = None
    """One network for many graphs: the `environment` is then `vertex_sets` over a `folder` or a `random` law."""
    construction: Spec | None = None
    """How the objects of `space` are built, its network included. None: as the space says."""
    reward: Spec = {"kind": "environment"}
    policy: Spec | None = None
    """The network over the states of `environment`. None: `{kind: mlp}`."""
    objective: Spec = {"kind": "trajectory_balance"}
    backward_policy: Spec = {"kind": "uniform"}
    conditioning: Spec | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    """Options of the trainer."""
    evaluation: EvaluationConfig = EvaluationConfig()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_different)] = (0,)

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        subjects = [name for name in ("environment", "space", "density") if getattr(self, name) is not None]
        if len(subjects) != 1:
            raise ValueError(
                "what is trained on is told by `environment`, by `space` as in a campaign, or by `density`; give one; "
                f"got {' and '.join(subjects) or 'none'}"
            )
        if self.space is not None and self.policy is not None:
            raise ValueError("the network of a space belongs to its `construction`; leave `policy` out")
        if self.space is None and self.construction is not None:
            raise ValueError("`construction` says how the objects of a `space` are built; give `space` too")
        return self

    @model_validator(mode="after")
    def _chains_have_no_other_parts(self) -> Self:
        fields = type(self).model_fields
        other = [name for name in _OF_GFLOWNETS if getattr(self, name) != fields[name].default]
        if self.density is not None and other:
            raise ValueError(
                f"the chain of a `density` has a network, a backward law and a reward of its own; leave "
                f"{' and '.join(f'`{name}`' for name in other)} out"
            )
        return self

    @model_validator(mode="after")
    def _graphs_have_flows_of_their_own(self) -> Self:
        if self.graphs is None:
            return self
        if self.environment is None or self.environment.get("kind") != "vertex_sets":
            raise ValueError(
                "`graphs` are those of an environment of kind 'vertex_sets'; got "
                f"{self.environment or 'none'}. Give `environment: {{kind: vertex_sets, ...}}`, or leave `graphs` out"
            )
        fields = type(self).model_fields
        other = [
            name
            for name in ("reward", "backward_policy", "conditioning", "evaluation")
            if getattr(self, name) != fields[name].default
        ]
        if other:
            raise ValueError(
                "on many graphs the reward is the environment's, backward steps are uniform, and what is judged is "
                f"told under `graphs`; leave {' and '.join(f'`{name}`' for name in other)} out"
            )
        return self

    @model_validator(mode="after")
    def _conditions_belong_to_conditioning(self) -> Self:
        if self.evaluation.conditions is not None and self.conditioning is None:
            raise ValueError("evaluation.conditions are given, but there is no `conditioning` that has conditions")
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as JSON-able values."""
        return self.model_dump(mode="json")


def load_sampler(path: Path, overrides: Sequence[str] = ()) -> SamplerConfig:
    """Read a sampler file and apply `a.b=c` overrides, values being YAML.

    Raises:
        ConfigError: the file is missing, no YAML mapping, or breaks the schema; the message names key and spelling.
    """
    return parse_sampler(read_mapping(path, overrides, what="sampler"), source=path.name)


def parse_sampler(raw: Mapping[str, Any], source: str = "the sampler") -> SamplerConfig:
    """Validate a mapping.

    Raises:
        ConfigError: all that is wrong, in one message.
    """
    return validated(SamplerConfig, raw, source=source, what="sampler")
