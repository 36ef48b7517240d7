create table job_outbox (
    job_id uuid primary key,
    submission json not null,
    created_at timestamptz not null default now(),
    claimed_until timestamptz not null default '-infinity',
    refused text
);

create index job_outbox_waiting on job_outbox (created_at) where refused is null;
