"""The routes of the catalog: variants, prices and stock, written in batches and read."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pipeline.catalog.batches.forms import AnyBatch, PriceBatch, StockBatch, TransferBatch, VariantBatch
from pipeline.catalog.reading import MAX_PAGE, MAX_SKUS, USUAL_PAGE, list_variants, read_levels
from pipeline.field_types.kinds import Sku
from workers.web.context import context_of
from workers.web.headers import read_key
from workers.web.protection.authentication import CatalogRoute, caller_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.catalog import BatchView, StockView, VariantListView
from workers.web.schemas.openapi import BEARER, describe_problems

router = APIRouter(route_class=CatalogRoute, tags=["catalog"], dependencies=[BEARER])

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="unique to this batch among all of yours; quoted or bare, up to 255 characters",
        examples=["delivery-note-17"],
    ),
]
Skus = Annotated[list[Sku], Field(min_length=1, max_length=MAX_SKUS)]

READ: Final = describe_problems(401, 403, 422, 429, 500, 503)
WRITTEN: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": BatchView, "description": "Every row was done"},
    207: {"model": BatchView, "description": "Rows were refused, the others done; a batch of one row gets its problem"},
    **describe_problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
}


class VariantQuery(BaseModel):
    """Parameters of the list. A misspelt one is refused: else the list would show all variants."""

    model_config = ConfigDict(extra="forbid")

    sku: Skus | None = Field(None, description="only these", examples=[["kettle"]])
    after: Sku | None = Field(None, description="`next_after` of the page before")
    limit: int = Field(USUAL_PAGE, ge=1, le=MAX_PAGE, description="at most so many")


class StockQuery(BaseModel):
    """Parameters of what is read by sku."""

    model_config = ConfigDict(extra="forbid")

    sku: Skus = Field(description="these variants", examples=[["kettle"]])


@router.get("/variants", response_description="A page of variants", responses=READ)
@limited_as(Policy.READS)
async def list_variants_and_prices(request: Request, wanted: Annotated[VariantQuery, Query()]) -> VariantListView:
    """List variants by sku, with the prices that are valid now or later."""
    page = await context_of(request).read(
        lambda connection: list_variants(connection, skus=wanted.sku, after=wanted.after, limit=wanted.limit)
    )
    return VariantListView.model_validate(page)


@router.get("/stock", response_description="The stock of these variants", responses=READ)
@limited_as(Policy.READS)
async def read_stock(request: Request, wanted: Annotated[StockQuery, Query()]) -> StockView:
    """Return the stock of variants at each location: on hand, held by checkouts, available."""
    levels = await context_of(request).read(lambda connection: read_levels(connection, wanted.sku))
    return StockView.model_validate({"levels": levels})


@router.put("/variants", response_model=BatchView, responses=WRITTEN)
@limited_as(Policy.WRITES)
async def write_variants(
    request: Request,
    batch: Annotated[VariantBatch, Body(examples=[{"rows": [{"sku": "kettle", "title": "A kettle"}]}])],
    idempotency_key: Key,
) -> Response:
    """Create or update up to a thousand variants. Each row is done or refused for itself."""
    return await _write(request, batch, idempotency_key)


@router.put("/prices", response_model=BatchView, responses=WRITTEN)
@limited_as(Policy.WRITES)
async def write_prices(
    request: Request,
    batch: Annotated[
        PriceBatch, Body(examples=[{"rows": [{"sku": "kettle", "currency": "EUR", "amount_minor": 3900}]}])
    ],
    idempotency_key: Key,
) -> Response:
    """Set up to a thousand list prices: from now on, or for a time.

    Checkouts that have their quote keep it. A price with `valid_until` precedes the base price while it is valid.
    """
    return await _write(request, batch, idempotency_key)


@router.post("/stock/changes", response_model=BatchView, responses=WRITTEN)
@limited_as(Policy.WRITES)
async def change_stock(
    request: Request,
    batch: Annotated[
        StockBatch,
        Body(
            examples=[
                {"reason": "delivery note 17", "rows": [{"sku": "kettle", "location": "main", "delta": 5}]},
                {"reason": "counted", "rows": [{"sku": "kettle", "location": "main", "set": 12, "expected": 7}]},
            ]
        ),
    ],
    idempotency_key: Key,
) -> Response:
    """Add or remove units (`delta`), or `set` how many are on hand while they are as `expected`.

    With other units on hand, a `set` is refused with them (`stock_changed`). Held units are never removed.
    """
    return await _write(request, batch, idempotency_key)


@router.post("/stock/transfers", response_model=BatchView, responses=WRITTEN)
@limited_as(Policy.WRITES)
async def transfer_stock(
    request: Request,
    batch: Annotated[
        TransferBatch,
        Body(
            examples=[
                {"rows": [{"sku": "kettle", "from_location": "main", "to_location": "shop", "quantity": 2}]},
            ]
        ),
    ],
    idempotency_key: Key,
) -> Response:
    """Move units between locations: both levels change, or neither."""
    return await _write(request, batch, idempotency_key)


async def _write(request: Request, batch: AnyBatch, idempotency_key: str) -> Response:
    context, caller, key = context_of(request), caller_of(request), read_key(idempotency_key)
    written = await context.catalog.write(batch, owner=caller.owner, actor=f"key:{caller.key_id}", idempotency_key=key)
    if len(written.results) == 1 and written.refusal is not None:
        raise written.refusal
    done, refused = written.done, len(written.results) - written.done
    facts = {"id": written.change_id if done else None, "done": done, "refused": refused, "results": written.results}
    body = BatchView.model_validate(facts).model_dump_json(exclude_none=True)
    response = Response(body, 207 if refused else 200, media_type="application/json")
    if not written.created:
        response.headers["Idempotency-Replayed"] = "true"
    return response
