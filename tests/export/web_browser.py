"""A headless browser for the tests of the web page, and a server of static files."""

import contextlib
import functools
import http.server
import pathlib

import pytest

from benchmarks import web as benchmark

WEB_PAGE = pathlib.Path(__file__).parents[2] / "export" / "web_page"


@contextlib.contextmanager
def launched_browser():
    """A headless Chromium; skips the test where there is none, or no client for it."""
    pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if benchmark.find_browser() is None:
        browsers = ", ".join(benchmark.BROWSERS)
        pytest.skip(f"needs a browser, one of {browsers}: apt-get install chromium")
    with benchmark.launched_browser() as launched:
        yield launched


class PlainHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files below the path `/a/folder/`, without the headers of an isolated page."""

    prefix = "/a/folder/"

    def translate_path(self, path):
        if not path.startswith(self.prefix):
            return str(pathlib.Path(self.directory) / "missing")
        return super().translate_path(path.removeprefix(self.prefix))

    def log_message(self, *_):
        pass


def plain_server(folder):
    """A static host that knows nothing of the page; see `PlainHandler`."""
    handler = functools.partial(PlainHandler, directory=str(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
