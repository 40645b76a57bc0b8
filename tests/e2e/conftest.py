from collections.abc import Iterator

import pytest

from tests.e2e.browser import Browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all: starting it costs a second or more."""
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The browser on an empty page, with nothing remembered."""
    chromium.open("data:text/html,<title>empty</title>")
    chromium.errors.clear()
    chromium.requests.clear()
    return chromium
