"""Where oracles are asked: workers of Dask or Ray instead of processes of this machine. Values are the same."""
