"""Commands: parse, call one process, print, set the exit code; one file per command."""
