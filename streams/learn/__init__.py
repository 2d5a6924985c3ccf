"""New indexes from the log, compared with the one in use; a first history where there is no log."""
