"""New indexes from the log: collected, built, compared with the one in use, and put in place."""
