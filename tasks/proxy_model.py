"""The proxy as an MLflow model: loaded from its state and configuration, no pickle anywhere.

MLflow runs this file when the model is loaded (models from code); discovery-flows must be installed there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from tasks.storage import load_proxy


class ProxyModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow is untyped
    """Objects in, as SMILES or the texts of their space; predicted mean and standard deviation out, in own units."""

    def load_context(self, context: Any) -> None:
        """Rebuild the proxy from the artifact folder."""
        self.proxy = load_proxy(Path(context.artifacts["proxy"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predict a frame with one column of objects; returns columns `mean`, `std`, `freedom` if not normal."""
        prediction = self.proxy.predict(model_input.iloc[:, 0].tolist())
        frame = pd.DataFrame({"mean": prediction.mean, "std": prediction.std})
        return frame if prediction.freedom is None else frame.assign(freedom=prediction.freedom)


mlflow.models.set_model(ProxyModel())
