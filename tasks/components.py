"""Where earlier model versions find `load_proxy`: MLflow keeps the `proxy_model.py` that they were registered with."""

from tasks.storage import load_proxy

__all__ = ["load_proxy"]
