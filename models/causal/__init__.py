"""Which variable acts on which: draws of graphs, what rows a graph predicts, and what an experiment would tell."""
