"""Local web server of the page: no network access, and no uploaded image stays on disk."""

import importlib.util
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skin_lesions.core.errors import InputError
from skin_lesions.deployment.app.analysis import MAX_FILE_BYTES, Analyzer
from skin_lesions.deployment.app.local_access import HOST, LocalAccess

FOLDER_PREFIX = "skin-lesions-app-"  # of the temporary folder with uploads
# The page reports each file above MAX_FILE_BYTES by name. This higher limit stops an upload before
# it fills the disk.
_MAX_UPLOAD_BYTES = 4 * MAX_FILE_BYTES
_NO_PROXY = "127.0.0.1,localhost"


def require_gradio() -> None:
    """Check that Gradio is installed.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("gradio") is None:
        raise InputError(
            "The page requires Gradio, which is not installed. Expected the extra app. Fix: "
            'pip install "skin-lesions[app]"'
        )


@contextmanager
def running_page(analyzer: Analyzer, port: int | None) -> Iterator[str]:
    """Run the page within the block, then delete all its temporary files.

    Args:
        analyzer: Analyzes the images.
        port: Port on 127.0.0.1; None takes the first free port from 7860.

    Yields:
        The address of the page.

    Raises:
        InputError: The port is in use.
    """
    with (
        tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder,
        _private_process(folder),
        _server(analyzer, Path(folder), port) as url,
    ):
        yield url


@contextmanager
def _private_process(folder: str) -> Iterator[None]:
    """Configure this process: no telemetry, and temporary files only in ``folder``.

    Settings of Gradio from the environment are ignored. They could make the page public or open
    folders for download.
    """
    environment, temporary = dict(os.environ), tempfile.tempdir
    http_log = logging.getLogger("httpx")
    level = http_log.level
    for name in [name for name in environment if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": folder,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        # Gradio requests its own page once. A proxy would not find it.
        "NO_PROXY": _NO_PROXY,
        "no_proxy": _NO_PROXY,
    }
    tempfile.tempdir = folder
    http_log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        http_log.setLevel(level)
        tempfile.tempdir = temporary
        os.environ.clear()
        os.environ |= environment


@contextmanager
def _server(analyzer: Analyzer, folder: Path, port: int | None) -> Iterator[str]:
    """Run the server in another thread within the block; yield the address of the page."""
    # Imported here: Gradio is an extra, and takes seconds to import.
    from starlette.middleware import Middleware  # noqa: PLC0415

    from skin_lesions.deployment.app.page import build_page, launch_options  # noqa: PLC0415

    page = build_page(analyzer, folder)
    try:
        _, url, _ = page.launch(
            server_name=HOST,
            server_port=port,
            prevent_thread_lock=True,
            inline=False,
            quiet=True,
            share=False,
            app_kwargs={"middleware": [Middleware(LocalAccess)], "openapi_url": None},
            max_file_size=_MAX_UPLOAD_BYTES,
            enable_monitoring=False,
            run_history=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            **launch_options(),
        )
    except OSError:
        used = "All ports from 7860 to 7959 are" if port is None else f"Port {port} is"
        raise InputError(
            f"{used} in use on {HOST}. Expected a free port. Fix: --port with another number"
        ) from None
    try:
        yield url
    finally:
        page.close(verbose=False)
