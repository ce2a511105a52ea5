"""Who is talked to, how files travel, and what is believed of a Hub's answers."""
