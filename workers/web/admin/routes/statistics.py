"""`GET /admin/checkout-locks/statistics`: the figures of the monitor."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import Response

from models.states import ACTIVE, CheckoutState
from pipeline.gateways import describe_choice
from pipeline.operations import read_stats
from workers.overview import Readout, read_queues
from workers.web.admin.authentication import LIST, AdminPageRoute
from workers.web.admin.schemas.responses import StatisticsView
from workers.web.admin.templates import render_page, wants_page
from workers.web.context import WebContext, context_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.openapi import BEARER, PAGE, describe_problems

router = APIRouter(route_class=AdminPageRoute, tags=["admin"], dependencies=[BEARER])


RESPONSE: Final = TypeAdapter(StatisticsView)


class StatisticsQuery(BaseModel):
    """Parameters of the query."""

    model_config = ConfigDict(extra="forbid")

    hours: float = Field(24, ge=0.01, le=8760, description="ended checkouts of so many hours are counted")


@router.get(
    f"{LIST}/statistics",
    response_model=StatisticsView,
    response_description="All figures",
    responses=PAGE | describe_problems(401, 403, 422, 429, 500, 503),
)
@limited_as(Policy.READS)
async def read_statistics(request: Request, wanted: Annotated[StatisticsQuery, Query()]) -> Response | StatisticsView:
    """Return what is active now, and what ended in the last hours: by state, by failure, with durations and queues."""
    readout = await _read(context_of(request), wanted.hours)
    if not wants_page(request):
        return RESPONSE.validate_python(readout.describe())
    facts: dict[str, Any] = {
        "title": "Statistics",
        "readout": readout,
        "stats": readout.stats,
        "queues": {figures.queue.removeprefix("checkout."): figures for figures in readout.queues or ()},
        "steps": {step.name: step for step in readout.stats.steps},
        "active": [(state, readout.stats.states[state]) for state in CheckoutState if state in ACTIVE],
        "ended": [(state, readout.stats.states[state]) for state in CheckoutState if state not in ACTIVE],
    }
    return render_page(request, "statistics.html", facts)


async def _read(context: WebContext, hours: float) -> Readout:
    stats, standby = await context.read_for_people(
        lambda connection: read_stats(connection, context.settings, hours=hours)
    )
    queues = await context.run(lambda: read_queues(context.components.broker.client))
    return Readout(stats, queues, describe_choice(context.settings), standby)
