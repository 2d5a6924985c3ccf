"""One router process: the Faust app and its parts."""
