import hashlib
import threading

import pytest

from tasks.engines import unit
from tasks.engines.opening import close_engines
from tasks.oracles.lasting import dismiss
from tests.tasks.engines.fleets import cluster_of_dask


@pytest.fixture(autouse=True)
def nothing_left_open():
    yield
    close_engines()
    timer = unit._ends.pop(threading.get_ident(), None)
    if timer is not None:
        timer.cancel()
    dismiss()


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "dask").mkdir()
    with cluster_of_dask(tmp_path / "dask", workers=2) as cluster:
        yield cluster


@pytest.fixture
def data_sets():
    """sha256 of each round's data set of a campaign."""

    def of(bench):
        folder = bench.home / "campaigns" / bench.config["name"]
        files = sorted(folder.glob("round-*/measure/dataset.*"))
        assert files
        return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    return of


@pytest.fixture
def attempts():
    """State and number of attempts of each call in the ledger, by molecule."""

    def of(bench):
        from tasks.workspace import Workspace

        ledger = Workspace(bench.home).ledger()
        with ledger.read() as connection:
            rows = connection.exec_driver_sql("SELECT object, state, attempts, origin FROM oracle_calls").fetchall()
        ledger.close()
        assert len({row[0] for row in rows}) == len(rows), "a molecule was bought twice"
        return {row[0]: (row[1], row[2]) for row in rows if row[3] == "called"}

    return of
