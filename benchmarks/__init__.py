"""Benchmark of Duly beside other systems, and the generator of docs/internals/performance.md: `python -m benchmarks`.

__main__              command line: runs the selected rows and writes the report
targets               targets of each row, and the verdict on its figures
rows/                 one module for each row of the table
run_context           what the contestants of a run share: Postgres server, folder, sizes
contestants           how each contestant starts: Duly, the naive service, the ceilings; `peers/`: other job systems
rounds                alternating rounds, medians and spread
machine               description of the machine, and a wait until it is quiet

closed_loop           load generator: each connection sends its next request after a response; also closed_loop_reads
open_loop             load generator: requests at a given rate; its connections in open_loop_connections
end_to_end            jobs from POST to signed webhook, with a limit on the jobs in flight; also end_to_end_fixed_rate
notification_delay    time from a job's terminal event to its webhook or stream event
callback_load         jobs at a given rate, with callbacks in turn
hostile_clients       clients that hold connections without sending a complete request
post_clients          POST requests of webhooks with one of several HTTP clients
generator_processes   starts a load generator in its own process and reads its result

webhook_receiver      receivers that respond with 204, and hostile ones; started by receiver_process
filled_ledgers        databases filled by SQL with waiting and finished jobs
filled_outboxes       registered endpoints, and outboxes filled with webhooks to them
growth                measurements that the rows G1 to G6 share
many_cells            arithmetic of many cells and nodes
two_servers           two cells on two servers against two on one
sampling              values sampled every second; time_series: rounds with such values

results_file          measured rows as JSON
report figure_labels  measured rows as Markdown tables
page plots            docs/internals/performance.md and its charts
guard                 comparison of two ratios with those on record, for each change
"""
