"""Access to the page: only from this computer and from the page itself, and no other host from it.

A web site that the user visits at the same time could otherwise send requests to 127.0.0.1.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # an extra
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
_HOSTS = (HOST, "localhost")
# The browser loads nothing from other hosts. Gradio has scripts and styles in the page itself, and
# compiles templates at run time.
_CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    ]
)
_HEADERS = {
    b"content-security-policy": _CONTENT_SECURITY_POLICY.encode(),
    b"cache-control": b"no-store",  # the browser saves nothing on the disk
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}


class LocalAccess:
    """ASGI middleware that rejects requests of other sites and sets the headers of responses."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not is_local(headers.get(b"host", ""), headers.get(b"origin")):
            start: Message = {"type": "http.response.start", "status": 403, "headers": []}
            await send(start)
            await send({"type": "http.response.body", "body": b"Only this computer has access."})
            return

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                kept = [h for h in message.get("headers", []) if h[0].lower() not in _HEADERS]
                message = {**message, "headers": [*kept, *_HEADERS.items()]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_local(host: str, origin: str | None) -> bool:
    """Return whether a request is for this computer and comes from its own page, or from no page.

    A site can give its own name the address 127.0.0.1 (DNS rebinding). The header Host then has
    this name.

    Args:
        host: Header Host, with the port.
        origin: Header Origin; None without it.
    """
    return host.partition(":")[0] in _HOSTS and origin in (None, f"http://{host}")
