"""`GET /attention` on the operations port: the query of `rushes-normalizer attention` over HTTP."""

from __future__ import annotations

from aiohttp import web
from pydantic import ValidationError
from rushes_runtime.database import Database, is_away

from rushes_normalizer.attention import AttentionFilter, needs_attention


def attention_route(database: Database) -> web.RouteDef:
    """The route. Its query takes the fields of `AttentionFilter`.

    It answers 200 with `previews` and `next_cursor`, 400 with `error` to a query that is wrong, and 503 while the
    database is away.
    """

    async def attention(request: web.Request) -> web.Response:
        try:
            page = await needs_attention(database, AttentionFilter.model_validate(dict(request.query)))
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_url=False)]
            return web.json_response({"error": "; ".join(wrong)}, status=400)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except Exception as error:
            if not is_away(error):
                raise
            return web.json_response({"error": "the database is away"}, status=503)
        return web.json_response(page.as_json())

    return web.get("/attention", attention)
