"""Bodies of calls: read whole before anything else is done, and refused when they are too large."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rushes_normalizer.api.problems import problem

MOST: Final = 65_536  # bytes


def bounded(app: ASGIApp) -> ASGIApp:
    """The application, which gets no body of more than `MOST` bytes; the answer to one is 413."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST:
                await problem(413, f"a body has {MOST} bytes at most", {"Connection": "close"})(scope, receive, send)
                return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await app(scope, replay, send)

    return serve
