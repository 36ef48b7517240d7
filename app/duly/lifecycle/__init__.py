"""The verbs, a file each: submit, claim, finish, cancel, heartbeat, sweep; and what gathers and wakes them."""
