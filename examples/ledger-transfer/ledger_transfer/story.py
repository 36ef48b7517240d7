"""Submits the transfers, kills the service while they run, and compares jobs and banks at the end."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local_service import LocalService

from duly.client import Client
from ledger_transfer.reconciliation import Findings

_LOOK_SECONDS = 0.05
# A kill comes up to this long after its moment, so that it strikes anywhere in a transfer.
_SPREAD_SECONDS = 0.2
_END_SECONDS = 600


@dataclass
class Story:
    """A run of the example."""

    service: LocalService
    client: Client
    transfers: int
    kills: int

    def run(self, fees: list[dict[str, Any]]) -> list[str]:
        """Prints what happens. Returns what is wrong at the end."""
        began = time.monotonic()
        batch = self.client.submit_lines(({"type": "pay-fee", "parameters": fee} for fee in fees), name="fees")[
            "batchId"
        ]
        print(f"Submitted {len(fees):,} transfers as batch {batch}.", flush=True)
        self._kill_while_they_run(batch)
        ended = self._ended(batch)
        seconds = time.monotonic() - began
        self._retry_compensations()
        findings = self.reconcile()
        print(f"Killed the service {self.kills} times. {self.transfers / seconds:,.0f} transfers/s, with all downtime.")
        print(f"Jobs: {ended['completed']:,} completed, {ended['failed']:,} failed: {self._reasons(batch)}")
        return list(wrong(findings, ended))

    def reconcile(self) -> Findings:
        """Compares both banks, by a job, and prints what it found."""
        job = self.client.submit("reconcile", priority=9)
        found = self.client.result(job["jobId"], Findings, timeout=_END_SECONDS)
        print(f"Banks: {found.paid:,} paid, {found.voided:,} voided, {found.open:,} open, {found.wrong:,} wrong.")
        return found

    def _kill_while_they_run(self, batch: str) -> None:
        chance = random.Random(self.transfers)
        for kill in range(1, self.kills + 1):
            self._until(batch, self.transfers * kill // (self.kills + 1))
            time.sleep(chance.uniform(0, _SPREAD_SECONDS))
            self.service.kill()
            self.service.start()
            if kill == (self.kills + 1) // 2:
                print("In the middle of it:")
                self.reconcile()

    def _until(self, batch: str, ended: int) -> dict[str, int]:
        """Waits until so many transfers have ended. Returns the number of jobs in each status."""
        deadline = time.monotonic() + _END_SECONDS
        while True:
            seen = self.client.batches.get(batch)
            if seen["completed"] + seen["failed"] >= ended:
                return {"completed": seen["completed"], "failed": seen["failed"]}
            if time.monotonic() > deadline:
                raise TimeoutError(f"{seen} after {_END_SECONDS} s: see the log of the service")
            time.sleep(_LOOK_SECONDS)

    def _ended(self, batch: str) -> dict[str, int]:
        return self._until(batch, self.transfers)

    def _retry_compensations(self) -> None:
        """Retries compensations that could not be done, as an operator does; normally there are none."""
        for job in self.client.list(types=["pay-fee"], statuses=["failed"]):
            if job["error"] and job["error"]["code"] == "COMPENSATION_FAILED":
                print(f"Retrying the compensation of job {job['jobId']}.")
                self.client.retry(job["jobId"])
                self.client.wait(job["jobId"], timeout=60)

    def _reasons(self, batch: str) -> str:
        counts: dict[str, int] = {}
        for job in self.client.list(batch_ids=[batch], statuses=["failed"]):
            code = job["error"]["code"] if job["error"] else "none"
            counts[code] = counts.get(code, 0) + 1
        return ", ".join(f"{count:,} {code}" for code, count in sorted(counts.items())) or "none"


def wrong(found: Findings, ended: dict[str, int]) -> Iterator[str]:
    """Yields what differs between the banks, their sums and the jobs."""
    if found.open or found.wrong:
        yield f"{found.open} transfers are open, {found.wrong} are wrong: {found.examples}"
    if found.sum != found.openingSum:
        yield f"the banks have {found.sum} cents, and had {found.openingSum}"
    if found.wrongBalances:
        yield f"{found.wrongBalances} balances differ from their transfers"
    if found.paid != ended["completed"]:
        yield f"{found.paid} transfers are paid, but {ended['completed']} jobs are completed"
    if found.voided != ended["failed"]:
        yield f"{found.voided} transfers are voided, but {ended['failed']} jobs are failed"
