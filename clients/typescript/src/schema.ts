// Generated from the OpenAPI document of the service by `make client-types`; do not edit.
export interface paths {
    "/api/v1/jobs/batch": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Submit a batch of jobs
         * @description Records many jobs, all or none: up to 10,000 in JSON, any number in NDJSON.
         *
         *     The response is sent once they are durable.
         *
         *     Required scope: `jobs:write`.
         */
        post: operations["submitBatch"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/batches/{batchId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a batch
         * @description Returns a batch with the number of its jobs in each status.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getBatch"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/batches/{batchId}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Cancel a batch
         * @description Cancels all unfinished jobs of a batch. The job that follows the batch (`then`) is submitted nevertheless.
         *
         *     Required scope: `jobs:write`.
         */
        post: operations["cancelBatch"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/batches": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List batches
         * @description Returns batches with the number of their jobs in each status, newest first.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["listBatches"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Retry jobs by filter
         * @description Retries all failed jobs that match the filter; with `status=cancelled`, the cancelled ones.
         *
         *     With `dryRun=true`, the matching jobs are only counted, including those whose unique key is taken, which are not
         *     retried.
         *
         *     Required scope: `admin`.
         */
        post: operations["retryJobs"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Cancel jobs by filter
         * @description Cancels all unfinished jobs that match the filter. At least one filter is required.
         *
         *     With `dryRun=true`, the matching jobs are only counted.
         *
         *     Required scope: `admin`.
         */
        post: operations["cancelJobs"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Retry a job
         * @description Retries a failed, cancelled or held job: it is pending again, with all its attempts. A job whose compensation
         *     failed continues to compensate.
         *
         *     Required scope: `jobs:write`.
         */
        post: operations["retryJob"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List jobs
         * @description Returns jobs, newest first.
         *
         *     A page may be short or empty and still have a `nextCursor`: a search that takes too long returns what it has found
         *     so far. Continue with the cursor.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["listJobs"];
        put?: never;
        /**
         * Submit a job
         * @description Records a job. The response is sent once the job is durable.
         *
         *     Required scope: `jobs:write`.
         */
        post: operations["submitJob"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a job
         * @description Returns a job in its current state. With `wait`, returns as soon as the job changes.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getJob"];
        /**
         * Submit a job under your own id
         * @description Records a job under an id of yours: a UUID of version 7 whose time is within 24 hours of now.
         *
         *     Repeating the same submission returns the job in its current state.
         *
         *     Required scope: `jobs:write`.
         */
        put: operations["submitJobWithId"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Cancel a job
         * @description Cancels a job. A waiting job is cancelled at once; a running job when its handler has stopped.
         *
         *     Required scope: `jobs:write`.
         */
        post: operations["cancelJob"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/signals/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Send a signal to a job
         * @description Sends a value to a job under a name. A job that waits for this name resumes; otherwise the value is kept until
         *     the job asks for it.
         *
         *     The first signal of a name is kept. The same body again gets 200, another one 409 `SIGNAL_ALREADY_SENT`.
         *
         *     Required scope: `jobs:write`.
         */
        post: operations["sendSignal"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/steps": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the steps of a job
         * @description Returns the recorded steps of a job, its timers and its signals, in the order of their newest events.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["listJobSteps"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the events of a job
         * @description Returns the events of a job, oldest first.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["listJobEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/events/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Stream the events of a job
         * @description Streams the history and all further events of a job as server-sent events, until the job ends.
         *
         *     `Last-Event-ID` (or `?lastEventId=`) resumes after that sequence, without gaps or repetitions.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["streamJobEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Stream the events of all jobs
         * @description Streams the events of all jobs as server-sent events: from now on, or after `Last-Event-ID`.
         *
         *     The first frame is `event: position`; its id resumes the stream before the first event. The stream ends only when
         *     the service shuts down, or with `event: overflow` when the client reads too slowly. The last id resumes it.
         *
         *     In an installation with several cells, `event: duly.cell_away` says that the events of one cell are missing for now,
         *     and `event: duly.cell_back` that they follow.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["streamEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/stream-tickets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Create a stream ticket
         * @description Creates a ticket that opens one stream or socket, as `?ticket=`, on any node, once, within 60 s.
         *
         *     It grants reading its target only, and submitting over the socket only with `submit`.
         *
         *     Required scope: `jobs:read`.
         */
        post: operations["createStreamTicket"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the log lines of a job
         * @description Returns the log lines of a job's handler, oldest first.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["listJobLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/why": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Explain a job's state
         * @description Returns why the job is in its state: what it waits for, what blocks it and, if known, until when.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["explainJob"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/limits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the submission limits
         * @description Returns the limits in force: those set here, or else those of the settings.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getSubmissionLimits"];
        /**
         * Set the submission limits
         * @description Replaces all limits; an omitted member means no limit of yours. They apply on this node at once, on other nodes
         *     within a second. Limits that the operator has set for the tenant stay in force: of each the stricter one applies.
         *
         *     Required scope: `admin`.
         */
        put: operations["setSubmissionLimits"];
        post?: never;
        /**
         * Reset the submission limits
         * @description Restores the limits of the settings.
         *
         *     Required scope: `admin`.
         */
        delete: operations["resetSubmissionLimits"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queues/{queue}/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Pause a queue
         * @description Pauses a queue on all nodes: no job of it starts after this response. Running jobs continue, and jobs may still
         *     be submitted. Pausing a paused queue changes nothing.
         *
         *     Required scope: `admin`.
         */
        post: operations["pauseQueue"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queues/{queue}/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Resume a queue
         * @description Resumes a paused queue. Resuming a queue that is not paused changes nothing.
         *
         *     Required scope: `admin`.
         */
        post: operations["resumeQueue"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queues/{queue}/limits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the limits of a queue
         * @description Returns the concurrency and rate limits of a queue.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getQueueLimits"];
        /**
         * Set the limits of a queue
         * @description Replaces both limits of a queue; an omitted member means no limit. They apply on all nodes after this
         *     response.
         *
         *     Required scope: `admin`.
         */
        put: operations["setQueueLimits"];
        post?: never;
        /**
         * Remove the limits of a queue
         * @description Removes the limits of a queue, if it has any.
         *
         *     Required scope: `admin`.
         */
        delete: operations["deleteQueueLimits"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/job-types/{type}/limits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the limits of a job type
         * @description Returns the concurrency and rate limits of a job type.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getJobTypeLimits"];
        /**
         * Set the limits of a job type
         * @description Replaces both limits of a job type; an omitted member means no limit. They apply on all nodes after this
         *     response.
         *
         *     Required scope: `admin`.
         */
        put: operations["setJobTypeLimits"];
        post?: never;
        /**
         * Remove the limits of a job type
         * @description Removes the limits of a job type, if it has any. The type need not be registered.
         *
         *     Required scope: `admin`.
         */
        delete: operations["deleteJobTypeLimits"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/job-types": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List job types
         * @description Returns the job types, sorted by name: those of handlers, and those that were declared.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["listJobTypes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/job-types/{type}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a job type
         * @description Returns one job type.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getJobType"];
        /**
         * Declare a job type
         * @description Declares a job type for workers that pull jobs over HTTP, or replaces its declaration. Submissions are accepted
         *     whether or not a worker is running. Other nodes know the declaration within 5 seconds.
         *
         *     If the schema of parameters has changed, up to 10,000 waiting jobs are compared with it.
         *
         *     Required scope: `worker`.
         */
        put: operations["declareJobType"];
        post?: never;
        /**
         * Delete a job type
         * @description Deletes the declaration of a job type of which no job waits or runs. One that Python handlers have declared can
         *     be deleted with the scope `operator`, once no live worker has the handler.
         *
         *     Required scope: `worker`.
         */
        delete: operations["deleteJobType"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/schedules": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List schedules
         * @description Returns the schedules, sorted by name.
         *
         *     Required scope: `schedules`.
         */
        get: operations["listSchedules"];
        put?: never;
        /**
         * Create a schedule
         * @description Creates a schedule. Its first job runs at the next due time from now.
         *
         *     Required scope: `schedules`.
         */
        post: operations["createSchedule"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/schedules/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a schedule
         * @description Returns one schedule.
         *
         *     Required scope: `schedules`.
         */
        get: operations["getSchedule"];
        /**
         * Create or replace a schedule
         * @description Creates a schedule, or replaces all of it except its last run. The same schedule again changes nothing.
         *
         *     Without `paused`, a new schedule is not paused and an existing one stays as it is. A change of cron, timezone or
         *     paused recomputes the next due time from now.
         *
         *     Required scope: `schedules`.
         */
        put: operations["putSchedule"];
        post?: never;
        /**
         * Delete a schedule
         * @description Deletes a schedule. Jobs that it has submitted continue.
         *
         *     Required scope: `schedules`.
         */
        delete: operations["deleteSchedule"];
        options?: never;
        head?: never;
        /**
         * Change a schedule
         * @description Changes a schedule. A change of cron, timezone or paused recomputes the next due time from now.
         *
         *     Required scope: `schedules`.
         */
        patch: operations["updateSchedule"];
        trace?: never;
    };
    "/api/v1/schedules/{name}/run": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Run a schedule now
         * @description Submits the job of a schedule now, even if it is paused. Its next due time stays the same.
         *
         *     Required scope: `schedules`.
         */
        post: operations["runSchedule"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/schedules/{name}/due-times": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the next due times of a schedule
         * @description Returns the next due times of a schedule, in UTC and in its time zone. Those of a paused schedule are the ones
         *     that it would have.
         *
         *     Required scope: `schedules`.
         */
        get: operations["listDueTimes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/schedules/{name}/runs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the runs of a schedule
         * @description Returns the due times that a schedule has run within the last 30 days, newest first, with the state of their
         *     jobs.
         *
         *     Required scope: `schedules`.
         */
        get: operations["listScheduleRuns"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queues": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List queues
         * @description Returns the default queue, and every other queue that has unfinished jobs, had any within the last minute, is
         *     paused or has limits. Sorted by name.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["listQueues"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queues/{queue}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a queue
         * @description Returns one queue. A queue without jobs has zeros.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getQueue"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List webhooks
         * @description Returns the webhooks, newest first. Repeating a filter matches any of its values.
         *
         *     Required scope: `webhooks`.
         */
        get: operations["listWebhooks"];
        put?: never;
        /**
         * Create a webhook
         * @description Registers a webhook. It receives events from now on. Only this response contains its secret.
         *
         *     Required scope: `webhooks`.
         */
        post: operations["createWebhook"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a webhook
         * @description Returns a webhook, without its secret.
         *
         *     Required scope: `webhooks`.
         */
        get: operations["getWebhook"];
        put?: never;
        post?: never;
        /**
         * Delete a webhook
         * @description Deletes a webhook. Its pending deliveries fail.
         *
         *     Required scope: `webhooks`.
         */
        delete: operations["deleteWebhook"];
        options?: never;
        head?: never;
        /**
         * Change a webhook
         * @description Changes a webhook. Pending deliveries go to the new URL, whose count of failures starts at zero.
         *
         *     Required scope: `webhooks`.
         */
        patch: operations["updateWebhook"];
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}/test": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Send a test webhook
         * @description Sends a `webhook.test`, regardless of the webhook's filters. A paused webhook receives it once it is resumed.
         *
         *     Required scope: `webhooks`.
         */
        post: operations["sendTestWebhook"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}/rotate-secret": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Rotate the secret of a webhook
         * @description Signs with a new secret and, for 24 hours, with the present one too; likewise for key pairs (v1a).
         *
         *     Only this response contains the new secret. A second rotation within that time drops the oldest secret.
         *
         *     Required scope: `webhooks`.
         */
        post: operations["rotateWebhookSecret"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}/jwks.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the public keys of a webhook
         * @description Returns the public keys that verify the `v1a` signatures of a webhook. No API key is required.
         */
        get: operations["getWebhookPublicKeys"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the health of a webhook
         * @description Returns the state of a webhook's circuit, the number of its pending deliveries, and the share of its newest ended
         *     deliveries that succeeded; of several cells, the circuit of the one that is worst off.
         *
         *     Required scope: `webhooks`.
         */
        get: operations["getWebhookHealth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}/deliveries": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the deliveries of a webhook
         * @description Returns the deliveries of a webhook, newest first.
         *
         *     A page may be short or empty and still have a `nextCursor`: a search that takes too long returns what it has found
         *     so far. Continue with the cursor.
         *
         *     Required scope: `webhooks`.
         */
        get: operations["listWebhookDeliveries"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{jobId}/deliveries": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the deliveries of a job
         * @description Returns the deliveries of a job, to its `callbackUrl` and to webhooks, newest first.
         *
         *     Required scope: `webhooks`.
         */
        get: operations["listJobDeliveries"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/deliveries/{deliveryId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a delivery
         * @description Returns one delivery with all its attempts.
         *
         *     Required scope: `webhooks`.
         */
        get: operations["getDelivery"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/deliveries/{deliveryId}/redeliver": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Redeliver a delivery
         * @description Sends a delivery again, under the same `webhook-id` and with all its attempts. One that waits is sent at once.
         *
         *     409 `DELIVERY_IN_FLIGHT`, retryable, while an attempt is in progress.
         *
         *     Required scope: `webhooks`.
         */
        post: operations["redeliverDelivery"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}/replay": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Replay failed deliveries
         * @description Sends again all deliveries created since a time that have failed, oldest first, with all their attempts.
         *
         *     Required scope: `webhooks`.
         */
        post: operations["createReplay"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}/replays": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the replays of a webhook
         * @description Returns the replays of a webhook, newest first.
         *
         *     Required scope: `webhooks`.
         */
        get: operations["listReplays"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhookId}/replays/{replayId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a replay
         * @description Returns the progress of a replay.
         *
         *     Required scope: `webhooks`.
         */
        get: operations["getReplay"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List API keys
         * @description Returns the keys that were not revoked, newest first, without their secrets.
         *
         *     Required scope: `admin`.
         */
        get: operations["listKeys"];
        put?: never;
        /**
         * Create an API key
         * @description Creates a key. Only this response contains it. A key with the scope `operator` can be created by an operator
         *     only.
         *
         *     Required scope: `admin`.
         */
        post: operations["createKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/keys/{keyId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Revoke an API key
         * @description Revokes a key. It is refused, and its open streams and sockets end, within 5 seconds on all nodes.
         *
         *     Required scope: `admin`.
         */
        delete: operations["revokeKey"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/keys/{keyId}/rotate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Rotate an API key
         * @description Creates a key with the same rights. The old key stays valid for `overlapSeconds`, a day by default.
         *
         *     Required scope: `admin`.
         */
        post: operations["rotateKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tenants": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List tenants
         * @description Returns the tenants, sorted by name.
         *
         *     Required scope: `operator`.
         */
        get: operations["listTenants"];
        put?: never;
        /**
         * Create a tenant
         * @description Creates a tenant. Create its first key with `POST /api/v1/keys` and the header `X-Duly-Tenant`.
         *
         *     Required scope: `operator`.
         */
        post: operations["createTenant"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tenants/{tenant}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a tenant
         * @description Returns one tenant.
         *
         *     Required scope: `operator`.
         */
        get: operations["getTenant"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /**
         * Change the limits of a tenant
         * @description Replaces those limits that are in the request. Limits on submitting apply on all nodes within a second.
         *
         *     Required scope: `operator`.
         */
        patch: operations["updateTenant"];
        trace?: never;
    };
    "/api/v1/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the audit log
         * @description Returns changes of keys, tenants, pauses, limits, schedules and webhooks, bulk actions and repairs, newest first.
         *
         *     Entries are recorded in the transaction of the change, and are never changed. Changes of tenants, and repairs, are
         *     in the log of the tenant `default`. The log of an installation with several cells is kept in each of them.
         *
         *     Required scope: `admin`.
         */
        get: operations["listAuditLog"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/figures": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read figures over time
         * @description Returns series for plots: jobs submitted, started and ended, jobs that wait and run, and percentiles of waits and
         *     run times. A wait is the time from when a job is ready to its start. At most 50 queues have figures of their own in
         *     a minute; those of others are in the figures of all queues only.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getFigures"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/nodes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the nodes
         * @description Returns the running processes of the installation, the oldest first, up to 1,000. They serve all tenants.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["listNodes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scaling": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the scaling signal
         * @description Returns what waits and runs, and the slots that this needs. It is read from the database, so it needs no live
         *     worker. Jobs of paused queues need no slots, and a concurrency limit is never exceeded.
         *
         *     Required scope: `jobs:read`.
         */
        get: operations["getScaling"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Claim jobs
         * @description Claims up to `max` jobs of these types for a worker, by priority, then age. If none is ready, waits up to
         *     `waitSeconds` for one; then the list is empty.
         *
         *     Each job is leased until `leaseExpiresAt`. Extend the lease by heartbeats, and report the end of the attempt. A job
         *     whose lease expires runs again.
         *
         *     Required scope: `worker`.
         */
        post: operations["claimLeases"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/heartbeat": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Extend several leases
         * @description Extends each lease by its length. A lease that cannot be extended has an `error` in its place.
         *
         *     Required scope: `worker`.
         */
        post: operations["heartbeatLeases"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/{leaseId}/heartbeat": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Extend a lease
         * @description Extends a lease by its length, and records progress, a checkpoint and log lines. Send one in a third of
         *     `leaseSeconds`. A lost lease gets 409 `LEASE_LOST`: stop working on the job.
         *
         *     Required scope: `worker`.
         */
        post: operations["heartbeatLease"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/complete": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Complete several attempts
         * @description Records the results of several attempts, each by itself: one that cannot be recorded has an `error` in its
         *     place.
         *
         *     Required scope: `worker`.
         */
        post: operations["completeLeases"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/{leaseId}/complete": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Complete an attempt
         * @description Records the result of an attempt, which completes its job. The same request again gets the same response. A lost
         *     lease gets 409 `LEASE_LOST`, and nothing is changed. A job that was cancelled meanwhile ends as cancelled.
         *
         *     Required scope: `worker`.
         */
        post: operations["completeLease"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/{leaseId}/fail": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Report a failed attempt
         * @description Records that an attempt failed. The job runs again, by the retry policy of its type or after
         *     `retryAfterSeconds`, if the error is retryable and attempts are left. Repeated and lost: as for `complete`.
         *
         *     Required scope: `worker`.
         */
        post: operations["failLease"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/{leaseId}/release": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Release a job
         * @description Returns a job to its queue, for another worker. The attempt is not counted. Repeated and lost: as for
         *     `complete`.
         *
         *     Required scope: `worker`.
         */
        post: operations["releaseLease"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/{leaseId}/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Submit child jobs
         * @description Submits child jobs of an attempt as one batch, all or none.
         *
         *     The same jobs at the same positions are recorded once, also by later attempts of the job: a retried worker finds the
         *     children of earlier attempts. Other jobs at these positions get 409 `JOB_EXISTS`; a second call in an attempt
         *     therefore needs an `Idempotency-Key`.
         *
         *     Required scope: `worker`.
         */
        post: operations["submitLeaseJobs"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/{leaseId}/steps/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Record a step
         * @description Records the result of a step of an attempt. Later attempts of the job find it in `steps` of their lease, and need
         *     not do the step again.
         *
         *     A step is recorded once for each name: the same result again gets the same response, another one 409
         *     `STEP_ALREADY_RECORDED`. A lost lease gets 409 `LEASE_LOST`.
         *
         *     Required scope: `worker`.
         */
        post: operations["recordLeaseStep"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/leases/{leaseId}/park": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Wait for a time or a signal
         * @description Ends an attempt whose job waits for a time or a signal. The job runs again then, on any worker, and finds the
         *     signal in `steps` of its lease; the attempt is not counted.
         *
         *     A signal that was sent before resumes the job at once. Repeated and lost: as for `complete`.
         *
         *     Required scope: `worker`.
         */
        post: operations["parkLease"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Check liveness
         * @description Returns 200 while the process responds.
         */
        get: operations["getHealth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Check readiness
         * @description Returns 200 if the node would record a submission now: the database serves, and the node is not shutting down.
         */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read metrics
         * @description Returns the metrics of the node in the text format of Prometheus, or in OpenMetrics where `Accept` names it.
         */
        get: operations["getMetrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description Accepted batch: all its jobs are durable. The ids are in the order of the submissions. */
        AcceptedBatchBody: {
            /** Format: uuid */
            batchId: string;
            jobIds: string[];
            /** @constant */
            status: "pending";
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            createdAt: string;
        };
        /** @description Accepted job: it is durable, and runs as soon as possible. */
        AcceptedBody: {
            /** Format: uuid */
            jobId: string;
            /** @description `pending`; with `deduplicated`, the status of the existing job. */
            status: components["schemas"]["JobStatus"];
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            createdAt: string;
            links: components["schemas"]["Links"];
            /** @description `true`: an unfinished job with the same type and `uniqueKey` was returned. */
            deduplicated?: boolean;
        };
        /** @description One attempt of a delivery. */
        AttemptBody: {
            attempt: number;
            /**
             * Format: date-time
             * @description Start of the attempt.
             * @example 2026-01-27T10:00:00.000Z
             */
            attemptedAt: string;
            durationMs: number;
            /** @description Null if there was no response. */
            statusCode: number | null;
            /** @description First KiB of the response body. */
            answer: string | null;
            error: string | null;
        };
        /** @description Recorded change. */
        AuditBody: {
            /** Format: date-time */
            at: string;
            /** @description Key id, `DULY_API_KEY`, `anonymous`, `cli:user@host`, `link:recipient` or, by a handler, `job:id`. */
            actor: string;
            /** @example key.created */
            action: string;
            /** @description Id or name of what was changed. */
            subject: string;
            before: {
                [key: string]: unknown;
            } | null;
            after: {
                [key: string]: unknown;
            } | null;
            requestId: string | null;
        };
        AuditPage: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["AuditBody"][];
            nextCursor: string | null;
        };
        /** @description Batch of jobs: all are recorded, or none. */
        Batch: {
            jobs: components["schemas"]["Submission"][];
            name?: string | null;
            /** @description Job to submit once all jobs of the batch have ended, with `batch` added to its parameters. */
            then?: components["schemas"]["Submission"] | null;
        };
        /**
         * @description Current state of a batch. It is pending until its first job starts or ends, then running until its last job has
         *     ended; then failed if any job failed, else cancelled if any was cancelled, else completed.
         */
        BatchBody: {
            /** Format: uuid */
            batchId: string;
            name: string | null;
            status: components["schemas"]["JobStatus"];
            total: number;
            pending: number;
            running: number;
            completed: number;
            failed: number;
            cancelled: number;
            /** @description Job that was submitted once all jobs had ended. */
            thenJobId: string | null;
            /** @description Why that job was refused when it was due. */
            thenError: components["schemas"]["BatchErrorBody"] | null;
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            createdAt: string;
            /** @description Time at which the last job had ended and was counted. */
            completedAt: string | null;
        };
        BatchErrorBody: {
            code: string;
            /** @description Null without the scope `jobs:payload`. */
            message: string | null;
            /** @description Null without the scope `jobs:payload`. */
            details: components["schemas"]["ErrorDetails"] | null;
        };
        BatchPage: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["BatchBody"][];
            nextCursor: string | null;
        };
        CancelledBody: {
            /** @description Number of jobs that were cancelled, or whose handler is asked to stop. */
            cancelled: number;
        };
        /** @enum {string} */
        CatchUpPolicy: "none" | "last" | "all";
        /** @description Circuit breaker of a receiver. Open: the receiver keeps failing, and only single probes are sent. */
        CircuitBody: {
            /** @enum {string} */
            state: "closed" | "open";
            /** @description Failed attempts since the last success. */
            failures: number;
            /** @description Time of the first of these failures. */
            failingSince: string | null;
            /** @description Time of the next probe; null while closed. */
            nextProbeAt: string | null;
            lastError: string | null;
        };
        /** @description Job that undoes a step. */
        Compensation: {
            /** @example refund */
            type: string;
            /** @description Its parameters; checked when the step is recorded. */
            parameters?: unknown;
        };
        /** @description Result of an attempt. */
        CompleteRequest: {
            /**
             * @description Any JSON value, kept as it is sent.
             * @example {
             *       "pages": 3
             *     }
             */
            result?: unknown;
        };
        /** @description Result of one of several attempts. */
        CompletedLease: {
            /**
             * @description Any JSON value, kept as it is sent.
             * @example {
             *       "pages": 3
             *     }
             */
            result?: unknown;
            leaseId: string;
        };
        /** @description Recorded end of an attempt, or the error of one that cannot be recorded. */
        CompletionItem: {
            leaseId: string;
            /** Format: uuid */
            jobId?: string;
            status?: components["schemas"]["JobStatus"];
            sequence?: number;
            error?: components["schemas"]["ErrorContent"];
        };
        CompletionsBody: {
            /** @description In the order of the request. */
            leases: components["schemas"]["CompletionItem"][];
        };
        /** @description Results of several attempts, at most one for each lease. */
        CompletionsRequest: {
            leases: components["schemas"]["CompletedLease"][];
        };
        /** @description Number of jobs that a bulk action would change. */
        CountBody: {
            /** @description Number of matching jobs, at most 10,000. */
            count: number;
            /** @description False if more jobs match, or may match, than were counted. */
            complete: boolean;
        };
        /** @enum {string} */
        DeclaredBy: "handler" | "client";
        /** @enum {string} */
        DeliveredEvent: "job.started" | "job.progress" | "job.retrying" | "job.completed" | "job.failed" | "job.cancelled" | "batch.completed" | "webhook.test" | "endpoint.disabled";
        /** @description Delivery of one event to one receiver: to a webhook, or to the `callbackUrl` of a job. */
        DeliveryBody: {
            /** Format: uuid */
            deliveryId: string;
            /** @description Null for a delivery to the `callbackUrl` of a job. */
            webhookId: string | null;
            /** @description Null if the event is not about a job. */
            jobId: string | null;
            /**
             * Format: uuid
             * @description Header `webhook-id`; the same on every attempt.
             */
            eventId: string;
            eventType: components["schemas"]["DeliveredEvent"];
            /** @description Sequence of the event within its job. */
            sequence: number | null;
            /** @description Current URL of the receiver; null if the receiver was deleted. */
            url: string | null;
            status: components["schemas"]["DeliveryStatus"];
            /** @description Includes the attempt in progress. */
            attemptCount: number;
            /**
             * @description Earliest time of the next attempt; null while an attempt is in progress.
             * @example 2026-01-27T10:00:00.000Z
             */
            nextAttemptAt: string | null;
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            createdAt: string;
            /** @example 2026-01-27T10:00:00.000Z */
            completedAt: string | null;
            /** @example 503 */
            lastStatusCode: number | null;
            /** @example the receiver answered 503 */
            lastError: string | null;
        };
        /** @description Webhooks in flight to one endpoint at once, and webhooks sent per time, over all nodes. Null means no limit. */
        DeliveryLimits: {
            /** @example 10 */
            concurrency?: number | null;
            rate?: components["schemas"]["RateLimit"] | null;
        };
        DeliveryPageBody: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["DeliveryBody"][];
            nextCursor: string | null;
        };
        /**
         * @description Status of a delivery in the API.
         * @enum {string}
         */
        DeliveryStatus: "pending" | "delivered" | "failed";
        /** @description API key with its text, which no other response contains. */
        DisclosedKeyBody: {
            /** @example 4Kq0vWc1Zt8LmXbR */
            keyId: string;
            name: string;
            scopes: components["schemas"]["KeyScope"][];
            types: string[] | null;
            queues: string[] | null;
            rate: components["schemas"]["RateLimit"] | null;
            expiresAt: string | null;
            /** @description Time from which the key is refused because it was rotated. */
            validUntil: string | null;
            /** Format: date-time */
            createdAt: string;
            /**
             * @description Key id or `cli:user@host` of its author.
             * @example cli:ada@host-1
             */
            createdBy: string;
            /** @description Time of its last use, to the minute. */
            lastUsedAt: string | null;
            /**
             * @description Send it as `Authorization: Bearer <key>`.
             * @example duly_4Kq0vWc1Zt8LmXbR_…
             */
            key: string;
        };
        /** @description Webhook with its secret, which no other response contains. */
        DisclosedWebhookBody: {
            /** Format: uuid */
            webhookId: string;
            url: string;
            events: string[];
            types: string[];
            labels: {
                [key: string]: string;
            };
            description: string | null;
            /** @description Null if the service lacks the key that they are encrypted with. */
            headerNames: string[] | null;
            signatures: components["schemas"]["SignatureVersion"][];
            /**
             * @description Public keys of `v1a`, as `whpk_…`, newest first.
             * @example []
             */
            publicKeys: string[];
            /** @description Public address of the same keys; null without `v1a`. */
            jwksUrl: string | null;
            status: components["schemas"]["WebhookStatus"];
            paused: boolean;
            disabledAt: string | null;
            /** @example GONE: the receiver answered 410 */
            disabledReason: string | null;
            limits: components["schemas"]["DeliveryLimits"];
            circuit: components["schemas"]["CircuitBody"];
            /** @description Until then the previous secret signs as well. */
            previousSecretUntil: string | null;
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            createdAt: string;
            /** Format: date-time */
            updatedAt: string;
            /** @example whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw */
            secret: string;
        };
        DueTimeBody: {
            /**
             * Format: date-time
             * @example 2026-03-30T04:30:00.000Z
             */
            dueAt: string;
            /**
             * Format: date-time
             * @description The same time in the schedule's time zone, with its offset.
             * @example 2026-03-30T06:30:00+02:00
             */
            localTime: string;
        };
        /** @description Next due times of a schedule. */
        DueTimesBody: {
            /**
             * @description IANA name of the time zone of `localTime`.
             * @example Europe/Berlin
             */
            timezone: string;
            /** @description True: the schedule submits nothing until it is resumed. */
            paused: boolean;
            items: components["schemas"]["DueTimeBody"][];
        };
        /** @description Recorded end of an attempt. */
        EndedLeaseBody: {
            /** Format: uuid */
            jobId: string;
            /** @description Status of the job after it: `pending` if the job runs again. */
            status: components["schemas"]["JobStatus"];
            /** @description Sequence of its event. */
            sequence: number;
        };
        /** @description Body of every response that is not 2xx or 304. */
        ErrorBody: {
            error: components["schemas"]["ErrorContent"];
        };
        ErrorContent: {
            /** @example VALIDATION_FAILED */
            code: string;
            message: string;
            details: components["schemas"]["ErrorDetails"];
        };
        ErrorDetails: {
            reason: string;
            retryable: boolean;
            /** @description Errors by path; with 422. */
            errors?: components["schemas"]["PathErrorBody"][];
            /** @description Remedy for the operator; with 503. */
            remedy?: string;
            /** @description Scope that the API key lacks; with `SCOPE_MISSING`. */
            scope?: string;
            /** @description Jobs that stand against the change of a job type; with 409. */
            jobs?: number;
            /** @description Waiting jobs that were compared with a schema. */
            examined?: number;
        };
        /** @description Event of a job. */
        EventBody: {
            /** Format: uuid */
            eventId: string;
            /** @example JobCompleted */
            eventType: string;
            /** @constant */
            eventVersion: "1.0";
            /** Format: date-time */
            occurredAt: string;
            /** Format: uuid */
            aggregateId: string;
            /** @constant */
            aggregateType: "Job";
            sequence: number;
            data: {
                [key: string]: unknown;
            };
            metadata: components["schemas"]["EventMetadata"];
        };
        EventMetadata: {
            correlationId: string;
            causationId: string | null;
            /** @example worker:node-1 */
            source: string;
            traceparent: string | null;
        };
        EventPage: {
            items: components["schemas"]["EventBody"][];
            nextCursor: string | null;
        };
        /** @description Failure of an attempt. */
        FailRequest: {
            error: components["schemas"]["WorkerError"];
            /** @description False ends the job, even if attempts are left. Default: `true` */
            retryable?: boolean;
            /** @description Delay until the next attempt; null for that of the job type's retry policy. */
            retryAfterSeconds?: number | null;
        };
        /** @description One value for each step, the oldest first. */
        FigureSeries: {
            /** @description Number in each step. */
            submitted: number[];
            /** @description Number in each step. */
            started: number[];
            /** @description Number in each step. */
            completed: number[];
            /** @description Number in each step. */
            failed: number[];
            /** @description Number in each step. */
            cancelled: number[];
            /** @description Attempts in each step after which the job runs again. */
            retried: number[];
            /** @description Delivery attempts of webhooks in each step. */
            deliveriesSucceeded: number[];
            /** @description Delivery attempts of webhooks in each step. */
            deliveriesFailed: number[];
            /** @description Jobs ready to start: the highest number in each step. */
            waiting: number[];
            /** @description Highest number in each step, of one reading a minute. */
            scheduled: number[];
            /** @description Highest number in each step, of one reading a minute. */
            blocked: number[];
            /** @description Highest number in each step, of one reading a minute. */
            running: number[];
            /** @description Waiting time of the oldest job ready to start. */
            oldestWaitSeconds: number[];
            /** @description To within 15 %. Null for a step without any. */
            waitP50Seconds: (number | null)[];
            /** @description To within 15 %. Null for a step without any. */
            waitP99Seconds: (number | null)[];
            /** @description To within 15 %. Null for a step without any. */
            runP50Seconds: (number | null)[];
            /** @description To within 15 %. Null for a step without any. */
            runP99Seconds: (number | null)[];
        };
        /**
         * @description Figures that the service keeps for two days. They are up to ten seconds old, and not exact: a node that is killed
         *     loses what it counted since it last wrote.
         */
        FiguresBody: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            queue: string | null;
            /**
             * Format: date-time
             * @description Start of the first step.
             */
            since: string;
            /**
             * Format: date-time
             * @description End of the last step, which may be in the future.
             */
            until: string;
            stepSeconds: number;
            series: components["schemas"]["FigureSeries"];
        };
        /** @description Liveness of the process. */
        HealthBody: {
            /** @constant */
            status: "up";
        };
        /** @description Extended lease. */
        HeartbeatBody: {
            /** Format: date-time */
            leaseExpiresAt: string;
            /** @description A client has cancelled the job: stop, and report any end. The job ends as cancelled. */
            cancelRequested: boolean;
        };
        /** @description Extended lease, or the error of one that cannot be extended. */
        HeartbeatItem: {
            leaseId: string;
            /** Format: date-time */
            leaseExpiresAt?: string;
            cancelRequested?: boolean;
            error?: components["schemas"]["ErrorContent"];
        };
        /** @description Heartbeat of an attempt. All members are optional. */
        HeartbeatRequest: {
            /** @description Progress in percent. */
            progress?: number | null;
            /** @description Text that belongs to `progress`. */
            message?: string | null;
            /** @description Any JSON value that the next attempt of the job receives; replaces the previous one. Null or omitted: the checkpoint stays. */
            checkpoint?: unknown;
            logs?: components["schemas"]["WorkerLogLine"][];
        };
        HeartbeatsBody: {
            /** @description In the order of the request. */
            leases: components["schemas"]["HeartbeatItem"][];
        };
        /** @description Heartbeats of several attempts. */
        HeartbeatsRequest: {
            leaseIds: string[];
        };
        /** @enum {string} */
        Isolation: "task" | "thread" | "process";
        /** @description Current state of a job. */
        JobBody: {
            /** Format: uuid */
            jobId: string;
            type: string;
            queue: string;
            priority: number;
            status: components["schemas"]["JobStatus"];
            /** @description Sequence of its newest event; also its ETag. */
            sequence: number;
            waitingFor: components["schemas"]["WaitingFor"] | null;
            progress: number | null;
            progressMessage: string | null;
            attempt: number;
            maxAttempts: number;
            parameters: unknown;
            result: unknown;
            error: components["schemas"]["JobErrorBody"] | null;
            labels: {
                [key: string]: string;
            };
            batchId: string | null;
            parentId: string | null;
            dependsOn: string[];
            correlationId: string;
            /** Format: date-time */
            createdAt: string;
            runAt: string | null;
            startedAt: string | null;
            completedAt: string | null;
            /** @description Present while its completed steps are compensated, before it ends. */
            compensating?: boolean;
        };
        JobErrorBody: {
            /** @example TASK_FAILED */
            code: string;
            /** @description Null without the scope `jobs:payload`. */
            message: string | null;
            /** @description Null without the scope `jobs:payload`. */
            details: components["schemas"]["JobErrorDetails"] | null;
        };
        JobErrorDetails: {
            reason: string;
            /** @description True if a retry follows. */
            retryable: boolean;
            attempt: number | null;
            /** @description Type of the exception that the handler raised. */
            exception?: string;
            /** @description Frames of the handler's code, innermost last, at most ten. */
            frames?: components["schemas"]["JobErrorFrame"][];
        };
        JobErrorFrame: {
            file: string;
            line: number;
            function: string;
        };
        JobPage: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["JobBody"][];
            nextCursor: string | null;
        };
        /** @description Way to retry a job. */
        JobRetryRequest: {
            /** @description Recorded step: it and all later ones are forgotten, and run again. */
            fromStep?: string | null;
        };
        /**
         * @description Status of a job, as the API shows it.
         * @enum {string}
         */
        JobStatus: "pending" | "running" | "completed" | "failed" | "cancelled";
        JobTypeBatch: {
            size: number;
            lingerSeconds: number;
        };
        JobTypeBody: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            type: string;
            description: string;
            parametersSchema: {
                [key: string]: unknown;
            };
            resultSchema: {
                [key: string]: unknown;
            };
            defaults: components["schemas"]["JobTypeDefaults"];
            /** @description `handler`: by Python handlers. `client`: by `PUT` on this address. */
            declaredBy: components["schemas"]["DeclaredBy"];
            /** @description Last change; null if only this process knows the type. */
            declaredAt: string | null;
            /** @description Null unless Python handlers run the type. */
            isolation: components["schemas"]["Isolation"] | null;
            batch: components["schemas"]["JobTypeBatch"] | null;
            /** @description Processes that run jobs of this type now, or lease them to workers over HTTP. */
            workers: number;
            /** @description Null if no job of the type has completed. */
            observed: components["schemas"]["ObservedTimes"] | null;
            /** @description Null if the handler declares none. */
            breaker: components["schemas"]["JobTypeBreaker"] | null;
            limits: components["schemas"]["StartLimits"];
        };
        /** @description Circuit breaker of a job type. Open: its jobs do not start. Half-open: one at a time does. */
        JobTypeBreaker: {
            /** @enum {string} */
            state: "closed" | "open" | "half-open";
            /** @description Consecutive failed attempts with the same error code. */
            failures: number;
            /**
             * @description Error code of these attempts; null without any.
             * @example TIMED_OUT
             */
            code: string | null;
            /** @description Time at which the next job may start; null unless open. */
            openUntil: string | null;
        };
        /** @description Job type to declare. Schemas are JSON Schema 2020-12 with references within the schema only. */
        JobTypeDeclaration: {
            /** @description Default: `""` */
            description?: string;
            /**
             * @description Submissions of this type are validated by it. Default: anything is valid.
             * @example {
             *       "properties": {
             *         "url": {
             *           "type": "string"
             *         }
             *       },
             *       "required": [
             *         "url"
             *       ],
             *       "type": "object"
             *     }
             */
            parametersSchema?: {
                [key: string]: unknown;
            };
            /** @description An attempt whose result does not fit fails with `RESULT_INVALID`. */
            resultSchema?: {
                [key: string]: unknown;
            };
            /** @description Timeout for each attempt. Default: `3600.0` */
            timeoutSeconds?: number;
            /** @description Default: `5` */
            maxAttempts?: number;
            retry?: components["schemas"]["RetryRequest"];
            /** @description Queue of submissions that name none; null: `default`. */
            queue?: string | null;
            /** @description `hold`: a job whose attempts are used up is held for a retry by hand. Default: `"fail"` */
            onExhausted?: components["schemas"]["OnExhausted"];
        };
        JobTypeDefaults: {
            timeoutSeconds: number;
            maxAttempts: number;
            retry: components["schemas"]["RetryBody"];
            /** @description Queue of submissions that name none; null: `default`. */
            queue: string | null;
            /** @description Effect once the attempts of a job are used up. */
            onExhausted: components["schemas"]["OnExhausted"];
        };
        JobTypePage: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["JobTypeBody"][];
            nextCursor: string | null;
        };
        JwkBody: {
            /** @constant */
            kty: "OKP";
            /** @constant */
            crv: "Ed25519";
            /** @constant */
            use: "sig";
            /** @constant */
            alg: "EdDSA";
            kid: string;
            x: string;
        };
        /** @description Public keys that verify `v1a` (RFC 7517, RFC 8037): one, or two during a rotation. */
        JwksBody: {
            keys: components["schemas"]["JwkBody"][];
        };
        /** @description API key, without its secret. */
        KeyBody: {
            /** @example 4Kq0vWc1Zt8LmXbR */
            keyId: string;
            name: string;
            scopes: components["schemas"]["KeyScope"][];
            types: string[] | null;
            queues: string[] | null;
            rate: components["schemas"]["RateLimit"] | null;
            expiresAt: string | null;
            /** @description Time from which the key is refused because it was rotated. */
            validUntil: string | null;
            /** Format: date-time */
            createdAt: string;
            /**
             * @description Key id or `cli:user@host` of its author.
             * @example cli:ada@host-1
             */
            createdBy: string;
            /** @description Time of its last use, to the minute. */
            lastUsedAt: string | null;
        };
        KeyPage: {
            items: components["schemas"]["KeyBody"][];
            nextCursor: string | null;
        };
        /** @description API key to create. */
        KeyRequest: {
            /**
             * @description Purpose or owner of the key.
             * @example dashboard
             */
            name: string;
            /**
             * @example [
             *       "jobs:read",
             *       "jobs:write"
             *     ]
             */
            scopes: components["schemas"]["KeyScope"][];
            /** @description Job types that a worker with this key may run. */
            types?: string[] | null;
            /** @description Queues from which a worker with this key may claim. */
            queues?: string[] | null;
            /** @description Time from which the key is refused. */
            expiresAt?: string | null;
            /** @description Requests that the key may make, over all nodes. */
            rate?: components["schemas"]["RateLimit"] | null;
        };
        /** @description Rotation of an API key. */
        KeyRotation: {
            /** @description Seconds for which the old key stays valid. Default: `86400` */
            overlapSeconds?: number;
        };
        /** @enum {string} */
        KeyScope: "jobs:read" | "jobs:payload" | "jobs:write" | "webhooks" | "schedules" | "worker" | "admin" | "operator";
        LastErrorBody: {
            /** @example VALIDATION_FAILED */
            code: string;
            message: string;
            details: components["schemas"]["ErrorDetails"];
            /**
             * Format: date-time
             * @example 2026-01-27T06:30:00.000Z
             */
            dueAt: string;
        };
        LastJobBody: {
            /** Format: uuid */
            jobId: string;
            /**
             * Format: date-time
             * @example 2026-01-27T06:30:00.000Z
             */
            dueAt: string;
        };
        /** @description Job that is leased to the worker. */
        LeaseBody: {
            /** @description Names the attempt in later requests. Opaque, at most 512 characters. */
            leaseId: string;
            /** Format: date-time */
            leaseExpiresAt: string;
            job: components["schemas"]["JobBody"];
            /** @description Number of this attempt, from 1. */
            attempt: number;
            /**
             * @description For calls to other services: the same in every attempt of the job.
             * @example duly-0199c1f0-7d2c-7000-8000-000000000000
             */
            idempotencyToken: string;
            /** @description Newest checkpoint of earlier attempts, or null. */
            checkpoint: unknown;
            /** @description Recorded steps of earlier attempts, timers and signals. */
            steps: components["schemas"]["StepBody"][];
            /**
             * @description W3C trace context for the attempt, or null.
             * @example 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
             */
            traceparent: string | null;
        };
        /** @description Accepted child jobs, in the order of the request. */
        LeaseChildrenBody: {
            /** Format: uuid */
            batchId: string;
            jobIds: string[];
        };
        /** @description Child jobs of an attempt: all are recorded, or none. */
        LeaseChildrenRequest: {
            jobs: components["schemas"]["Submission"][];
        };
        /** @description Wait of a job for a time or a signal: either `until` or `signal`. */
        LeaseParkRequest: {
            /** @description Time at which the job runs again. */
            until?: string | null;
            /**
             * @description Name of the signal to wait for.
             * @example approval
             */
            signal?: string | null;
            /** @description Time for the signal to arrive, counted from the first wait for it; then the job runs again, and the signal is `timed_out` in `steps`. Null: no limit. */
            timeoutSeconds?: number | null;
        };
        /** @description Release of a job. It has no members. */
        LeaseRelease: Record<string, never>;
        /** @description Claim of jobs by a worker. */
        LeaseRequest: {
            /**
             * @description Job types to claim.
             * @example [
             *       "thumbnail"
             *     ]
             */
            types: string[];
            /** @description Queues to claim from; null for all. */
            queues?: string[] | null;
            /** @description Maximum number of jobs. Default: `1` */
            max?: number;
            /** @description Time to wait for a job if none is ready. Default: `0` */
            waitSeconds?: number;
            /** @description Time after which the lease expires unless a heartbeat extends it. Default: `30` */
            leaseSeconds?: number;
            /**
             * @description Name of the worker, shown to operators.
             * @example worker-7
             */
            workerName?: string | null;
        };
        /** @description Recorded step. */
        LeaseStepBody: {
            /** Format: uuid */
            jobId: string;
            name: string;
        };
        /** @description Completed step of an attempt. */
        LeaseStepRequest: {
            /**
             * @description Any JSON value of at most 256 KiB.
             * @example {
             *       "charge": "ch_42"
             *     }
             */
            result?: unknown;
            /** @description Job that is submitted to undo the step if the job fails for good or is cancelled. */
            compensation?: components["schemas"]["Compensation"] | null;
        };
        LeasesBody: {
            leases: components["schemas"]["LeaseBody"][];
        };
        Links: {
            self: string;
            events: string;
            stream: string;
            cancel: string;
        };
        /** @enum {string} */
        LogLevel: "debug" | "info" | "warning" | "error";
        /** @description One call of `job.log`. */
        LogLineBody: {
            attempt: number;
            /** @description Number of the line within its attempt, from 1. A gap means that lines were dropped. */
            line: number;
            level: components["schemas"]["LogLevel"];
            /**
             * @description Null without the scope `jobs:payload`.
             * @example read 250 rows
             */
            message: string | null;
            /** @description Null without the scope `jobs:payload`. */
            fields: {
                [key: string]: unknown;
            } | null;
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            at: string;
        };
        LogPage: {
            items: components["schemas"]["LogLineBody"][];
            nextCursor: string | null;
        };
        /** @description Process of the service. */
        NodeBody: {
            /**
             * Format: uuid
             * @description New at each start.
             */
            nodeId: string;
            /**
             * @description Host name and process id.
             * @example web-1-4711
             */
            name: string;
            version: string;
            /**
             * @example [
             *       "api",
             *       "worker"
             *     ]
             */
            roles: string[];
            /**
             * @description `late`: its heartbeats are missing; once its lease has expired, its jobs run elsewhere.
             * @enum {string}
             */
            state: "ready" | "draining" | "late";
            /** @description Jobs that it can run at once, of all tenants. */
            slots: number;
            /** @description Slots in use at its last heartbeat. */
            busySlots: number;
            /** Format: date-time */
            startedAt: string;
            /** Format: date-time */
            heartbeatAt: string;
        };
        NodeList: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["NodeBody"][];
        };
        /** @description Run times of the newest completed jobs of a type, at most 1,000. */
        ObservedTimes: {
            count: number;
            p50Seconds: number;
            p99Seconds: number;
            /** @description Twice the P99, rounded up to a round figure. */
            suggestedTimeoutSeconds: number;
        };
        /** @enum {string} */
        OnExhausted: "fail" | "hold";
        /** @enum {string} */
        OverlapPolicy: "allow" | "skip";
        PathErrorBody: {
            /** @example parameters.startDate */
            path: string;
            message: string;
            /** @description Index of the job in a batch, from 0. */
            index?: number;
        };
        /** @description Current state of a queue. A queue exists from its first job on. */
        QueueBody: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            queue: string;
            /** @description Jobs ready to start. Estimated above some thousand. */
            depth: number;
            /** @description Jobs waiting for a time: a later start or the next attempt. */
            scheduled: number;
            /** @description Jobs whose handler waits for a timer, a signal or child jobs, without a slot. */
            parked: number;
            /** @description Jobs whose attempts are used up, held for a retry by hand. */
            held: number;
            /** @description Jobs waiting for others: dependencies, or jobs with the same concurrency key. */
            blocked: number;
            running: number;
            /** @description Waiting time of the oldest job that is ready to start. */
            oldestAgeSeconds: number | null;
            /** @description Jobs submitted, averaged over the last minute. */
            inPerSecond: number;
            /** @description Jobs ended, averaged over the last minute. */
            outPerSecond: number;
            paused: boolean;
            pausedAt: string | null;
            limits: components["schemas"]["StartLimits"];
        };
        QueuePage: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["QueueBody"][];
            nextCursor: string | null;
        };
        /** @description `count` starts per `seconds`. A token bucket: unused starts are saved for a burst, at most `count`. */
        RateLimit: {
            /** @example 100 */
            count: number;
            /** @example 60 */
            seconds: number;
        };
        /** @description Readiness of the node. */
        ReadyBody: {
            /** @constant */
            status: "ready";
            /** @description Name of the node that responds. */
            node: string;
            /** @description With several cells: numbers of those that do not answer. */
            cellsAway?: number[];
        };
        /** @description Progress of a replay. `found` is the sum of `delivered`, `failed` and `waiting`. */
        ReplayBody: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            /** Format: uuid */
            replayId: string;
            /** Format: uuid */
            webhookId: string;
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            since: string;
            status: components["schemas"]["ReplayStatus"];
            found: number;
            delivered: number;
            failed: number;
            waiting: number;
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            createdAt: string;
            /**
             * @description Time at which all were found.
             * @example 2026-01-27T10:00:00.000Z
             */
            collectedAt: string | null;
        };
        ReplayPageBody: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["ReplayBody"][];
            nextCursor: string | null;
        };
        /** @description Failed deliveries to send again: those created at this time or later. */
        ReplayRequest: {
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            since: string;
        };
        /** @enum {string} */
        ReplayStatus: "collecting" | "sending" | "completed";
        RetriedBody: {
            /** @description Number of jobs that run again. */
            retried: number;
        };
        /** @description Delay between attempts. */
        RetryBody: {
            shape: components["schemas"]["RetryShape"];
            firstSeconds: number;
            capSeconds: number;
            factor: number;
            jitter: number;
        };
        /**
         * @description Delay after attempt n: `fixed` waits `firstSeconds` each time, `linear` n times that, `exponential`
         *     `firstSeconds` times `factor` to the power of n - 1; at most `capSeconds`, plus or minus `jitter`.
         */
        RetryRequest: {
            /** @description Default: `"exponential"` */
            shape?: components["schemas"]["RetryShape"];
            /** @description Default: `1.0` */
            firstSeconds?: number;
            /** @description Longest delay, at least `firstSeconds`. Default: `300.0` */
            capSeconds?: number;
            /** @description Default: `2.0` */
            factor?: number;
            /** @description Random part of the delay. Default: `0.2` */
            jitter?: number;
        };
        /** @enum {string} */
        RetryShape: "fixed" | "linear" | "exponential";
        /** @description Load of the tenant, or of one of its queues or job types, and the slots that it needs. */
        ScalingBody: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            /** @description Jobs ready to start. Estimated above a thousand in a lane. */
            waiting: number;
            /** @description Attempts in progress. */
            running: number;
            /** @description Waiting time of the oldest job that is ready to start. */
            oldestWaitSeconds: number;
            /** @description Jobs submitted per second, over the last minutes. */
            arrivalRate: number;
            /** @description Slots that drain what waits within the target and keep up with what arrives; at least `running`. */
            desiredSlots: number;
            /** @description Time in which the slots of all live workers drain what waits. Null if it only grows. */
            drainSeconds: number | null;
        };
        /** @description Submission that recurs. */
        Schedule: {
            /**
             * @description Minute, hour, day of month, month, day of week. With six fields, the first is the second.
             * @example 30 6 * * MON-FRI
             */
            cron: string;
            /**
             * @description IANA name of the time zone of the cron expression. Default: `"UTC"`
             * @example Europe/Berlin
             */
            timezone?: string;
            submission: components["schemas"]["Submission"];
            /** @description `skip`: a due time is skipped while the last job has not ended. Default: `"allow"` */
            overlap?: components["schemas"]["OverlapPolicy"];
            /** @description Due times missed by a minute or more that are run: `none`, the `last` one, or `all`. Default: `"none"` */
            catchUp?: components["schemas"]["CatchUpPolicy"];
            /** @description A paused schedule submits no jobs. Default: `false` */
            paused?: boolean;
            /** @example nightly-report */
            name: string;
        };
        /** @description Current state of a schedule. */
        ScheduleBody: {
            name: string;
            cron: string;
            timezone: string;
            /** @description As it was sent, without its `callbackSecret`. */
            submission: {
                [key: string]: unknown;
            };
            overlap: components["schemas"]["OverlapPolicy"];
            catchUp: components["schemas"]["CatchUpPolicy"];
            paused: boolean;
            /** @description `handler`: by code of a worker. `client`: over the API. */
            declaredBy: components["schemas"]["DeclaredBy"];
            /** @description Workers whose code declares it now; null unless declared by code. */
            workers: number | null;
            /** @description Null while the schedule is paused. */
            nextRunAt: string | null;
            /** @description Due time of its last job. */
            lastRunAt: string | null;
            lastJob: components["schemas"]["LastJobBody"] | null;
            /** @description Why a later job was refused; null once one is submitted. */
            lastError: components["schemas"]["LastErrorBody"] | null;
            /** Format: date-time */
            createdAt: string;
            /** Format: date-time */
            updatedAt: string;
        };
        /** @description Changes of a schedule. Omitted members stay as they are; a submission is replaced as a whole. */
        ScheduleChange: {
            /**
             * @description Minute, hour, day of month, month, day of week. With six fields, the first is the second.
             * @example 0 *\/5 * * * ?
             */
            cron?: string;
            /** @description IANA name of the time zone of the cron expression. */
            timezone?: string;
            submission?: components["schemas"]["Submission"];
            /** @description `skip`: a due time is skipped while the last job has not ended. */
            overlap?: components["schemas"]["OverlapPolicy"];
            /** @description Due times missed by a minute or more that are run: `none`, the `last` one, or `all`. */
            catchUp?: components["schemas"]["CatchUpPolicy"];
            /** @description A paused schedule submits no jobs. */
            paused?: boolean;
        };
        /** @description Submission that recurs, under the name in the path. */
        ScheduleDefinition: {
            /**
             * @description Minute, hour, day of month, month, day of week. With six fields, the first is the second.
             * @example 30 6 * * MON-FRI
             */
            cron: string;
            /**
             * @description IANA name of the time zone of the cron expression. Default: `"UTC"`
             * @example Europe/Berlin
             */
            timezone?: string;
            submission: components["schemas"]["Submission"];
            /** @description `skip`: a due time is skipped while the last job has not ended. Default: `"allow"` */
            overlap?: components["schemas"]["OverlapPolicy"];
            /** @description Due times missed by a minute or more that are run: `none`, the `last` one, or `all`. Default: `"none"` */
            catchUp?: components["schemas"]["CatchUpPolicy"];
            /** @description A paused schedule submits no jobs. Default: `false` */
            paused?: boolean;
        };
        SchedulePage: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            items: components["schemas"]["ScheduleBody"][];
            nextCursor: string | null;
        };
        /** @description Due time that was run, or the time of a run by request. */
        ScheduleRunBody: {
            /**
             * Format: date-time
             * @example 2026-01-27T05:30:00.000Z
             */
            dueAt: string;
            /** @description Null if it was skipped because the last job had not ended. */
            jobId: string | null;
            /** @description Current status of the job; null without a job, or if it was deleted. */
            status: components["schemas"]["JobStatus"] | null;
            startedAt: string | null;
            completedAt: string | null;
        };
        ScheduleRunPage: {
            items: components["schemas"]["ScheduleRunBody"][];
            nextCursor: string | null;
        };
        /** @description New secret of a webhook. */
        SecretRotation: {
            /** @description Generated if omitted. */
            secret?: string | null;
        };
        /** @description Delivery of a `webhook.test`. */
        SentTestBody: {
            /** Format: uuid */
            deliveryId: string;
            /**
             * Format: uuid
             * @description The `webhook-id` of the request.
             */
            eventId: string;
        };
        /** @description Recorded signal. */
        SignalBody: {
            /** Format: uuid */
            jobId: string;
            /** @example approval */
            name: string;
            /** @description Sequence of its event. */
            sequence: number;
            /**
             * Format: date-time
             * @description Time at which it was recorded.
             */
            sentAt: string;
        };
        /** @enum {string} */
        SignatureVersion: "v1" | "v1a";
        /** @description Jobs running at once and jobs started per time, over all nodes. Null means no limit. */
        StartLimits: {
            /** @example 10 */
            concurrency?: number | null;
            rate?: components["schemas"]["RateLimit"] | null;
        };
        /** @description Recorded step, timer or signal of a job. */
        StepBody: {
            /** @example charge */
            name: string;
            kind: components["schemas"]["StepKindName"];
            /** @description `waiting`: the time has not come, or the signal has not arrived; `timed_out`: no signal arrived in time; `compensated`: the step was undone. */
            status: components["schemas"]["StepStatusName"];
            /** @description Number of tries of a step; null for timers and signals. */
            attempts: number | null;
            /** @description Start of a step. */
            startedAt: string | null;
            /** @description Time at which it was recorded; null while it waits. */
            completedAt: string | null;
            /** @description Time of a timer, or until which a signal is waited for. */
            until: string | null;
            /** @description True if the step has a compensation. */
            compensable: boolean;
            /** @description Result of a step, or body of a signal. Null without the scope `jobs:payload`. */
            result: unknown;
        };
        /** @enum {string} */
        StepKindName: "step" | "timer" | "signal";
        StepPage: {
            items: components["schemas"]["StepBody"][];
            nextCursor: string | null;
        };
        /** @enum {string} */
        StepStatusName: "waiting" | "completed" | "timed_out" | "compensated";
        /**
         * @description A job to submit. Only `type` is required.
         * @example {
         *       "callbackUrl": "https://client.example.com/webhooks/job-completed",
         *       "concurrencyKey": "customer-c-42",
         *       "labels": {
         *         "customer": "c-42"
         *       },
         *       "parameters": {
         *         "endDate": "2024-01-31",
         *         "startDate": "2024-01-01"
         *       },
         *       "priority": 5,
         *       "type": "report-generation"
         *     }
         */
        Submission: {
            /**
             * @description Job type.
             * @example report-generation
             */
            type: string;
            /**
             * @description Parameters, as the model of the job type requires.
             * @example {}
             */
            parameters?: unknown;
            /** @description Default: `"default"` */
            queue?: string;
            /** @description Higher priorities run first. Default: `0` */
            priority?: number;
            /** @description Earliest start; cannot be combined with delaySeconds. */
            runAt?: string | null;
            delaySeconds?: number | null;
            /** @description Timeout for each attempt (default: that of the job type). */
            timeoutSeconds?: number | null;
            /** @description Default: that of the job type. */
            maxAttempts?: number | null;
            /** @description If the job has not started by then, it fails as EXPIRED. */
            expiresInSeconds?: number | null;
            /** @description While a job of this type and key is unfinished, a submission returns that job. */
            uniqueKey?: string | null;
            /** @description Requires uniqueKey: starts, with the newest parameters, after this time without submissions. */
            debounceSeconds?: number | null;
            /** @description Longest delay by debouncing (default: 10 times debounceSeconds). */
            debounceMaxSeconds?: number | null;
            /** @description At most one job with this key runs at a time, in order of submission. */
            concurrencyKey?: string | null;
            /** @description Ids of jobs that must complete first. */
            dependsOn?: string[];
            /**
             * @description Effect if one of them fails or is cancelled. Default: `"fail"`
             * @enum {string}
             */
            onDependencyFailure?: "fail" | "run";
            /** @description Effect once all attempts are used up: `hold` keeps the job for a retry by hand (default: that of the job type). */
            onExhausted?: ("fail" | "hold") | null;
            labels?: {
                [key: string]: string;
            };
            /** @description URL that receives signed webhooks. */
            callbackUrl?: string | null;
            /** @description Secret that signs the webhooks. */
            callbackSecret?: string | null;
            /**
             * @example [
             *       "job.completed",
             *       "job.failed",
             *       "job.cancelled"
             *     ]
             */
            callbackEvents?: string[] | null;
        };
        /** @description Limits on submitting, over all nodes. Null means no limit. */
        SubmissionLimitsBody: {
            /** @description Jobs that may be submitted in a period. */
            rate?: components["schemas"]["RateLimit"] | null;
            /**
             * @description Jobs that may wait in each queue.
             * @example 10000
             */
            backlog?: number | null;
            /** @description Jobs that may wait in the queue of this name. */
            backlogs?: {
                [key: string]: number;
            };
        };
        /** @description Tenant and its limits. Null: the setting or default of the installation applies. */
        TenantBody: {
            /** @example acme */
            tenant: string;
            submitRate: number | null;
            submitBurst: number | null;
            backlogLimit: number | null;
            retentionDays: number | null;
            maxEndpoints: number | null;
            maxSchedules: number | null;
            maxKeys: number | null;
            maxQueues: number | null;
            /** Format: date-time */
            createdAt: string;
        };
        /** @description Limits of a tenant to replace. Null: the setting or default of the installation applies. */
        TenantChange: {
            /** @description Jobs that it may submit per second. */
            submitRate?: number | null;
            /** @description Jobs that it may submit at once; null: ten seconds of the rate. */
            submitBurst?: number | null;
            /** @description Jobs that may wait in each of its queues. */
            backlogLimit?: number | null;
            /** @description Days for which its ended jobs are kept at least. The jobs of a day are deleted for all tenants together, once the longest retention of any tenant has passed. */
            retentionDays?: number | null;
            /** @description Webhooks that it may register. */
            maxEndpoints?: number | null;
            /** @description Schedules that it may have. */
            maxSchedules?: number | null;
            /** @description Valid API keys that it may have. */
            maxKeys?: number | null;
            /** @description Queues that it may use at a time. */
            maxQueues?: number | null;
        };
        TenantPage: {
            items: components["schemas"]["TenantBody"][];
            nextCursor: string | null;
        };
        /** @description Tenant to create. */
        TenantRequest: {
            /** @description Jobs that it may submit per second. */
            submitRate?: number | null;
            /** @description Jobs that it may submit at once; null: ten seconds of the rate. */
            submitBurst?: number | null;
            /** @description Jobs that may wait in each of its queues. */
            backlogLimit?: number | null;
            /** @description Days for which its ended jobs are kept at least. The jobs of a day are deleted for all tenants together, once the longest retention of any tenant has passed. */
            retentionDays?: number | null;
            /** @description Webhooks that it may register. */
            maxEndpoints?: number | null;
            /** @description Schedules that it may have. */
            maxSchedules?: number | null;
            /** @description Valid API keys that it may have. */
            maxKeys?: number | null;
            /** @description Queues that it may use at a time. */
            maxQueues?: number | null;
            /** @example acme */
            tenant: string;
        };
        TicketBody: {
            /**
             * @description Opens one stream or socket, as `?ticket=`.
             * @example zXg1Jq…
             */
            ticket: string;
            /**
             * Format: date-time
             * @example 2026-01-27T10:01:00.000Z
             */
            expiresAt: string;
        };
        /**
         * @description Target of a ticket: exactly one of `jobId`, `batchId`, `labels` and `all`.
         * @example {
         *       "jobId": "0199c1f0-5b1e-7a42-9c53-5e0b6d3f8a11"
         *     }
         * @example {
         *       "labels": {
         *         "customer": "c-42"
         *       },
         *       "submit": true
         *     }
         */
        TicketRequest: {
            /** @description One job. */
            jobId?: string | null;
            /** @description All jobs of a batch. */
            batchId?: string | null;
            /** @description All jobs that have all of these labels. */
            labels?: {
                [key: string]: string;
            } | null;
            /** @description `true`: all jobs. */
            all?: boolean | null;
            /** @description Allow submitting jobs over `/ws/jobs`. Default: `false` */
            submit?: boolean;
        };
        /** @enum {string} */
        WaitingFor: "worker" | "time" | "retry" | "dependencies" | "concurrency" | "paused" | "timer" | "signal" | "held";
        /** @description Receiver of events about jobs. */
        Webhook: {
            /** @example https://client.example.com/webhooks/duly */
            url: string;
            /**
             * @description `*`, or any of job.started, job.progress, job.retrying, job.completed, job.failed, job.cancelled, batch.completed. webhook.test and endpoint.disabled are always sent. With types or labels, `*` does not include batch.completed, which has neither; list it explicitly.
             * @example [
             *       "job.completed"
             *     ]
             */
            events: string[];
            /** @description Job types to report. Default: all. */
            types?: string[];
            /** @description Labels that a job must have, all of them. */
            labels?: {
                [key: string]: string;
            };
            description?: string | null;
            /** @description Generated if omitted. */
            secret?: string | null;
            /**
             * @description Headers sent with each webhook: at most 20, 8 KiB in total. Responses show their names only.
             * @example {
             *       "Authorization": "Bearer a-token-of-yours"
             *     }
             */
            headers?: {
                [key: string]: string;
            };
            /** @description `v1`: signed with the secret. `v1a`: also signed with a key pair, whose public key is published. Default: `["v1"]` */
            signatures?: components["schemas"]["SignatureVersion"][];
            /** @description A paused webhook receives nothing; its deliveries wait. Default: `false` */
            paused?: boolean;
            limits?: components["schemas"]["DeliveryLimits"];
        };
        /** @description Current state of a webhook. */
        WebhookBody: {
            /** Format: uuid */
            webhookId: string;
            url: string;
            events: string[];
            types: string[];
            labels: {
                [key: string]: string;
            };
            description: string | null;
            /** @description Null if the service lacks the key that they are encrypted with. */
            headerNames: string[] | null;
            signatures: components["schemas"]["SignatureVersion"][];
            /**
             * @description Public keys of `v1a`, as `whpk_…`, newest first.
             * @example []
             */
            publicKeys: string[];
            /** @description Public address of the same keys; null without `v1a`. */
            jwksUrl: string | null;
            status: components["schemas"]["WebhookStatus"];
            paused: boolean;
            disabledAt: string | null;
            /** @example GONE: the receiver answered 410 */
            disabledReason: string | null;
            limits: components["schemas"]["DeliveryLimits"];
            circuit: components["schemas"]["CircuitBody"];
            /** @description Until then the previous secret signs as well. */
            previousSecretUntil: string | null;
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            createdAt: string;
            /** Format: date-time */
            updatedAt: string;
        };
        /** @description Changes of a webhook. Omitted members stay as they are; a list or an object is replaced as a whole. */
        WebhookChange: {
            /** @example https://client.example.com/webhooks/duly */
            url?: string;
            /**
             * @description `*`, or any of job.started, job.progress, job.retrying, job.completed, job.failed, job.cancelled, batch.completed. webhook.test and endpoint.disabled are always sent. With types or labels, `*` does not include batch.completed, which has neither; list it explicitly.
             * @example [
             *       "job.completed"
             *     ]
             */
            events?: string[];
            /** @description Job types to report. Default: all. */
            types?: string[];
            /** @description Labels that a job must have, all of them. */
            labels?: {
                [key: string]: string;
            };
            description?: string | null;
            /**
             * @description Headers sent with each webhook: at most 20, 8 KiB in total. Responses show their names only.
             * @example {
             *       "Authorization": "Bearer a-token-of-yours"
             *     }
             */
            headers?: {
                [key: string]: string;
            };
            /** @description `v1`: signed with the secret. `v1a`: also signed with a key pair, whose public key is published. */
            signatures?: components["schemas"]["SignatureVersion"][];
            /** @description `false`: deliveries that have waited are sent. */
            paused?: boolean;
            limits?: components["schemas"]["DeliveryLimits"];
            /** @description `true`: it receives nothing more. `false`: enabled again, with its failures reset. */
            disabled?: boolean;
        };
        /** @enum {string} */
        WebhookEvent: "job.started" | "job.progress" | "job.retrying" | "job.completed" | "job.failed" | "job.cancelled" | "batch.completed";
        /** @description State of a webhook's receiver, from its circuit and its newest ended deliveries. */
        WebhookHealthBody: {
            /** @description `true`: cells are away, and what they have is missing. Else absent. */
            incomplete?: boolean;
            /** @description Numbers of the cells that are away. */
            cellsAway?: number[];
            /** Format: uuid */
            webhookId: string;
            status: components["schemas"]["WebhookStatus"];
            circuit: components["schemas"]["CircuitBody"];
            /** @description Deliveries that wait or are being sent, counted up to 1,000. */
            pending: number;
            /** @description Newest ended deliveries that were counted, at most 200. */
            recent: number;
            delivered: number;
            failed: number;
            /**
             * @description Share of `delivered`; null without any.
             * @example 0.985
             */
            successRate: number | null;
            /** @description Last success among these deliveries. */
            lastDeliveredAt: string | null;
            /** @description Last failure among these deliveries. */
            lastFailedAt: string | null;
        };
        WebhookPage: {
            items: components["schemas"]["WebhookBody"][];
            nextCursor: string | null;
        };
        /** @enum {string} */
        WebhookStatus: "enabled" | "paused" | "disabled";
        WholeDeliveryBody: {
            /** Format: uuid */
            deliveryId: string;
            /** @description Null for a delivery to the `callbackUrl` of a job. */
            webhookId: string | null;
            /** @description Null if the event is not about a job. */
            jobId: string | null;
            /**
             * Format: uuid
             * @description Header `webhook-id`; the same on every attempt.
             */
            eventId: string;
            eventType: components["schemas"]["DeliveredEvent"];
            /** @description Sequence of the event within its job. */
            sequence: number | null;
            /** @description Current URL of the receiver; null if the receiver was deleted. */
            url: string | null;
            status: components["schemas"]["DeliveryStatus"];
            /** @description Includes the attempt in progress. */
            attemptCount: number;
            /**
             * @description Earliest time of the next attempt; null while an attempt is in progress.
             * @example 2026-01-27T10:00:00.000Z
             */
            nextAttemptAt: string | null;
            /**
             * Format: date-time
             * @example 2026-01-27T10:00:00.000Z
             */
            createdAt: string;
            /** @example 2026-01-27T10:00:00.000Z */
            completedAt: string | null;
            /** @example 503 */
            lastStatusCode: number | null;
            /** @example the receiver answered 503 */
            lastError: string | null;
            /** @description All attempts, oldest first. */
            attempts: components["schemas"]["AttemptBody"][];
        };
        /** @description Explanation of a job's state. */
        WhyBody: {
            /** Format: uuid */
            jobId: string;
            status: components["schemas"]["JobStatus"];
            waitingFor: components["schemas"]["WaitingFor"] | null;
            cause: components["schemas"]["WhyCause"];
            /** @example The queue "default" has been paused since 2026-01-27T10:00:00.000Z. */
            message: string;
            /** @description Figures of the message; the members depend on the cause. */
            data: {
                [key: string]: unknown;
            };
        };
        /**
         * @description Reason why a job waits, or the way it ended.
         * @enum {string}
         */
        WhyCause: "ENDED" | "RUNNING" | "SET_ASIDE" | "CANCEL_REQUESTED" | "SCHEDULED" | "RETRY" | "TIMER" | "SIGNAL" | "HELD" | "COMPENSATING" | "DEPENDENCIES" | "CONCURRENCY_KEY" | "EXPIRED" | "QUEUE_PAUSED" | "NO_WORKER" | "CIRCUIT_OPEN" | "CONCURRENCY_LIMIT" | "RATE_LIMIT" | "BUSY" | "NEXT" | "INBOX";
        /** @description Error of an attempt. */
        WorkerError: {
            /**
             * @description Error code of your own. Default: `"TASK_FAILED"`
             * @example CUSTOMER_UNKNOWN
             */
            code?: string;
            /**
             * @description One sentence for a person.
             * @example No customer has the number 42.
             */
            message: string;
        };
        /** @description Line for the log of the job. */
        WorkerLogLine: {
            /**
             * @description Default: `"info"`
             * @enum {string}
             */
            level?: "debug" | "info" | "warning" | "error";
            /** @description Text; longer ones are truncated to 8,000 characters. */
            message: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    submitBatch: {
        parameters: {
            query?: {
                /** @description With NDJSON only. */
                name?: string;
            };
            header?: {
                /** @description The same key and body within 24 h return the first response again. */
                "Idempotency-Key"?: string;
                /** @description Stored on all jobs of the batch and on their events. */
                "X-Correlation-Id"?: string;
                /** @description W3C trace context; passed on to the handlers and to webhooks. */
                traceparent?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Batch"];
                "application/x-ndjson": string;
            };
        };
        responses: {
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AcceptedBatchBody"];
                };
            };
        };
    };
    getBatch: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Batch id. */
                batchId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BatchBody"];
                };
            };
        };
    };
    cancelBatch: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Batch id. */
                batchId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BatchBody"];
                };
            };
            /** @description Some jobs are running; their handlers are asked to stop */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BatchBody"];
                };
            };
        };
    };
    listBatches: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BatchPage"];
                };
            };
        };
    };
    retryJobs: {
        parameters: {
            query?: {
                /** @description Filter by job type; repeat for several. */
                type?: string[];
                /** @description Filter by queue; repeat for several. */
                queue?: string[];
                /** @description Filter by batch; repeat for several. */
                batchId?: string[];
                /** @description `name:value` */
                label?: string[];
                /** @description Filter by status; repeat for several. */
                status?: components["schemas"]["JobStatus"][];
                /** @description Children of this job; repeat for several. */
                parentId?: string[];
                /** @description Created at this time or later. */
                createdAfter?: string;
                /** @description Created before this time. */
                createdBefore?: string;
                /** @description Count the matching jobs and change nothing. */
                dryRun?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description With `dryRun=true` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CountBody"];
                };
            };
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RetriedBody"];
                };
            };
        };
    };
    cancelJobs: {
        parameters: {
            query?: {
                /** @description Filter by job type; repeat for several. */
                type?: string[];
                /** @description Filter by queue; repeat for several. */
                queue?: string[];
                /** @description Filter by batch; repeat for several. */
                batchId?: string[];
                /** @description `name:value` */
                label?: string[];
                /** @description Filter by status; repeat for several. */
                status?: components["schemas"]["JobStatus"][];
                /** @description Children of this job; repeat for several. */
                parentId?: string[];
                /** @description Created at this time or later. */
                createdAfter?: string;
                /** @description Created before this time. */
                createdBefore?: string;
                /** @description Count the matching jobs and change nothing. */
                dryRun?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description With `dryRun=true` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CountBody"];
                };
            };
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CancelledBody"];
                };
            };
        };
    };
    retryJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["JobRetryRequest"];
            };
        };
        responses: {
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobBody"];
                };
            };
        };
    };
    listJobs: {
        parameters: {
            query?: {
                /** @description Filter by job type; repeat for several. */
                type?: string[];
                /** @description Filter by queue; repeat for several. */
                queue?: string[];
                /** @description Filter by batch; repeat for several. */
                batchId?: string[];
                /** @description `name:value` */
                label?: string[];
                /** @description Filter by status; repeat for several. */
                status?: components["schemas"]["JobStatus"][];
                /** @description Children of this job; repeat for several. */
                parentId?: string[];
                /** @description Created at this time or later. */
                createdAfter?: string;
                /** @description Created before this time. */
                createdBefore?: string;
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobPage"];
                };
            };
        };
    };
    submitJob: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key and body within 24 h return the first response again. */
                "Idempotency-Key"?: string;
                /** @description `wait=N`: wait up to N seconds (at most 60) for the job to end. */
                Prefer?: string;
                /** @description Stored on the job and on all its events. */
                "X-Correlation-Id"?: string;
                /** @description W3C trace context; passed on to the handler and to webhooks. */
                traceparent?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Submission"];
            };
        };
        responses: {
            /** @description The job ended within the time of `Prefer: wait` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobBody"];
                };
            };
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AcceptedBody"];
                };
            };
        };
    };
    getJob: {
        parameters: {
            query?: {
                /** @description Seconds to wait for a change of the job (long poll). */
                wait?: number;
            };
            header?: {
                /** @description A known `ETag`: the response is 304 if the job has not changed. */
                "If-None-Match"?: string;
            };
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobBody"];
                };
            };
        };
    };
    submitJobWithId: {
        parameters: {
            query?: never;
            header?: {
                /** @description The same key and body within 24 h return the first response again. */
                "Idempotency-Key"?: string;
                /** @description `wait=N`: wait up to N seconds (at most 60) for the job to end. */
                Prefer?: string;
                /** @description Stored on the job and on all its events. */
                "X-Correlation-Id"?: string;
                /** @description W3C trace context; passed on to the handler and to webhooks. */
                traceparent?: string;
            };
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Submission"];
            };
        };
        responses: {
            /** @description The same submission was recorded before, or the job ended within the time of `Prefer: wait` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobBody"];
                };
            };
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AcceptedBody"];
                };
            };
        };
    };
    cancelJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobBody"];
                };
            };
            /** @description The job is running; its handler is asked to stop */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobBody"];
                };
            };
        };
    };
    sendSignal: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job id. */
                jobId: string;
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        /** @description Any JSON value of at most 64 KiB; without a body, null. */
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "approved": true
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description It was sent before, with the same body */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignalBody"];
                };
            };
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignalBody"];
                };
            };
        };
    };
    listJobSteps: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StepPage"];
                };
            };
        };
    };
    listJobEvents: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EventPage"];
                };
            };
        };
    };
    streamJobEvents: {
        parameters: {
            query?: {
                /** @description Resumes after this frame, for clients that cannot send `Last-Event-ID`. */
                lastEventId?: string;
                /** @description Stream ticket, instead of an API key; see `POST /api/v1/stream-tickets`. */
                ticket?: string;
            };
            header?: {
                /** @description Resumes after this frame; takes precedence over `lastEventId`. */
                "Last-Event-ID"?: string;
            };
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The stream. Comments keep the connection open */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example event: job_progress
                     *     data: {"type":"job_progress","jobId":"0199c1f0-0000-7000-8000-000000000000","sequence":3,"progress":25}
                     *     id: 3
                     */
                    "text/event-stream": string;
                };
            };
            /** @description The job has ended, and the client has received all its events */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    streamEvents: {
        parameters: {
            query?: {
                /** @description Filter by job type; repeat for several. */
                type?: string[];
                /** @description Filter by queue; repeat for several. */
                queue?: string[];
                /** @description Filter by batch; repeat for several. */
                batchId?: string[];
                /** @description `name:value` */
                label?: string[];
                /** @description Resumes after this frame, for clients that cannot send `Last-Event-ID`. */
                lastEventId?: string;
                /** @description Stream ticket, instead of an API key; see `POST /api/v1/stream-tickets`. */
                ticket?: string;
            };
            header?: {
                /** @description Resumes after this frame; takes precedence over `lastEventId`. */
                "Last-Event-ID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The stream. Comments keep the connection open */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example event: job_progress
                     *     data: {"type":"job_progress","jobId":"0199c1f0-0000-7000-8000-000000000000","sequence":3,"progress":25}
                     *     id: 3
                     */
                    "text/event-stream": string;
                };
            };
        };
    };
    createStreamTicket: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TicketRequest"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TicketBody"];
                };
            };
        };
    };
    listJobLogs: {
        parameters: {
            query?: {
                /** @description Lines of this attempt only. */
                attempt?: number;
                /** @description Lines of this level and above. */
                level?: components["schemas"]["LogLevel"];
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogPage"];
                };
            };
        };
    };
    explainJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WhyBody"];
                };
            };
        };
    };
    getSubmissionLimits: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SubmissionLimitsBody"];
                };
            };
        };
    };
    setSubmissionLimits: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SubmissionLimitsBody"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SubmissionLimitsBody"];
                };
            };
        };
    };
    resetSubmissionLimits: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success, without a body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    pauseQueue: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Queue name. A slash may be written as `%2F`. */
                queue: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QueueBody"];
                };
            };
        };
    };
    resumeQueue: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Queue name. A slash may be written as `%2F`. */
                queue: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QueueBody"];
                };
            };
        };
    };
    getQueueLimits: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Queue name. A slash may be written as `%2F`. */
                queue: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StartLimits"];
                };
            };
        };
    };
    setQueueLimits: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Queue name. A slash may be written as `%2F`. */
                queue: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["StartLimits"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StartLimits"];
                };
            };
        };
    };
    deleteQueueLimits: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Queue name. A slash may be written as `%2F`. */
                queue: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success, without a body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    getJobTypeLimits: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job type. A slash may be written as `%2F`. */
                type: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StartLimits"];
                };
            };
        };
    };
    setJobTypeLimits: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job type. A slash may be written as `%2F`. */
                type: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["StartLimits"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StartLimits"];
                };
            };
        };
    };
    deleteJobTypeLimits: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job type. A slash may be written as `%2F`. */
                type: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success, without a body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    listJobTypes: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobTypePage"];
                };
            };
        };
    };
    getJobType: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job type. A slash may be written as `%2F`. */
                type: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobTypeBody"];
                };
            };
        };
    };
    declareJobType: {
        parameters: {
            query?: {
                /** @description Declares it even if waiting jobs do not fit the new schema. */
                force?: boolean;
            };
            header?: never;
            path: {
                /** @description Job type. A slash may be written as `%2F`. */
                type: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["JobTypeDeclaration"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobTypeBody"];
                };
            };
            /** @description The job type is new */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobTypeBody"];
                };
            };
        };
    };
    deleteJobType: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Job type. A slash may be written as `%2F`. */
                type: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success, without a body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    listSchedules: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SchedulePage"];
                };
            };
        };
    };
    createSchedule: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Schedule"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleBody"];
                };
            };
        };
    };
    getSchedule: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleBody"];
                };
            };
        };
    };
    putSchedule: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ScheduleDefinition"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleBody"];
                };
            };
            /** @description The schedule is new */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleBody"];
                };
            };
        };
    };
    deleteSchedule: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success, without a body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    updateSchedule: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ScheduleChange"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleBody"];
                };
            };
        };
    };
    runSchedule: {
        parameters: {
            query?: never;
            header?: {
                /** @description `wait=N`: wait up to N seconds (at most 60) for the job to end. */
                Prefer?: string;
            };
            path: {
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The job ended within the time of `Prefer: wait` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobBody"];
                };
            };
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AcceptedBody"];
                };
            };
        };
    };
    listDueTimes: {
        parameters: {
            query?: {
                /** @description Maximum number of due times. */
                count?: number;
                /** @description Due times after this time; default: now. */
                after?: string;
            };
            header?: never;
            path: {
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DueTimesBody"];
                };
            };
        };
    };
    listScheduleRuns: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path: {
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScheduleRunPage"];
                };
            };
        };
    };
    listQueues: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QueuePage"];
                };
            };
        };
    };
    getQueue: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Queue name. A slash may be written as `%2F`. */
                queue: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QueueBody"];
                };
            };
        };
    };
    listWebhooks: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
                /** @description Filter by status; repeat for several. */
                status?: components["schemas"]["WebhookStatus"][];
                /** @description Webhooks that receive this event; repeat for several. */
                event?: components["schemas"]["WebhookEvent"][];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WebhookPage"];
                };
            };
        };
    };
    createWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Webhook"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DisclosedWebhookBody"];
                };
            };
        };
    };
    getWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WebhookBody"];
                };
            };
        };
    };
    deleteWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success, without a body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    updateWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["WebhookChange"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WebhookBody"];
                };
            };
        };
    };
    sendTestWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SentTestBody"];
                };
            };
        };
    };
    rotateWebhookSecret: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["SecretRotation"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DisclosedWebhookBody"];
                };
            };
        };
    };
    getWebhookPublicKeys: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JwksBody"];
                };
            };
        };
    };
    getWebhookHealth: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WebhookHealthBody"];
                };
            };
        };
    };
    listWebhookDeliveries: {
        parameters: {
            query?: {
                /** @description Filter by status; repeat for several. */
                status?: components["schemas"]["DeliveryStatus"][];
                /** @description Filter by event type; repeat for several. */
                event?: components["schemas"]["DeliveredEvent"][];
                /** @description Created at this time or later. */
                since?: string;
                /** @description Created before this time. */
                until?: string;
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DeliveryPageBody"];
                };
            };
        };
    };
    listJobDeliveries: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path: {
                /** @description Job id. */
                jobId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DeliveryPageBody"];
                };
            };
        };
    };
    getDelivery: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Delivery id. */
                deliveryId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WholeDeliveryBody"];
                };
            };
        };
    };
    redeliverDelivery: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Delivery id. */
                deliveryId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DeliveryBody"];
                };
            };
        };
    };
    createReplay: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ReplayRequest"];
            };
        };
        responses: {
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReplayBody"];
                };
            };
        };
    };
    listReplays: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReplayPageBody"];
                };
            };
        };
    };
    getReplay: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Webhook id. */
                webhookId: string;
                /** @description Replay id. */
                replayId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReplayBody"];
                };
            };
        };
    };
    listKeys: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["KeyPage"];
                };
            };
        };
    };
    createKey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["KeyRequest"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DisclosedKeyBody"];
                };
            };
        };
    };
    revokeKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the key: the 16 characters after `duly_`. */
                keyId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success, without a body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    rotateKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the key: the 16 characters after `duly_`. */
                keyId: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["KeyRotation"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DisclosedKeyBody"];
                };
            };
        };
    };
    listTenants: {
        parameters: {
            query?: {
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TenantPage"];
                };
            };
        };
    };
    createTenant: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TenantRequest"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TenantBody"];
                };
            };
        };
    };
    getTenant: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Tenant name. */
                tenant: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TenantBody"];
                };
            };
        };
    };
    updateTenant: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Tenant name. */
                tenant: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TenantChange"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TenantBody"];
                };
            };
        };
    };
    listAuditLog: {
        parameters: {
            query?: {
                /** @description Changes by this author only. */
                actor?: string;
                /** @description Changes of this kind only. */
                action?: string;
                /** @description Changes at this time or later. */
                since?: string;
                /** @description Maximum number of items. */
                limit?: number;
                /** @description `nextCursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AuditPage"];
                };
            };
        };
    };
    getFigures: {
        parameters: {
            query?: {
                /** @description Start (default: an hour before the end). */
                since?: string;
                /** @description End (default: now). */
                until?: string;
                /** @description Length of a step, in seconds. */
                step?: 60 | 300 | 3600;
                /** @description Figures of one queue (default: of all). */
                queue?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FiguresBody"];
                };
            };
        };
    };
    listNodes: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NodeList"];
                };
            };
        };
    };
    getScaling: {
        parameters: {
            query?: {
                /** @description Jobs of this queue only. */
                queue?: string;
                /** @description Jobs of this type only. */
                type?: string;
                /** @description Time to drain what waits. */
                targetSeconds?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ScalingBody"];
                };
            };
        };
    };
    claimLeases: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LeaseRequest"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LeasesBody"];
                };
            };
        };
    };
    heartbeatLeases: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["HeartbeatsRequest"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["HeartbeatsBody"];
                };
            };
        };
    };
    heartbeatLease: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the lease, from the response to the claim. */
                leaseId: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["HeartbeatRequest"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["HeartbeatBody"];
                };
            };
        };
    };
    completeLeases: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CompletionsRequest"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CompletionsBody"];
                };
            };
        };
    };
    completeLease: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the lease, from the response to the claim. */
                leaseId: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["CompleteRequest"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EndedLeaseBody"];
                };
            };
        };
    };
    failLease: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the lease, from the response to the claim. */
                leaseId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["FailRequest"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EndedLeaseBody"];
                };
            };
        };
    };
    releaseLease: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the lease, from the response to the claim. */
                leaseId: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["LeaseRelease"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EndedLeaseBody"];
                };
            };
        };
    };
    submitLeaseJobs: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the jobs of this call, for attempts that submit child jobs in several calls. */
                "Idempotency-Key"?: string;
            };
            path: {
                /** @description Id of the lease, from the response to the claim. */
                leaseId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LeaseChildrenRequest"];
            };
        };
        responses: {
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LeaseChildrenBody"];
                };
            };
        };
    };
    recordLeaseStep: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the lease, from the response to the claim. */
                leaseId: string;
                /** @description Name of the schedule, signal or step. */
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LeaseStepRequest"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LeaseStepBody"];
                };
            };
        };
    };
    parkLease: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the lease, from the response to the claim. */
                leaseId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LeaseParkRequest"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EndedLeaseBody"];
                };
            };
        };
    };
    getHealth: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["HealthBody"];
                };
            };
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadyBody"];
                };
            };
        };
    };
    getMetrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                    "application/openmetrics-text": string;
                };
            };
        };
    };
}
