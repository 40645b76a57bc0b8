"""Stage `gather_members`: keep what earlier campaigns trained and this one's generator draws from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import CampaignConfig
from data.ledger.campaigns import Campaign, LedgerError
from data.ledger.ledger import Ledger
from models.generators.composed import ENDING, is_file
from models.parts import generator_of, space_of
from models.protocols import Composing
from models.registry import located
from tasks.stages import BadInput, CampaignContext, CampaignRef, NotYet, StageRef, folder_sha256, run_stage
from tasks.storage import load_state, save_state
from tasks.workspace import Workspace

STAGE = "gather_members"
KEYS = {"campaign", "round", "generator", "space", "state"}
"""Of a member's file: where it is from, how its generator is built, the space it is for, and its networks."""
_TRAINED = "gflownet", "outcome_conditioned"
"""Kinds of generators whose trained sampler others draw from: of the second what its last round fine-tuned."""


def has_members(ref: CampaignRef) -> bool:
    """Return whether there are such GFlowNets."""
    with ref.open() as context:
        return bool(_origins(context.config, context.campaign.base))


@task(name="gather members", cache_policy=NO_CACHE, persist_result=False)
def gather_members(ref: CampaignRef) -> StageRef:
    """Copy what the generator draws from, once: what becomes of the earlier campaigns later changes nothing.

    Results: a file NUMBER.pt for each member, in order, with `KEYS`.

    Raises:
        BadInput: a campaign or a file is not there, has no trained GFlowNet, or was altered.
    """
    with ref.open() as context:
        return run_stage(
            context,
            0,
            STAGE,
            inputs={},
            settings=context.settings("generator", "control"),
            compute=lambda folder: _gather(context, folder),
        )


def gathered(context: CampaignContext) -> StageRef | None:
    """Return the stage, None where nothing had to be gathered."""
    return context.finished(0, STAGE)


def member_files(context: CampaignContext) -> Mapping[str, Path]:
    """Return the file of each member by the name that the generator has for it."""
    stage = gathered(context)
    if stage is None:
        return {}
    origins = _origins(context.config, context.campaign.base)
    return {origin: stage.path(context, f"{number}{ENDING}") for number, origin in enumerate(origins)}


def check_members(config: CampaignConfig, base: Path, workspace: Workspace, ledger: Ledger) -> None:
    """Look for all members and try the generator with them, before anything is bought.

    Raises:
        BadInput: one is not there or cannot be used; the message says which and what to do.
    """
    for missing in missing_members(config, base, workspace, ledger):
        raise missing


def missing_members(config: CampaignConfig, base: Path, workspace: Workspace, ledger: Ledger) -> Iterator[NotYet]:
    """Yield an error for each member that is not there, and try the generator with those that are.

    Raises:
        BadInput: one can never be used as the file is; the message says which and what to do.
    """
    for generator in _composing(config, base):
        for origin in generator.origins:
            try:
                member = _member(origin, config.name, workspace, ledger)
                generator.check_member(member, space_of(config))
            except NotYet as missing:
                yield missing
            except BadInput:
                raise
            except ValueError as error:
                raise BadInput(f"The generator cannot draw from {origin!r}. {error}") from error


def _composing(config: CampaignConfig, base: Path) -> list[Composing]:
    generators = [generator_of(part, base) for part in (config.generator, config.control)]
    return [one for one in generators if isinstance(one, Composing)]


def _origins(config: CampaignConfig, base: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(origin for one in _composing(config, base) for origin in one.origins))


def _gather(context: CampaignContext, folder: Path) -> dict[str, float]:
    origins = _origins(context.config, context.campaign.base)
    for number, origin in enumerate(origins):
        member = _member(origin, context.campaign.name, context.workspace, context.ledger)
        save_state(folder / f"{number}{ENDING}", member)
    return {"members": len(origins)}


def _member(origin: str, own: str, workspace: Workspace, ledger: Ledger) -> dict[str, Any]:
    """Return a member: `KEYS`.

    Raises:
        BadInput: there is none.
    """
    if is_file(origin):
        return _of_file(Path(origin))
    try:
        campaign = ledger.campaign_of(origin)
    except LedgerError as error:
        if origin != own:
            raise NotYet(f"The generator draws from the campaign {origin!r}. {error}") from error
    if origin == own or campaign.name == own:
        raise BadInput(
            f"The campaign {own!r} draws from itself. Name earlier campaigns, or give this one another name."
        )
    return _of_campaign(campaign, workspace, ledger)


def _of_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotYet(
            f"The generator draws from the file {path}, which is not there. Name a file that a campaign with the "
            "generator 'composed' kept in round-000/gather_members, or a campaign of this workspace."
        )
    try:
        member = load_state(path)
    except Exception as error:  # whatever torch says of a file that is none of its own
        raise BadInput(f"The file {path} cannot be read as a trained sampler: {error}") from error
    if not isinstance(member, dict) or set(member) != KEYS:
        raise BadInput(
            f"The file {path} is no member of a composition: expected {', '.join(sorted(KEYS))}. A generator.pt of a "
            "round does not say how its generator is built; name its campaign instead."
        )
    return member


def _of_campaign(campaign: Campaign, workspace: Workspace, ledger: Ledger) -> dict[str, Any]:
    config, name = campaign.config, campaign.slug
    spec, number = _gflownet(config.generator.component(), name)
    rows = [row for row in ledger.stages(campaign.id) if row.name == "train_generator"]
    if not rows:
        raise NotYet(
            f"The generator draws from the campaign {name!r}, which has not trained its GFlowNet yet. Run it first: "
            "one round is enough."
        )
    row = max(rows, key=lambda one: one.round)
    folder = workspace.home / row.uri
    if not folder.is_dir() or folder_sha256(folder) != row.sha256:
        raise NotYet(
            f"The generator draws from the campaign {name!r}, whose results of round {row.round} in {folder} were "
            "altered or lost. Run that campaign again, which restores them, or leave it out."
        )
    state = load_state(folder / "generator.pt")
    return {
        "campaign": name,
        "round": row.round,
        "generator": located("generator", spec, campaign.base),
        "space": space_of(config).config(),
        "state": state if number is None else state["members"][number],
    }


def _gflownet(spec: dict[str, Any], name: str) -> tuple[dict[str, Any], int | None]:
    """Return the GFlowNet among a campaign's generators, and its number in a union.

    Raises:
        BadInput: there is none, or several.
    """
    if spec["kind"] in _TRAINED:
        return spec, None
    parts = [part["generator"] for part in spec.get("members", ()) if "generator" in part]
    found = [(part, number) for number, part in enumerate(parts) if part.get("kind") in _TRAINED]
    if len(found) != 1:
        kinds = " or ".join(map(repr, _TRAINED))
        raise BadInput(
            f"The generator draws from the campaign {name!r}, whose generator {spec['kind']!r} has "
            f"{len(found) or 'no'} trained samplers of the kind {kinds}; expected one. Leave it out."
        )
    return found[0]
