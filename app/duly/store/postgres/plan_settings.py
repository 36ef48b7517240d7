"""Planner settings of sessions: pinned plans for hot statements, custom plans for reads."""

# A plan made while a hot table was empty keeps scanning it: 47 k jobs/s fell to 13 k within 15 s. With these settings
# only access by whole keys is possible, so the plan does not depend on statistics and is made once: with 30 days of
# partitions, planning took 2.3 of the 2.9 ms of a small statement.
PINNED_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
}
PIN_PLANS = "; ".join(f"set local {name} = {value}" for name, value in PINNED_PLANS.items())
READING_PLANS = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
