"""Densities over real vectors that a sampler file names: those samplers are judged on, or a function of the user."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor

from models.diffusion.targets import Funnel, GaussianMixture, ManyWell, Target
from models.gflownet.rewards.user_function import UserFunction, function_name
from models.registry import Component


class Density(Component):
    """A density over d real numbers that need not be normalised."""

    group: ClassVar[str] = "density"

    @abstractmethod
    def target(self, base: Path) -> Target:
        """Return the density.

        Args:
            base: folder of the file that names it, where the user's modules are looked for first.

        Raises:
            ValueError: it cannot be made.
        """

    def version(self, base: Path) -> str:
        """Return what, besides the options, makes this density this density."""
        del base
        return ""


class GaussianGrid(Density):
    """side x side Gaussians of equal weight in the plane about the origin; log Z = 0."""

    kind: ClassVar[str] = "gaussian_grid"
    cites: ClassVar[tuple[str, ...]] = ("sendera2024improved",)

    class Options(Component.Options):
        """The usual ones are 25GMM; `side: 3` is 9GMM."""

        side: int = Field(5, ge=1, le=20, description="Gaussians in each direction.")
        spacing: float = Field(5.0, gt=0, description="Distance of neighbours.")
        variance: float = Field(0.3, gt=0, description="Of each, in each direction.")

    def target(self, base: Path) -> Target:
        """Return the mixture."""
        del base
        return GaussianMixture.grid(**self.options.model_dump())


class FunnelDensity(Density):
    """x_0 ~ N(0, s^2), each other x_i ~ N(0, e^x_0); log Z = 0."""

    kind: ClassVar[str] = "funnel"
    cites: ClassVar[tuple[str, ...]] = ("neal2003slice",)

    class Options(Component.Options):
        """Its shape."""

        dimensions: int = Field(10, ge=2, le=1000, description="d.")
        deviation: float = Field(3.0, gt=0, description="s.")

    def target(self, base: Path) -> Target:
        """Return the funnel."""
        del base
        return Funnel(**self.options.model_dump())


class ManyWellDensity(Density):
    """Pairs of a double well and a Gaussian: 2^(d / 2) modes, and log Z to eight digits by quadrature."""

    kind: ClassVar[str] = "many_well"
    cites: ClassVar[tuple[str, ...]] = ("sendera2024improved",)

    class Options(Component.Options):
        """Its size."""

        dimensions: int = Field(32, ge=2, le=1000, multiple_of=2, description="d, an even number.")

    def target(self, base: Path) -> Target:
        """Return the wells."""
        del base
        return ManyWell(self.options.dimensions)


class PythonDensity(Density):
    """A function of the user: positions (n, d), a float32 tensor of torch, to log-densities (n,).

    Training calls it for positions far from where the density is large, and needs a finite number there. For Langevin
    drifts and searches it must be written in operations of torch, through which gradients pass. The module is looked
    for beside the sampler file first, then among what is installed. It runs in this process.
    """

    kind: ClassVar[str] = "python"

    class Options(Component.Options):
        """Which function, and of how many numbers."""

        function: str = Field(description="module:function, from positions (n, d) to log-densities (n,).")
        dimensions: int = Field(ge=1, le=1000, description="d.")

        @field_validator("function")
        @classmethod
        def _module_and_function(cls, text: str) -> str:
            return function_name(text, "my_density:log_density")

    def target(self, base: Path) -> Target:
        """Return the function.

        Raises:
            ValueError: there is no such module or function, or its answer to two positions is none.
        """
        named = UserFunction(self.options.function, base, "density")
        made = UserDensity(self.options.dimensions, named.load(), self.options.function)
        made.log_reward(torch.zeros((2, self.options.dimensions)))
        return made

    def version(self, base: Path) -> str:
        """Return the sha256 of the module's source."""
        return UserFunction(self.options.function, base, "density").sha256()


class UserDensity(Target):
    """A density that a function of the user's tells; nothing else is known of it.

    Args:
        dimensions: d.
        function: (n, d) -> (n,).
        name: of the function, for messages.
    """

    def __init__(self, dimensions: int, function: Callable[[Tensor], Any], name: str) -> None:
        self.dimensions, self._function, self._name = dimensions, function, name

    def log_reward(self, x: Tensor) -> Tensor:
        """Return the log-density (...) at positions (..., d).

        Raises:
            ValueError: the function failed, or what it returned is no tensor with one number for each position.
        """
        flat = x.reshape(-1, self.dimensions)
        try:
            answer = self._function(flat)
        except Exception as error:
            raise ValueError(
                f"The density {self._name} raised {type(error).__name__}: {error} for a tensor of the shape "
                f"{tuple(flat.shape)}. It must answer for any positions."
            ) from error
        if not isinstance(answer, Tensor) or answer.shape != flat.shape[:1]:
            got = f"a tensor {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
            raise ValueError(
                f"The density {self._name} returned {got} for {len(flat)} positions; expected a tensor ({len(flat)},) "
                "of log-densities."
            )
        wrong = (~answer.isfinite()).nonzero()
        if len(wrong):
            place = ", ".join(f"{number:.4g}" for number in flat[wrong[0, 0]].tolist()[:5])
            more = ", ..." if self.dimensions > 5 else ""
            raise ValueError(
                f"The density {self._name} returned {answer[wrong[0, 0]].item()} at ({place}{more}); expected a finite "
                "log-density at every position. Beyond a bound let it fall steeply instead, such as by -1000 times the "
                "squared distance."
            )
        return answer.float().reshape(x.shape[:-1])
