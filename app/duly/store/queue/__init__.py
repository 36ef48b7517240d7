"""Hot tables and the state that governs claims: ready, scheduled, running, limits, breakers and nodes."""
