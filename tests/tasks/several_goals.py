"""A round of a campaign of several objectives over two variables, its earlier stages written by hand."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pandas as pd

from data.config import parse_config
from models.parts import space_of
from models.registry import build
from tasks.stages import CampaignContext, CampaignRef, StageRef
from tasks.storage import save_state, write_json
from tasks.workspace import Workspace

ORACLE = {"kind": "python", "function": "somewhere:measure"}
OUTPUTS = {
    "near_left": lambda x, y: np.hypot(x - 0.2, y - 0.5),  # to be small: both cannot be at once
    "near_right": lambda x, y: np.hypot(x - 0.8, y - 0.5),
    "height": lambda x, y: y,
    "right": lambda x, y: x,
    "peak_left": lambda x, y: np.exp(-12 * ((x - 0.2) ** 2 + (y - 0.5) ** 2)),  # to be large: the front is concave
    "peak_right": lambda x, y: np.exp(-12 * ((x - 0.8) ** 2 + (y - 0.5) ** 2)),
}
"""What is measured of a vector, by name."""


def texts(points):
    return [f"x={x:.3f}, y={y:.3f}" for x, y in points]


def point(text):
    return [float(part.split("=")[1]) for part in text.split(",")]


class Round:
    """The first round of a campaign, after 24 measurements."""

    def __init__(self, folder, *objectives, missing=(), **more):
        """Write the stages before the proxy's use.

        Args:
            folder: of the workspace.
            objectives: of the campaign, their names among `OUTPUTS`.
            missing: (row, objective's number) of values that were not measured.
            more: keys of the campaign file.
        """
        self.config = parse_config(
            {
                "name": "x",
                "space": {"kind": "vectors", "variables": {"x": [0, 1], "y": [0, 1]}},
                "objectives": [{"oracle": ORACLE, **one} for one in objectives],
                "data": {"kind": "random", "initial": 24},
                "screens": [],
                "control": {"kind": "random", "fraction": 0.25},
                "batch_size": 8,
                **more,
            }
        )
        self.names = [one["name"] for one in objectives]
        workspace = Workspace.open(folder / "home")
        with closing(workspace.ledger()) as ledger:
            campaign = ledger.begin_campaign(self.config, folder)
        self.ref = CampaignRef(str(workspace.home), campaign.id)
        self.home, self.space = workspace.home, space_of(self.config)
        rng = np.random.default_rng(1)
        self.dataset = self._dataset(rng.random((24, 2)), missing)
        self.proxy = self._proxies()
        self.screened = self._screened(rng.random((300, 2)), rng.random((20, 2)))
        self.library = self._stage("prepare_data", "library.parquet", self._frame(rng.random((30, 2))))

    def open(self) -> CampaignContext:
        return self.ref.open()

    def _stage(self, name, file=None, frame=None):
        folder = self.home / "by_hand" / name
        folder.mkdir(parents=True)
        if frame is not None:
            frame.to_parquet(folder / file, index=False)
        return StageRef(1, name, str(folder.relative_to(self.home)), "0" * 64)

    def _frame(self, points):
        objects = [self.space.standard(text) for text in texts(points)]
        return pd.DataFrame({"id": [self.space.identity(obj) for obj in objects], "object": objects})

    def _dataset(self, points, missing):
        frame = self._frame(points).assign(source="random")
        values = np.column_stack([OUTPUTS[name](*points.T) for name in self.names])
        for at in missing:
            values[at] = np.nan
        self.values = values
        main = self.config.goals.index(self.config.goals.main)
        frame["value"] = values[:, main]
        if len(self.names) > 1:
            for name, column in zip(self.names, values.T, strict=True):
                frame[f"value[{name}]"] = column
        self.known = frame
        return self._stage("dataset", "dataset.parquet", frame)

    def _proxies(self):
        stage = self._stage("train_proxy")
        for k, column in enumerate(self.values.T):
            proxy = build("proxy", {"kind": "gaussian_process", "features": dict(self.space.features)})
            rows = ~np.isnan(column)
            proxy.fit(self.known["object"][rows].tolist(), column[rows], seed=0)
            folder = self.home / stage.uri / (str(k) if len(self.names) > 1 else "")
            folder.mkdir(exist_ok=True)
            write_json(folder / "proxy.json", proxy.config())
            save_state(folder / "proxy.pt", proxy.state())
        return stage

    def _screened(self, proposed, control):
        stage = self._stage("screen")
        for name, points in (("proposals", proposed), ("control", control)):
            frame = self._frame(points).assign(source=name, reason=None)
            frame.to_parquet(self.home / stage.uri / f"{name}.parquet", index=False)
        return stage
