"""Training of diffusion samplers: what is learnt, from which chains, and what is refused."""

import pytest
import torch

from models.diffusion.bounds import bounds
from models.diffusion.buffer import Buffer
from models.diffusion.moves import langevin_moves
from models.diffusion.network import DriftNetwork
from models.diffusion.targets import GaussianMixture, ManyWell
from models.diffusion.trainer import DGFS, DiffusionOptions, DiffusionTrainer
from models.gflownet.training.trainer import TrainingError
from models.registry import build, kinds

PAIR = GaussianMixture(torch.tensor([[-1.5, 0.0], [1.5, 0.5]]), 0.4)


def trainer(target=PAIR, seed=0, gradient=True, **options):
    return DiffusionTrainer(
        target.dimensions,
        target.log_reward,
        DiffusionOptions(**{"length": 10, "batch_size": 64, **options}),
        torch.Generator().manual_seed(seed),
        gradient=target.gradient if gradient else None,
    )


def judged(trained, target=PAIR, n=4000):
    return bounds(trained.chain, trained.network.drift, target, n, torch.Generator().manual_seed(9))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": {"kind": "log_partition_variance"}},
        {"exploration": 1.0},
        {"langevin": True},
        {"local_search": {"every": 20, "chains": 50, "moves": 20, "burn_in": 10}},
        DGFS,
    ],
    ids=["plain", "vargrad", "explored", "langevin", "searched", "dgfs"],
)
def test_training_brings_the_bounds_together(options):
    start, trained = judged(trainer(**options)), trainer(steps=100, **options)
    trained.train()
    end = judged(trained)
    assert end.gap < 0.5 * start.gap
    assert end.lower < 0.05
    assert end.upper > -0.05
    assert end.weighted == pytest.approx(0.0, abs=0.15)


def test_the_same_seed_trains_the_same():
    options = {"steps": 6, "local_search": {"every": 2, "chains": 4, "moves": 4, "burn_in": 0}, "exploration": 1.0}
    first, second = trainer(**options), trainer(**options)
    first.train()
    second.train()
    assert first.history == second.history


@pytest.mark.parametrize("kind", kinds("objective"))
def test_every_objective_is_used_or_refused_by_name(kind):
    objective = build("objective", {"kind": kind})
    if objective.needs or objective.on_policy:
        with pytest.raises(ValueError, match=f"The objective '{kind}' cannot train a diffusion sampler"):
            trainer(objective={"kind": kind})
    else:
        one = trainer(objective={"kind": kind})
        assert one.step()["step"] == 1.0
        assert any(bool((p.grad != 0).any()) for p in one.network.parameters() if p.grad is not None)


def test_langevin_drifts_need_a_gradient():
    with pytest.raises(ValueError, match="need the gradient of log R, and there is none"):
        trainer(gradient=False, langevin=True)


def test_a_reward_that_is_no_number_is_told():
    one = trainer()
    one.log_reward = lambda x: torch.full(x.shape[:-1], float("nan"))
    with pytest.raises(TrainingError, match="a log-reward is not finite"):
        one.step()


def test_an_untrained_network_drifts_along_the_gradient_only():
    places, times = torch.randn((3, 5, 2)), torch.tensor([0.0, 0.3, 0.9])
    generator = torch.Generator().manual_seed(0)
    plain = DriftNetwork(2, generator=generator)
    steep = DriftNetwork(2, generator=generator, gradient=PAIR.gradient)
    assert bool((plain.drift(places, times) == 0).all())
    assert torch.allclose(steep.drift(places, times), 0.01 * PAIR.gradient(places), atol=1e-6)


def test_what_is_better_is_replayed_more_often_and_the_oldest_goes():
    buffer, generator = Buffer(1, 100), torch.Generator().manual_seed(0)
    buffer.add(torch.full((1, 1), -7.0), torch.tensor([100.0]))
    buffer.add(torch.arange(100.0)[:, None], torch.arange(100.0))
    assert len(buffer) == 100
    x, log_reward = buffer.draw(20_000, generator)
    assert torch.equal(x[:, 0], log_reward)
    total = sum(1.0 / (1.0 + rank) for rank in range(100))
    for rank in (0, 1, 9, 99):
        share = float((x[:, 0] == 99.0 - rank).double().mean())
        assert share == pytest.approx(1.0 / (1.0 + rank) / total, abs=0.012)


@pytest.mark.parametrize("known", [True, False], ids=["langevin", "random_walk"])
def test_moves_leave_the_law_unchanged(known):
    target, generator = ManyWell(2), torch.Generator().manual_seed(0)
    start = target.sample(4000, generator)
    x, values = langevin_moves(
        target.log_reward, start, generator, gradient=target.gradient if known else None, moves=30, burn_in=29
    )
    assert torch.equal(values, target.log_reward(x))
    assert x[:, 1].var().item() == pytest.approx(1.0, abs=0.12)
    assert (x[:, 0] > 0).double().mean().item() == pytest.approx((start[:, 0] > 0).double().mean().item(), abs=0.04)
    assert (x != start).any(1).double().mean().item() > 0.9


def test_the_flows_of_the_preset_are_those_of_the_reference_before_training():
    """log F(x, t) = (1 - t) log N(x; 0, v t) + t log R(x), and the network's share of it begins at zero."""
    one = trainer(**DGFS)
    places = one.chain.forward(one.network.drift, 5, torch.Generator().manual_seed(2))
    flow = one.trajectories(places, PAIR.log_reward(places[-1])).log_flow
    t, x = 0.3, places[3]
    reference = -0.5 * x.square().sum(1) / t - torch.log(torch.tensor(2 * torch.pi * t))
    assert torch.allclose(flow[3], 0.7 * reference + 0.3 * PAIR.log_reward(x), atol=1e-4)
