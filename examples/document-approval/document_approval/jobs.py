"""The approval of a document, as one handler that may take weeks."""

import asyncio
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from document_approval import mail, register
from document_approval.documents import Document
from duly import Fail, Handlers, JobContext, SignalTimedOut, StepContext, exponential

handlers = Handlers()
WEEK = 7 * 86_400.0


class Approver(BaseModel):
    """Person who is asked first, and the deputy who is asked after `patienceSeconds` without an answer."""

    role: str = Field(pattern="^[a-z]{1,40}$")
    address: str
    deputy: str
    patienceSeconds: float = Field(default=WEEK, gt=0)


class Approval(BaseModel):
    package: str
    approvers: list[Approver] = Field(min_length=1)


class Answer(BaseModel):
    choice: Literal["approve", "reject"]
    comment: str = ""


class Given(Answer):
    role: str
    address: str


class Decision(BaseModel):
    document: Document
    state: Literal["approved", "rejected"]
    answers: list[Given]


class Question(NamedTuple):
    """Question to one person. `signal` is the name of the signal that answers it."""

    document: Document
    signal: str
    address: str
    patience: float


@handlers.register("approve-document", max_attempts=5)
async def approve_document(approval: Approval, job: JobContext) -> Decision:
    """Asks all approvers at the same time, and records what they decide."""
    job_id = str(job.job_id)
    document = await job.step("register", register.add, job_id, approval.package, compensate=register.withdraw)
    answers = await asyncio.gather(*(ask(job, document, approver) for approver in approval.approvers))
    state = "approved" if all(answer.choice == "approve" for answer in answers) else "rejected"
    rows = [(answer.role, answer.choice, answer.comment) for answer in answers]
    await job.step("decide", register.decide, job_id, state, rows)
    return Decision.model_validate({"document": document, "state": state, "answers": answers})


async def ask(job: JobContext, document: Document, approver: Approver) -> Given:
    """Asks an approver, and then the deputy. The job is parked until there is an answer."""
    first = Question(document, approver.role, approver.address, approver.patienceSeconds)
    second = Question(document, f"{approver.role}-deputy", approver.deputy, WEEK)
    for question in (first, second):
        await job.step(f"mail-{question.signal}", send_question, job, question, retry=exponential(2))
        try:
            answer = await job.wait_for(question.signal, model=Answer, timeout=question.patience)
        except SignalTimedOut:
            job.log("no answer", level="warning", signal=question.signal, address=question.address)
        else:
            return Given(**answer.model_dump(), role=approver.role, address=question.address)
    raise Fail(f"Neither {approver.address} nor {approver.deputy} has answered.", code="NOT_ANSWERED")


def send_question(job: JobContext, question: Question, step: StepContext) -> None:
    """Mails a link. It is made in the step and not recorded with it, so that only its receiver has it."""
    document = question.document
    asked = f"May we use {document.package} {document.version} ({document.licence})?"
    link = job.signal_url(
        question.signal,
        choices=["approve", "reject"],
        question=asked,
        comment=True,
        recipient=question.address,
        timeout=question.patience,
    )
    text = f"{asked}\n\nSHA-256 of the licence: {document.digest}\n\nAnswer here: {link}\n"
    mail.send(question.address, asked, text, token=step.idempotency_token)
