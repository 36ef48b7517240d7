"""The creation of a service: dependent steps, two of them optional."""

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field

from duly import Handlers, JobContext, StepContext, fixed
from service_template import forge
from service_template.forge import Build, Deployment, Repository

handlers = Handlers()
OPTIONAL_TRIES = 2
SOON = fixed(0.2)


class Order(BaseModel):
    name: str = Field(pattern="^[a-z][a-z0-9-]{1,30}$")
    settings: dict[str, Any] = {}
    members: list[str] = []
    logDays: int = Field(default=30, ge=1)


class Outcome(BaseModel):
    """Outcome of an optional step: `value`, or the reason for which it was skipped."""

    value: Any = None
    skipped: str | None = None


class Service(BaseModel):
    repository: Repository
    build: Build
    deployment: Deployment
    members: Outcome
    logging: Outcome


@handlers.register("create-service", max_attempts=2, retry=fixed(0.5), on_exhausted="hold", timeout=600)
async def create_service(order: Order, job: JobContext) -> Service:
    """Creates a repository, then members, CI and logging side by side, then the deployment."""
    name, add_members, add_logging = order.name, optional(forge.add_members), optional(forge.add_logging)
    archive = forge.archive_repository
    repository = await job.step("repository", forge.create_repository, name, order.settings, compensate=archive)
    members, build, logging = await asyncio.gather(
        job.step("members", add_members, name, order.members, retry=SOON, compensate=forge.remove_members),
        job.step("ci", forge.build, repository),
        job.step("logging", add_logging, name, order.logDays, retry=SOON, compensate=forge.remove_logging),
    )
    deployment = await job.step("deployment", forge.deploy, name, build, compensate=forge.undeploy)
    return Service(repository=repository, build=build, deployment=deployment, members=members, logging=logging)


def optional(function: Callable[..., Any]) -> Callable[..., Outcome]:
    """Returns a function for an optional step: after its last try it returns the reason instead of failing the job."""

    def attempt(*arguments: Any, step: StepContext) -> Outcome:
        try:
            return Outcome(value=function(*arguments))
        except (forge.ForgeError, OSError) as error:
            if step.attempt < OPTIONAL_TRIES:
                raise
            return Outcome(skipped=str(error))

    return attempt
