"""Objects reached from known ones by edits: the random walk, and its law tilted by the reward."""
