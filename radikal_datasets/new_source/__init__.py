"""`radikal-datasets new-source`: write the four files of a new source, which work before anything is filled in."""
