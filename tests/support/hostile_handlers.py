"""A job type that says the same text in every place where a handler can say something."""

from typing import Any, Literal

from pydantic import BaseModel, JsonValue

from duly import Fail, Handlers, JobContext, Retry

handlers = Handlers()


class Say(BaseModel):
    """Text, and how the job ends. `character`: appended to the text, for one that no request can carry."""

    text: str
    value: JsonValue = None
    end: Literal["return", "raise", "fail", "retry"] = "return"
    character: int | None = None


@handlers.register("say", max_attempts=1)
async def say(parameters: Say, job: JobContext) -> Any:
    text = parameters.text + (chr(parameters.character) if parameters.character is not None else "")
    await job.progress(50, text)
    job.log(text, **{"field": text, f"name {text}": text})
    match parameters.end:
        case "raise":
            raise ValueError(text)
        case "fail":
            raise Fail(text)
        case "retry":
            raise Retry(text)
    return {"text": text, parameters.text: parameters.value}
