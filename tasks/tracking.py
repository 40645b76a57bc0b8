"""MLflow as a view of campaigns and trainings: the only module that talks to it.

A tracker is bound to explicit run ids (MlflowClient), never to MLflow's active run. Runs are found again by tags, so
publishing twice changes nothing; a tracking failure is reported and never ends a campaign that paid for measurements.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import mlflow
import sqlalchemy as sa
import yaml
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, LoggedModelStatus, Metric, Param, RunTag
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

from data.ledger.campaigns import Campaign
from data.masking import masked
from tasks.file_lock import alone
from tasks.locations import local_path
from tasks.private_files import private_database, tighten
from tasks.shared_files import share_folder
from tasks.workspace import Workspace

log = logging.getLogger("discover.tracking")
logging.getLogger("mlflow").setLevel(logging.WARNING)

CAMPAIGN_TAG = "mlflow.discovery.campaign"
ROUND_TAG = "mlflow.discovery.round"
PUBLISHED_TAG = "mlflow.discovery.published"
"""Tags of this beginning MLflow does not show: people see few, and short ones."""
EARLIER = {CAMPAIGN_TAG: "discovery.campaign", ROUND_TAG: "discovery.round"}
"""What they were called before; runs of then are found."""
VIEW = "discover"
"""Name of the view of an experiment that shows the columns that matter."""
KEY_TAG = "discovery.proxy_key"
SAMPLER_TAG = "discovery.sampler"
SEED_TAG = "discovery.seed"
SEEDS_TAG = "discovery.seeds"
CHAMPION = "champion"
BATCH = 1000
"""Most metrics that MLflow takes in one request."""

NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""Codes with which MLflow says that there is no such model, or no such alias of it. Others are failures."""

T = TypeVar("T")


class TrackingError(RuntimeError):
    """MLflow cannot be used where it is needed: a registry decides who is champion."""


