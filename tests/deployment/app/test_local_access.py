import asyncio

import pytest

from skin_lesions.deployment.app.local_access import LocalAccess, is_local

OWN = "127.0.0.1:7860"


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        (OWN, None, True),
        (OWN, f"http://{OWN}", True),
        ("localhost:7860", "http://localhost:7860", True),
        (OWN, "https://attacker.example", False),
        (OWN, "null", False),
        (OWN, "http://127.0.0.1:9999", False),
        ("attacker.example:7860", "http://attacker.example:7860", False),
        ("127.0.0.1.attacker.example", None, False),
        ("", None, False),
    ],
)
def test_only_the_own_page_and_no_page_have_access(host, origin, expected):
    assert is_local(host, origin) is expected


def respond(*headers):
    """Send a request through the middleware; return status, headers and whether it was handled."""
    handled, messages = [], []

    async def app(scope, receive, send):
        handled.append(scope)
        headers = [(b"content-type", b"text/html"), (b"Cache-Control", b"public")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message):
        messages.append(message)

    scope = {"type": "http", "headers": list(headers)}
    asyncio.run(LocalAccess(app)(scope, None, send))
    return messages[0]["status"], dict(messages[0]["headers"]), bool(handled)


def test_requests_of_other_sites_do_not_reach_the_page():
    status, _, handled = respond((b"host", OWN.encode()), (b"origin", b"https://attacker.example"))
    assert (status, handled) == (403, False)


def test_responses_forbid_other_hosts_and_storage():
    status, headers, handled = respond((b"host", OWN.encode()))
    assert (status, handled) == (200, True)
    assert headers[b"content-type"] == b"text/html"
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert headers[b"cache-control"] == b"no-store"
    assert b"Cache-Control" not in headers
