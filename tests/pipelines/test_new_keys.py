"""A key that is added with a default leaves begun campaigns alone."""

import pytest
from pydantic import Field

import data.config
from data.config import CampaignConfig
from data.ledger.campaigns import parsed_config
from models.generators.genetic import Genetic
from tests.conftest import Bench

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes


def with_key(model, name="invented", default=0.5):
    """The model with one more key, under the same name."""
    return type(
        model.__name__,
        (model,),
        {"__annotations__": {name: float}, name: Field(default=default), "__module__": model.__module__},
    )


def widen(monkeypatch, place):
    if place == "the schema":
        changed = with_key(CampaignConfig)
    elif place == "a component's options":
        monkeypatch.setattr(Genetic, "Options", with_key(Genetic.Options))
        return
    else:  # a nested section
        section, key = {"a section": ("SpaceConfig", "space"), "a nested section": ("ProxyConfig", "proxy")}[place]
        inner = getattr(data.config, section)
        if place == "a nested section":
            domain = with_key(data.config.DomainConfig)
            inner = type(
                "ProxyConfig",
                (inner,),
                {"__annotations__": {"domain": domain}, "domain": domain(), "__module__": inner.__module__},
            )
        else:
            inner = with_key(inner)
        changed = type(
            "CampaignConfig",
            (CampaignConfig,),
            {"__annotations__": {key: inner}, key: inner(), "__module__": CampaignConfig.__module__},
        )
    monkeypatch.setattr(data.config, "CampaignConfig", changed)


@pytest.mark.parametrize("place", ["the schema", "a section", "a nested section", "a component's options"])
def test_a_new_key_with_a_default_does_not_keep_a_begun_campaign_from_going_on(bench: Bench, monkeypatch, place):
    assert bench.run().exit == 0
    bought = bench.calls()
    widen(monkeypatch, place)
    parsed_config.cache_clear()
    assert "invented" in str(data.config.load_config(bench.file)) or place == "a component's options"
    told = bench.run("--set", "rounds=2")
    parsed_config.cache_clear()
    assert told.exit == 0, told.message
    assert bench.calls()[: len(bought)] == bought
    assert len(bench.calls()) == len(set(bench.calls())) == 16


def test_a_new_default_of_an_old_key_is_another_campaign(bench: Bench, monkeypatch):
    assert bench.run().exit == 0
    changed = type(
        "CampaignConfig",
        (CampaignConfig,),
        {
            "__annotations__": {"acquisition": data.config.Spec},
            "acquisition": {"kind": "expected_improvement"},
            "__module__": CampaignConfig.__module__,
        },
    )
    monkeypatch.setattr(data.config, "CampaignConfig", changed)
    parsed_config.cache_clear()
    told = bench.run()
    parsed_config.cache_clear()
    assert told.exit == 2
    assert "acquisition changed" in told.message


def test_a_default_that_is_written_out_is_the_same_campaign(bench: Bench):
    assert bench.run().exit == 0
    bench.write_config(selector={"kind": "kriging_believer"}, space={**bench.config["space"], "kind": "molecules"})
    told = bench.run()
    assert told.exit == 0, told.message
