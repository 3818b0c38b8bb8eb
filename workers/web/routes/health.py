"""`GET /health/checkout`: public, quick, and without secrets."""

from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from pipeline.operations.health import Health
from workers.web.health_check import HealthChecker
from workers.web.protection.authentication import OpenRoute
from workers.web.protection.policies import limited_as

router = APIRouter(route_class=OpenRoute, tags=["operation"])


class CheckView(BaseModel):
    """One check; `count` where there is something to count."""

    model_config = ConfigDict(from_attributes=True)

    status: Health
    count: int | None = None
    message: str


class HealthView(BaseModel):
    """The worst of all checks, and each of them."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "status": "healthy",
                    "checks": {"database": {"status": "healthy", "count": None, "message": "PostgreSQL answers."}},
                    "timestamp": "2026-11-26T12:00:00Z",
                }
            ]
        },
    )

    status: Health
    checks: dict[str, CheckView]
    timestamp: datetime


UNHEALTHY: Final[dict[int | str, dict[str, Any]]] = {
    503: {"model": HealthView, "description": "Checkouts are not processed"}
}


@router.get("/health/checkout", response_description="Checkouts are processed", responses=UNHEALTHY)
# No rate limit: one report a second serves all callers.
@limited_as(None)
async def read_health(request: Request, response: Response) -> HealthView:
    """Return whether checkouts are processed: 503 when they are not, 200 when they are, also late or in part."""
    health_check: HealthChecker = request.app.state.health_check
    report = await health_check.report()
    if report.status is Health.UNHEALTHY:
        response.status_code = 503
    checks = {name: CheckView.model_validate(check) for name, check in report.checks.items()}
    return HealthView(status=report.status, checks=checks, timestamp=report.at)
