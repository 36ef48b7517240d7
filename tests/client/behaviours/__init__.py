"""One table of behaviours, run against a live service through each client.

`callers` perform calls through a client, `table` lists the behaviours, the other modules say what each is.
"""
