"""The page in the browser, and its HTTP API: the same functions as the command line, for several people at once."""
