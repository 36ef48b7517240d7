"""The command line: a file a group of commands; `duly.__main__` lists them."""
