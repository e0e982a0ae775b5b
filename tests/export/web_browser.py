"""A headless browser for the tests of the web page, and servers of static files."""

import contextlib
import functools
import http.server
import pathlib
import shutil
import threading

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WEB_PAGE = pathlib.Path(__file__).parents[2] / "export" / "web_page"


@contextlib.contextmanager
def launched_browser():
    """A headless Chromium; skips the test where there is none, or no client for it."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install playwright"
    )
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"needs a browser, one of {', '.join(PROGRAMS)}: apt-get install chromium")
    with api.sync_playwright() as playwright:
        # The sandbox needs a user other than root.
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


class PlainHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files below the path `/a/folder/`, without the headers of an isolated page."""

    prefix = "/a/folder/"

    def translate_path(self, path):
        if not path.startswith(self.prefix):
            return str(pathlib.Path(self.directory) / "missing")
        return super().translate_path(path.removeprefix(self.prefix))

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(server):
    """Serves in a thread; yields the address."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def plain_server(folder):
    """A static host that knows nothing of the page; see `PlainHandler`."""
    handler = functools.partial(PlainHandler, directory=str(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
