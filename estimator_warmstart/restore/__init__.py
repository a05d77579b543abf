"""Plans carried out: operations in a graph, and what the sessions of that graph need done."""
