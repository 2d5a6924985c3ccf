"""The flow: the Faust app, its agents, topics, workers, brokers and the command line."""