class Runs(ABC):
    """Runs of one experiment in MLflow, found again by their tags."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.experiment_name = name
        own = not os.environ.get("MLFLOW_TRACKING_URI")
        if own:
            private_database(workspace.mlflow_file)
        # Some calls of the client resolve `models:/...` by the process's address, not by the client's.
        _point_process_at(workspace.tracking_uri)
        with alone(workspace.services / "mlflow.open") if own else nullcontext():  # the first one makes the tables
            self.client = MlflowClient(tracking_uri=workspace.tracking_uri, registry_uri=workspace.tracking_uri)
            self.client.get_experiment_by_name(name)

    @abstractmethod
    def stamp(self, run_id: str) -> int:
        """Return the time of all metrics of a run, in milliseconds: always the same for one run."""

    def experiment(self) -> str:
        """Return the id of the experiment, made or restored if need be."""
        for name in (self.experiment_name, f"{self.experiment_name} in {self.workspace.home}"):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                return self._made_experiment(name)
            if found.lifecycle_stage == LifecycleStage.DELETED:
                self.client.restore_experiment(found.experiment_id)
                log.warning("MLflow: the experiment %r had been deleted; it is restored.", name)
            if self._is_ours(found.artifact_location):
                return str(found.experiment_id)
        raise TrackingError(
            f"The experiments {self.experiment_name!r} and {name!r} of MLflow at {masked(self.workspace.tracking_uri)} "
            "keep their files in another workspace, where nothing is written from here. Rename one of them in MLflow."
        )

    def _made_experiment(self, name: str) -> str:
        location = (self.workspace.artifacts.resolve() / self.experiment_name).as_uri() if self._is_database else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # else it opens on traces of language models
        return str(self.client.create_experiment(name, artifact_location=location, tags=kind))

    @property
    def _is_database(self) -> bool:
        """Whether MLflow is a database that we open ourselves; a server decides itself where it keeps files."""
        return not self.workspace.tracking_uri.startswith(("http://", "https://", "databricks"))

    def _is_ours(self, location: str) -> bool:
        """Return whether an experiment's files are not those of another workspace."""
        path = local_path(location)
        return (
            not self._is_database or path is None or path.resolve().is_relative_to(self.workspace.artifacts.resolve())
        )

    def found(self, tags: Mapping[str, str]) -> str | None:
        """Return the id of the run that has all these tags, or None if MLflow has none."""
        where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self.client.search_runs([self.experiment()], where, max_results=1)
        return str(found[0].info.run_id) if found else None

    def made(self, tags: Mapping[str, str], name: str, parent: str | None = None) -> str:
        """Make a run with these tags, nested in another one if that is given, and return its id."""
        nested = {} if parent is None else {"mlflow.parentRunId": parent}
        run = self.client.create_run(self.experiment(), tags={**tags, **nested}, run_name=name)
        return str(run.info.run_id)

    def view(self) -> str:
        """Return the page of the experiment's runs, relative to the address of MLflow's user interface."""
        return f"/#/experiments/{self.experiment()}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"

    def published(self, run_id: str) -> str | None:
        """Return the digest under which a run was completely published, or None."""
        tag: str | None = self.client.get_run(run_id).data.tags.get(PUBLISHED_TAG)
        return tag

    def mark_published(self, run_id: str, digest: str, status: str = "FINISHED") -> None:
        """Record that a run shows everything of a state of the campaign, and end it."""
        self.client.set_tag(run_id, PUBLISHED_TAG, digest)
        self.client.set_terminated(run_id, status)

    def params(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Log parameters that the run does not have yet; nested ones get dotted names."""
        flat = _flatten(values)
        have = self.client.get_run(run_id).data.params
        new = [Param(key, masked(str(value))[:6000]) for key, value in flat.items() if key not in have]
        for start in range(0, len(new), 100):
            self.client.log_batch(run_id, params=new[start : start + 100])

    def metrics(self, run_id: str, rows: Sequence[Mapping[str, float | None]], step: str = "step") -> None:
        """Log metrics by step in batches.

        Args:
            run_id: of which run.
            rows: one mapping of metrics per step; `None`, NaN and the step itself are left out.
            step: key of a row that holds its step; rows without it, or with NaN, get their position.
        """
        # One stamp for all: a metric that is published again after a crash is the same row, not a second point.
        stamp = self.stamp(run_id)
        found = [
            Metric(key_of(key), float(value), stamp, _step(row.get(step), position))
            for position, row in enumerate(rows)
            for key, value in row.items()
            if key != step and value is not None and math.isfinite(value)
        ]
        for start in range(0, len(found), BATCH):
            self.client.log_batch(run_id, metrics=found[start : start + BATCH])

    def tags(self, run_id: str, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.client.log_batch(run_id, tags=[RunTag(key_of(key), masked(value)) for key, value in values.items()])

    def dataset(self, run_id: str, name: str, sha256: str, path: Path, rows: int, use: str) -> None:
        """Show which data a run used; `use` is a word for what."""
        data = Dataset(
            name,
            sha256[:36],
            "local",
            json.dumps({"uri": _relative(path, self.workspace)}),
            profile=json.dumps({"num_rows": rows}),
        )
        self.client.log_inputs(run_id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", use)])])

    def text(self, run_id: str, content: str, path: str) -> None:
        """Have a text among the run's artifacts."""
        self.client.log_text(run_id, content, path)

    def status(self, run_id: str, status: str) -> None:
        """Show a run as RUNNING, FINISHED, FAILED or KILLED."""
        if status == "RUNNING":
            self.client.update_run(run_id, status)
        else:
            self.client.set_terminated(run_id, status)

    def describe(self, note: str, columns: Sequence[str]) -> None:
        """Describe the experiment, and name the columns that its table of runs shows in the view `VIEW`."""
        experiment = self.client.get_experiment(self.experiment())
        view = {
            "searchFilter": "", "orderByKey": "attributes.start_time", "orderByAsc": False, "startTime": "ALL",
            "lifecycleFilter": "Active", "datasetsFilter": [], "modelVersionFilter": "All Runs",
            "selectedColumns": list(columns), "runsExpanded": {}, "runsPinned": [], "runsHidden": [],
            "viewMaximized": True, "runListHidden": False,
        }  # fmt: skip
        wanted = {"mlflow.note.content": note, f"mlflow.sharedViewState.{VIEW}": json.dumps(view)}
        for key, value in wanted.items():
            if experiment.tags.get(key) != value:
                self.client.set_experiment_tag(experiment.experiment_id, key, value)

    def artifacts(self, run_id: str, folder: Path, path: str) -> None:
        """Have the files of a folder among the run's artifacts: the same files where we keep both, else copies."""
        place = self._ours(self.client.get_run(run_id).info.artifact_uri)
        if place is None:
            self.client.log_artifacts(run_id, str(folder), path)
        else:
            share_folder(folder, place / path)

    def _ours(self, location: str) -> Path | None:
        """Return the folder of an address of artifacts, if it is in the workspace and no server is asked."""
        place = local_path(location) if self._is_database else None
        return place if place is not None and place.resolve().is_relative_to(self.workspace.home.resolve()) else None

    def link(self, run_id: str, artifact: str) -> str:
        """Return the page of an artifact, relative to the address of MLflow's user interface."""
        # Without the parameter the pages open in the mode for language-model traces.
        return f"/#/experiments/{self.experiment()}/runs/{run_id}/artifacts/{artifact}?workflowType=machine_learning"


class Tracker(Runs):
    """Runs, artifacts and models of one campaign in MLflow."""

    def __init__(self, workspace: Workspace, campaign: Campaign) -> None:
        super().__init__(workspace, campaign.name)
        self.campaign = campaign
        self.identity = f"{campaign.slug}@{campaign.created_at}"

    @property
    def model_name(self) -> str:
        """Name of the campaign's registered model."""
        return f"{self.campaign.name}-proxy"

    def stamp(self, run_id: str) -> int:
        """Return when the campaign was made."""
        del run_id
        return int(datetime.fromisoformat(self.campaign.created_at).timestamp() * 1000)

    def find_run(self, round: int | None) -> str | None:
        """Return the id of the campaign's run (None) or of a round's, or None if MLflow has none."""
        tags = self._tags(round)
        return self.found(tags) or self.found({EARLIER[key]: value for key, value in tags.items()})

    def run(self, round: int | None = None) -> str:
        """Return the id of the campaign's run (None) or of a round's, nested in it; made if need be."""
        existing = self.find_run(round)
        if existing is not None:
            return existing
        if round is None:
            return self.made(self._tags(None), self.campaign.slug)
        return self.made(self._tags(round), "initial design" if round == 0 else f"round {round}", self.run())

    def stage_run(self, name: str) -> str:
        """Return the id of the run of a stage that belongs to no round, nested in the campaign's; made if need be."""
        tags = {CAMPAIGN_TAG: self.identity, ROUND_TAG: name}
        return self.found(tags) or self.made(tags, name, self.run())

    def _tags(self, round: int | None) -> dict[str, str]:
        return {CAMPAIGN_TAG: self.identity, ROUND_TAG: "campaign" if round is None else str(round)}

    def proxy_version(
        self,
        run_id: str,
        folder: Path,
        training: Mapping[str, Any],
        *,
        metrics: Mapping[str, float],
        note: str,
        column: str,
        example: Sequence[str],
        objective: str = "",
    ) -> str:
        """Log a trained proxy as a model of the run and register it; return its version.

        A proxy that is registered already (by the key of its training) is not registered again.

        Args:
            run_id: of the run.
            folder: of the proxy.
            training: what is told of its training.
            metrics: of the model, by the names that the run has.
            note: description of the version.
            column: of the objects in what the model is asked.
            example: some of them.
            objective: that it predicts, where that is not the campaign's main one: such have a model of their own.
        """
        registered = self.model_of(objective)
        self._ensure_model(registered)
        same = f"name = '{registered}' and tags.`{KEY_TAG}` = '{training['key']}'"
        for version in self.client.search_model_versions(same, max_results=1):
            return str(version.version)
        model = self.client.create_logged_model(
            self.experiment(),
            name=f"proxy_{_word(objective)}" if objective else "proxy",
            source_run_id=run_id,
            params={
                "n": str(training["n"]),
                "data_sha256": training["data_sha256"],
                "calibration": json.dumps(training["calibration"], sort_keys=True)[:500],
            },
            tags={KEY_TAG: training["key"]},
            model_type="proxy",
        )
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # asks for an input example; the signature says it all
            target = Path(scratch) / "model"
            mlflow.pyfunc.save_model(
                str(target),
                python_model=str(Path(__file__).with_name("proxy_model.py")),
                artifacts={"proxy": str(folder)},
                signature=ModelSignature(
                    inputs=Schema([ColSpec("string", column)]),
                    outputs=Schema([ColSpec("double", "mean"), ColSpec("double", "std")]),
                ),
                pip_requirements=["discovery-flows"],
            )
            _give_example(target, column, example)
            _without_places(target / "MLmodel")
            for file in target.rglob("*"):  # copies have the modes of what was copied
                tighten(file)
            self.client.log_model_artifacts(model.model_id, str(target))
        place = self._ours(str(model.artifact_location))
        if place is not None:
            share_folder(folder, place / "artifacts" / folder.name)
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        now = int(time.time() * 1000)
        told = [
            Metric(key_of(name), float(value), now, 0, model_id=model.model_id)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        self.client.log_batch(run_id, metrics=told)  # one by one they took half of a short round
        version = self.client.create_model_version(
            registered,
            source=f"models:/{model.model_id}",
            run_id=run_id,
            tags={KEY_TAG: training["key"], "n": str(training["n"]), "data_sha256": training["data_sha256"]},
            model_id=model.model_id,
            description=masked(note),
        )
        return str(version.version)

    def champion(self) -> tuple[str, str] | None:
        """Return (version, key of its training) of the champion, or None if there is none."""
        try:
            version = self.client.get_model_version_by_alias(self.model_name, CHAMPION)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code not in NOT_THERE:
                raise
            return None
        return str(version.version), str(version.tags.get(KEY_TAG, ""))

    def promote(self, version: str) -> None:
        """Make a version the champion."""
        self.client.set_registered_model_alias(self.model_name, CHAMPION, version)

    def proxy_folder(self, version: str, scratch: Path) -> Path:
        """Return the folder of a version's proxy: MLflow's own files, or copies in `scratch` where a server has them.

        Raises:
            TrackingError: the version has no such files.
        """
        model = self.client.get_model_version(self.model_name, version)
        logged = self.client.get_logged_model(str(model.source).rpartition("/")[2])  # `models:/ID`
        place = self._ours(str(logged.artifact_location))
        if place is None:
            copied = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{logged.model_id}",
                dst_path=str(scratch),
                tracking_uri=self.workspace.tracking_uri,
            )
            place = Path(copied)
        found = sorted(place.glob("artifacts/*/proxy.json"))
        if len(found) != 1:
            raise TrackingError(
                f"The files of version {version} of {self.model_name} are not in {masked(str(place))}; expected a "
                "trained proxy. Restore them, name another version, or make one with `discover retrain`."
            )
        return found[0].parent

    def model_of(self, objective: str) -> str:
        """Return the name of the registered model of an objective; empty: the campaign's main one."""
        return f"{self.model_name}.{_word(objective)}" if objective else self.model_name

    def _ensure_model(self, name: str) -> None:
        try:
            self.client.get_registered_model(name)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code not in NOT_THERE:
                raise
            self.client.create_registered_model(
                name, description=f"Proxies of campaign {self.campaign.name}; champion by alias."
            )


def _word(text: str) -> str:
    """Return a text of the letters that MLflow takes in every name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)


class SamplerTracker(Runs):
    """Runs of one sampler file in MLflow: one for the configuration with its seeds, and one in it for each seed.

    Published systems that are tried have the same runs, in experiments `systems/...` of their own; so have tunings, in
    `tuning/...`, with a run for each member of the search.
    """

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        identity: str,
        seeds: Sequence[int],
        *,
        family: str = "samplers",
        child: str = "seed",
    ) -> None:
        super().__init__(workspace, f"{family}/{name}")
        self.name, self.identity, self.seeds, self.child = name, identity, seeds, child
        self._stamps: dict[str, int] = {}

    def stamp(self, run_id: str) -> int:
        """Return when the run was made."""
        if run_id not in self._stamps:
            self._stamps[run_id] = int(self.client.get_run(run_id).info.start_time)
        return self._stamps[run_id]

    def run(self, seed: int | None = None) -> str:
        """Return the id of the configuration's run (None) or of a seed's, made if need be.

        Other seeds are another run of the configuration, since it shows their median; seeds that were trained before
        are nested in the newest.
        """
        tags = {SAMPLER_TAG: self.identity, SEED_TAG: ",".join(map(str, self.seeds)), SEEDS_TAG: "all"}
        if seed is not None:
            tags |= {SEED_TAG: str(seed), SEEDS_TAG: "one"}
        run = self.found(tags)
        if seed is None:
            return run or self.made(tags, f"{self.name} {self.identity[:8]}")
        if run is None:
            return self.made(tags, f"{self.child} {seed}", self.run())
        self.client.set_tag(run, "mlflow.parentRunId", self.run())
        return run

    def page(self, run_id: str) -> str:
        """Return the page of a run, relative to the address of MLflow's user interface."""
        return f"/#/experiments/{self.experiment()}/runs/{run_id}?workflowType=machine_learning"


def attempt(what: str, action: Callable[[], T], *, during: str = "campaign") -> T | None:
    """Do something with MLflow; if it fails, say so and return None: tracking never ends a campaign or a training."""
    try:
        return action()
    except Exception as error:
        log.warning(
            "MLflow: %s failed (%s). The %s goes on; the same command publishes it again.", what, _reason(error), during
        )
        return None


@contextmanager
def required(workspace: Workspace, kept: str = "Nothing was promoted.") -> Iterator[None]:
    """Have a block that is nothing without MLflow.

    Args:
        workspace: whose MLflow it is.
        kept: what is said to be as it was.

    Raises:
        TrackingError: MLflow cannot be reached, or refuses.
    """
    try:
        yield
    except (mlflow.exceptions.MlflowException, sa.exc.SQLAlchemyError, OSError) as error:
        reason = masked(str(error).strip().partition("\n")[0])[:300]
        raise TrackingError(
            f"MLflow at {masked(workspace.tracking_uri)} cannot be used ({type(error).__name__}: {reason}). "
            f"{kept} Start its server or mend MLFLOW_TRACKING_URI, then give the same command again."
        ) from error


def _point_process_at(uri: str) -> None:
    """Set the process's address of MLflow, but not its environment: the next workspace would take it for the user's."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before


def _give_example(model: Path, column: str, example: Sequence[str]) -> None:
    """Put an example of what the model is asked beside it, as MLflow does, but without asking the model."""
    content = {"columns": [column], "data": [[one] for one in example]}
    (model / "input_example.json").write_text(json.dumps(content))
    description = model / "MLmodel"
    told = yaml.safe_load(description.read_text())
    told["saved_input_example_info"] = {
        "artifact_path": "input_example.json", "type": "dataframe", "pandas_orient": "split",
    }  # fmt: skip
    description.write_text(yaml.safe_dump(told, sort_keys=False))


def _without_places(description: Path) -> None:
    """Take from a model's description where its files came from: it says where they are, and that is beside it."""
    content = yaml.safe_load(description.read_text())
    for artifact in content["flavors"]["python_function"].get("artifacts", {}).values():
        artifact["uri"] = artifact["path"]
    description.write_text(yaml.safe_dump(content, sort_keys=False))


def _relative(path: Path, workspace: Workspace) -> str:
    """Return a file's path in the workspace, which may be elsewhere tomorrow."""
    return path.relative_to(workspace.home).as_posix() if path.is_relative_to(workspace.home) else path.as_uri()


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                flat.update(_flatten(item, f"{prefix}{key}.{index}."))
        else:
            flat[f"{prefix}{key}"] = value
    return {key_of(name): value for name, value in flat.items()}


_ODD = re.compile(r"[^\w\-. /]")
"""What no name of a parameter, metric or tag may have: names of variables and objectives are the user's."""
LONGEST_KEY = 240
"""Letters of such a name; MLflow takes 250."""


def key_of(name: str) -> str:
    """Return a name as MLflow takes it: two names are never one, also where odd letters or an end are left out."""
    plain = _ODD.sub("_", name)
    if plain == name and len(name) <= LONGEST_KEY:
        return name
    return f"{plain[: LONGEST_KEY - 6]} {hashlib.sha256(name.encode()).hexdigest()[:4]}"


def _step(value: float | None, position: int) -> int:
    return position if value is None or not math.isfinite(value) else int(value)


def _reason(error: Exception) -> str:
    """Return why something failed; of a server that cannot be reached its address, not the client's whole story."""
    text = masked(str(error))
    unreached = re.match(r"API request to (\w+://[^/\s]+)\S* failed with exception .*Max retries exceeded", text)
    return f"{unreached[1]} does not answer" if unreached else f"{type(error).__name__}: {text}"
